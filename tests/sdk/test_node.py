"""Knock's and SuprSend's own packages for Node, unmodified, against the running product."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.live import Product

HERE = Path(__file__).parent
DELAY: dict[str, Any] = {"action": "delay", "duration": "1 hour"}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("npm") is None, reason="no Node on PATH: its packages are not driven"),
]


@pytest.fixture
def workflow(product: Product) -> str:
    """The key of a published workflow."""
    key = f"node-{uuid4().hex[:8]}"
    body = {"key": key, "name": key, "definition": {"steps": [DELAY, DELAY]}}
    product.http.post("automations", json=body).raise_for_status()
    product.http.post(f"automations/{key}/publish").raise_for_status()
    return key


def driven(folder: Path, package: str, script: str, *arguments: str) -> Any:
    """What the script prints, with the package (and version) installed in the folder."""
    install = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(folder), package]
    subprocess.run(install, check=True, capture_output=True)
    variables = {**os.environ, "NODE_PATH": str(folder / "node_modules")}
    done = subprocess.run(
        ["node", str(HERE / script), *arguments], env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def runs(product: Product, **query: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = product.http.get("runs", params=query).raise_for_status().json()["items"]
    return listed


@pytest.mark.parametrize("version", ["1.35.0", "0.6.19", "0.4.3"])
def test_knock_triggers_and_calls_off(product: Product, workflow: str, tmp_path: Path, version: str) -> None:
    key = product.key("read,invoke,cancel")
    package = f"@knocklabs/node@{version}"
    told = driven(tmp_path, package, "knock.cjs", version, product.url, key, workflow)
    assert {run["recipient"]: run["status"] for run in runs(product, automation=workflow)} == {
        "u1": "cancelled",
        "u2": "waiting",
        "u3": "waiting",
    }
    assert product.http.get(f"invocations/{told['id']}").json()["run_count"] == 2
    if version.startswith("1."):
        assert told["statuses"] == {"u1": "cancelled", "u2": "paused", "u3": "paused"}
        assert told["refused"] == [["UnprocessableEntityError", 422], ["NotFoundError", 404]]
    else:
        names = [name for name, _ in told["refused"]]
        assert names == ["UnprocessableEntityException", "NotFoundException"]


PUBLISHED = {
    "one": [True, 202, "success"],
    "unknown": [False, 404, "workflow 'nope' not found"],
    "many": ["success", 2, 2],
    "stranger": [False, 401],
}


@pytest.mark.parametrize("version", ["1.15.1", "1.9.1"])
def test_suprsend_triggers(product: Product, workflow: str, tmp_path: Path, version: str) -> None:
    keys = json.loads(product.manage("create_api_key", "node", "--suprsend"))
    package = f"@suprsend/node-sdk@{version}"
    told = driven(tmp_path, package, "suprsend.cjs", product.url + "/", *keys.values(), workflow)
    assert told.pop("legacy") == [True, 202, 2, False, 401]
    assert told == (PUBLISHED if version == "1.15.1" else {})
    listed = runs(product, source=f"trigger/{workflow}")
    amount = 6 if told else 3
    assert [(run["recipient"], run["status"]) for run in listed] == [("u1", "waiting")] * amount
