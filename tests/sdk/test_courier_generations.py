"""Courier's packages of every generation, unmodified, against the running product: Python's older ones, and Node's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.live import Product
from tests.sdk.conftest import Install
from tests.sdk.test_courier_python import publish

PROGRAMS = Path(__file__).parent / "programs"
STAINLESS = ("AuthenticationError", "NotFoundError", "BadRequestError")
# By version: what it raises for a wrong key, an unknown template and a step that is not known.
PYTHON = {
    "8.0.0": STAINLESS,
    "7.26.2": STAINLESS,
    "7.0.0": STAINLESS,
    "6.2.1": ("ApiError",) * 3,
    "5.0.0": ("CourierAPIException",) * 3,
    "4.7.0": ("CourierAPIException",) * 3,
    "1.9.0": ("CourierAPIException",) * 3,
}
NODE = {
    "7.10.2": STAINLESS,
    "6.6.0": ("CourierError",) * 3,
    "5.7.0": ("CourierHttpClientError",) * 3,
    "4.9.0": ("CourierHttpClientError",) * 3,
    "3.16.0": ("Error",) * 3,
}
NEWEST = "7.10.2"


def driven(product: Product, command: Sequence[str | Path], variables: Mapping[str, str]) -> dict[str, Any]:
    """What the program reports that was started with an address, a key, a token and a template."""
    template, token = publish(product.http, suffix="x"), f"user_{uuid4().hex}"
    words = [*command, product.url, product.key("read,invoke,cancel"), token, f"Tmpl {template}/x"]
    done = subprocess.run(words, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return {**told, "key": template}


def check(told: dict[str, Any], native: httpx.Client, raised: tuple[str, ...], *, repeats: bool) -> None:
    """The whole story: waiting, called off in the very next read, a later run alive, errors of the package's own."""
    assert told["statuses"] == ["waiting", "cancelled", "waiting"]
    steps = native.get(f"runs/{told['first']}").json()["steps"]
    assert [step["status"] for step in steps] == ["cancelled"]
    assert native.get(f"runs/{told['template']}").json()["automation"] == told["key"]
    assert len(set(told["once"])) == (1 if repeats else 2)
    errors = [told[name] for name in ("wrong_key", "no_template", "bad_body")]
    assert tuple(kind for kind, _ in errors) == raised
    wanted = ("Unauthorized", "Automation not found", "action “wat” is not known")
    assert [text in said for text, (_, said) in zip(wanted, errors, strict=True)] == [True] * 3, errors


@pytest.mark.slow
@pytest.mark.parametrize("version", PYTHON)
def test_an_older_python_package_works(product: Product, python_package: Install, version: str) -> None:
    program: list[str | Path] = [sys.executable, PROGRAMS / "drive_courier.py"]
    told = driven(product, program, python_package("trycourier", version))
    check(told, product.http, PYTHON[version], repeats=int(version.partition(".")[0]) >= 6)


@pytest.mark.parametrize(
    "version", [pytest.param(one, marks=() if one == NEWEST else pytest.mark.slow) for one in NODE]
)
def test_a_node_package_works(product: Product, node_package: Install, version: str) -> None:
    program: list[str | Path] = ["node", PROGRAMS / "drive_courier.cjs"]
    told = driven(product, program, node_package("@trycourier/courier", version))
    check(told, product.http, NODE[version], repeats=True)
