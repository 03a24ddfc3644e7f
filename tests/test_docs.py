"""The samples of docs/migrating.md, run as they stand there against the running product."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from automations.definition import parse
from tests.live import Product
from tests.sdk.conftest import Install, node_package  # noqa: F401  (a fixture)

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "migrating.md").read_text()
SAMPLE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def samples(vendor: str, language: str) -> list[str]:
    """The vendor's samples in that language, in order."""
    (section,) = (
        part for part in re.split(r"^## ", GUIDE, flags=re.MULTILINE) if part.startswith(f"{vendor}\n")
    )
    return [code for name, code in SAMPLE.findall(section) if name == language]


def run(program: list[str], code: str, variables: Mapping[str, str]) -> str:
    """What the code printed, given to the program on standard input."""
    environment = {**os.environ, **variables}
    done = subprocess.run(program, input=code, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def courier(product: Product) -> Mapping[str, str]:
    """The variables of somebody who comes from Courier, whose journeys are those of our environment `test`."""
    old = product.manage("create_api_key", "old", "--scopes", "read,write", "--environment", "test")
    nodes = [
        {"type": "trigger", "trigger_type": "api-invoke", "schema": {"type": "object"}},
        {"type": "delay", "mode": "duration", "duration": "PT1H", "conditions": ["data.plan", "is equal", "pro"]},
    ]  # fmt: skip
    body = {"name": "Old", "nodes": nodes, "state": "PUBLISHED", "cancelation_token": "order-{{data.id}}"}
    headers = {"Authorization": f"Bearer {old}"}
    journey = (
        httpx.post(f"{product.url}/journeys", json=body, headers=headers).raise_for_status().json()["id"]
    )
    key = product.key("read,invoke,cancel,write")
    theirs = {"OLD_BASE_URL": product.url, "OLD_API_KEY": old, "JOURNEY_ID": journey}
    return {**ours(product), **theirs, "COURIER_BASE_URL": product.url, "COURIER_API_KEY": key}


@pytest.fixture(scope="module")
def knock(product: Product) -> Mapping[str, str]:
    """The variables of somebody who comes from Knock, whose workflow is applied."""
    applied(product, "Knock")
    key = product.key("read,invoke,cancel")
    return {**ours(product), "KNOCK_BASE_URL": product.url, "KNOCK_API_KEY": key}


@pytest.fixture(scope="module")
def suprsend(product: Product) -> Mapping[str, str]:
    """The variables of somebody who comes from SuprSend, whose workflow is applied."""
    applied(product, "SuprSend")
    keys = json.loads(product.manage("create_api_key", "shop", "--suprsend"))
    named = {f"SUPRSEND_{name.upper()}": value for name, value in keys.items()}
    return {**ours(product), "SUPRSEND_BASE_URL": f"{product.url}/", **named}


def ours(product: Product) -> Mapping[str, str]:
    """What every sample may count on: the product's address, its settings, and our Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**product.environment, "HOST": product.url, "PATH": path}


def applied(product: Product, vendor: str) -> str:
    """The key of the automation that the vendor's section has, applied as it says."""
    (document,) = samples(vendor, "json")
    file = product.folder / f"{vendor}.json"
    file.write_text(document)
    product.manage("apply", str(file))
    return str(json.loads(document)["key"])


def test_every_sample_is_in_a_language_that_is_run() -> None:
    assert {name for name, _ in SAMPLE.findall(GUIDE)} <= {"sh", "python", "js", "json"}


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on PATH")
def test_couriers_commands_work(courier: Mapping[str, str], product: Product) -> None:
    commands, bring_over, cancel = samples("Courier", "sh")
    made = run(["sh", "-eu"], f'{commands}\necho "$COURIER_BASE_URL $COURIER_API_KEY"', courier)
    address, key = made.split()
    assert (address, len(key.split("_"))) == (product.url, 4)
    journey = courier["JOURNEY_ID"]
    assert run(["sh", "-eu"], bring_over, courier) == f"{journey}: created, version 1\n"
    definition = product.http.get(f"automations/{journey}").raise_for_status().json()["draft"]["definition"]
    assert definition["cancellation_token"] == "order-{{data.id}}"
    assert definition["steps"][0]["if"] == 'String(data?.plan ?? "") === "pro"'
    receipt = json.loads(run(["sh", "-eu"], cancel, {**courier, "COURIER_API_KEY": key}))
    assert (receipt["reason"], receipt["settled"]) == ("the user came back", True)


def test_couriers_python_works(courier: Mapping[str, str], product: Product) -> None:
    (code,) = samples("Courier", "python")
    run_id = run([sys.executable, "-"], f"{code}\nprint(run_id)", courier).strip()
    assert product.http.get(f"runs/{run_id}").raise_for_status().json()["status"] == "cancelled"


@pytest.mark.slow
def test_couriers_javascript_works(
    courier: Mapping[str, str],
    product: Product,
    node_package: Install,  # noqa: F811
) -> None:
    folder = Path(node_package("@trycourier/courier", "7.10.2")["PACKAGE"]).parents[1]
    (code,) = samples("Courier", "js")
    run_id = run(["node", "-"], code, {**courier, "NODE_PATH": str(folder)}).strip()
    assert product.http.get(f"runs/{run_id}").json()["status"] == "completed"


def test_couriers_definition_can_be_applied(product: Product) -> None:
    shown = product.http.get(f"automations/{applied(product, 'Courier')}").json()
    assert (shown["alias"], shown["status"]) == ("MY-COURIER-TEMPLATE-ID", "published")
    assert [step.action for step in parse(shown["draft"]["definition"]).steps] == ["delay", "send"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on PATH")
def test_knocks_commands_work(knock: Mapping[str, str], product: Product) -> None:
    commands, cancel = samples("Knock", "sh")
    address, key = run(
        ["sh", "-eu"], f'{commands}\necho "$KNOCK_BASE_URL $KNOCK_API_KEY"', knock
    ).split()  # fmt: skip
    assert (address, len(key.split("_"))) == (product.url, 4)
    receipt = json.loads(run(["sh", "-eu"], cancel, {**knock, "KNOCK_API_KEY": key}))
    assert (receipt["reason"], receipt["settled"]) == ("the trial was extended", True)


def test_knocks_python_works(knock: Mapping[str, str]) -> None:
    (code,) = samples("Knock", "python")
    run([sys.executable, "-"], code, knock)


@pytest.mark.slow
def test_knocks_javascript_works(
    knock: Mapping[str, str],
    product: Product,
    node_package: Install,  # noqa: F811
) -> None:
    folder = Path(node_package("@knocklabs/node", "1.35.0")["PACKAGE"]).parents[1]
    (code,) = samples("Knock", "js")
    invocation = run(["node", "-"], code, {**knock, "NODE_PATH": str(folder)}).strip()
    assert product.http.get(f"invocations/{invocation}").json()["source"] == "trigger/trial-reminder"


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on PATH")
def test_suprsends_commands_work(suprsend: Mapping[str, str]) -> None:
    commands, cancel = samples("SuprSend", "sh")
    keys = json.loads(run(["sh", "-eu"], commands, suprsend))
    assert keys["workspace_key"].startswith("ws_")
    given = {**suprsend, "SUPRSEND_WORKSPACE_SECRET": keys["workspace_secret"]}
    receipt = json.loads(run(["sh", "-eu"], cancel, given))
    assert (receipt["reason"], receipt["settled"]) == ("paid for", True)


def test_suprsends_python_works(suprsend: Mapping[str, str], product: Product) -> None:
    (code,) = samples("SuprSend", "python")
    run_id = run(
        [sys.executable, "-"], f"{code}\nprint(cancelled.json()['execution_ids'][0])", suprsend
    ).strip()
    shown = product.http.get(f"runs/{run_id}").json()
    assert (shown["status"], shown["automation"], shown["recipient"]) == (
        "cancelled", "cart-reminder", "user_123",
    )  # fmt: skip


@pytest.mark.slow
def test_suprsends_javascript_works(
    suprsend: Mapping[str, str],
    product: Product,
    node_package: Install,  # noqa: F811
) -> None:
    folder = Path(node_package("@suprsend/node-sdk", "1.15.1")["PACKAGE"]).parents[1]
    (code,) = samples("SuprSend", "js")
    invocation = run(["node", "-"], code, {**suprsend, "NODE_PATH": str(folder)}).strip()
    assert product.http.get(f"invocations/{invocation}").json()["source"] == "trigger/cart-reminder"
