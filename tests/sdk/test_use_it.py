"""The code on a template's "Use it" page, run as it stands there against the running product."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.browser.visitors import session_of
from tests.live import Product
from tests.pages import read
from tests.sdk.conftest import Install

PYTHON = [sys.executable, "-"]
DELAY: dict[str, Any] = {"action": "delay", "duration": "1 hour"}


class Answer:
    """What `read` wants of an answer."""

    def __init__(self, content: bytes) -> None:
        self.content = content


@pytest.fixture(scope="module")
def variables(product: Product) -> Mapping[str, str]:
    """What the page asks the reader to set, and the way to the SDKs of the tests."""
    workspace = json.loads(product.manage("create_api_key", "use-it", "--suprsend"))
    return {
        **os.environ, "COUNTERMAND_KEY": product.key("read,invoke,cancel"),
        "SUPRSEND_KEY": workspace["workspace_key"], "SUPRSEND_SECRET": workspace["workspace_secret"],
    }  # fmt: skip


@pytest.fixture
def automation(product: Product) -> str:
    """The key of a published one."""
    key = f"use-{uuid4().hex[:8]}"
    definition = {"steps": [DELAY, DELAY], "cancellation_token": "it's-{{data.flow}}-{{data.user_id}}"}
    body = {"key": key, "name": key, "definition": definition}
    product.http.post("automations", json=body).raise_for_status()
    product.http.post(f"automations/{key}/publish").raise_for_status()
    return key


def code(product: Product, automation: str, *, api: str, element: str) -> str:
    """What the reader would paste."""
    cookies = {"sessionid": session_of(product, "operator")}
    address = f"{product.url}/templates/{automation}/use?api={api}"
    page = read(Answer(httpx.get(address, cookies=cookies).raise_for_status().content))
    (text,) = page.one(f"#{element}").children
    assert isinstance(text, str)
    return text


def statuses(product: Product, automation: str) -> list[str]:
    items = product.http.get("runs", params={"automation": automation}).raise_for_status().json()["items"]
    return [run["status"] for run in items]


def run(program: list[str], text: str, variables: Mapping[str, str]) -> None:
    done = subprocess.run(program, input=text, env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on PATH")
@pytest.mark.parametrize(
    "api",
    ["native", *(pytest.param(api, marks=pytest.mark.slow) for api in ("courier", "knock", "suprsend"))],
)
def test_curl_invokes_and_calls_off(
    product: Product, automation: str, variables: Mapping[str, str], api: str
) -> None:
    run(["sh", "-eu"], code(product, automation, api=api, element="invoke-curl"), variables)
    assert statuses(product, automation) == ["waiting"]
    run(["sh", "-eu"], code(product, automation, api=api, element="cancel-curl"), variables)
    assert statuses(product, automation) == ["cancelled"]


@pytest.mark.parametrize(
    "api",
    ["courier", *(pytest.param(api, marks=pytest.mark.slow) for api in ("native", "knock", "suprsend"))],
)
def test_python_invokes_and_calls_off(
    product: Product, automation: str, variables: Mapping[str, str], api: str
) -> None:
    run(PYTHON, code(product, automation, api=api, element="invoke-python"), variables)
    assert statuses(product, automation) == ["waiting"]
    if api != "suprsend":
        run(PYTHON, code(product, automation, api=api, element="cancel-python"), variables)
        assert statuses(product, automation) == ["cancelled"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="no Node on PATH")
def test_node_invokes_and_calls_off(product: Product, automation: str, variables: Mapping[str, str]) -> None:
    for verb, after in (("invoke", "waiting"), ("cancel", "cancelled")):
        run(["node", "-"], code(product, automation, api="native", element=f"{verb}-node"), variables)
        assert statuses(product, automation) == [after]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("api", "package", "version", "verbs"),
    [
        ("courier", "@trycourier/courier", "7.10.2", "invoke cancel"),
        ("knock", "@knocklabs/node", "1.35.0", "invoke cancel"),
        ("suprsend", "@suprsend/node-sdk", "1.15.1", "invoke"),
    ],
)
def test_the_vendors_packages_for_node_invoke_and_call_off(
    product: Product,
    automation: str,
    variables: Mapping[str, str],
    node_package: Install,
    api: str,
    package: str,
    version: str,
    verbs: str,
) -> None:
    modules = str(Path(node_package(package, version)["PACKAGE"]).parents[package.count("/")])
    for verb in verbs.split():
        run(
            ["node", "-"],
            code(product, automation, api=api, element=f"{verb}-node"),
            {**variables, "NODE_PATH": modules},
        )
        assert statuses(product, automation) == [{"invoke": "waiting", "cancel": "cancelled"}[verb]]
