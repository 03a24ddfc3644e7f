"""Older generations of Knock's Python package, unmodified, each in a folder and a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.live import Product

SCRIPT = Path(__file__).with_name("older_knock.py")
DELAY: dict[str, Any] = {"action": "delay", "duration": "1 hour"}


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.0.0", "0.5.14", "0.4.8", "0.1.1"])
def test_it_triggers_and_calls_off(product: Product, tmp_path: Path, version: str) -> None:
    install = ["pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), f"knockapi=={version}"]
    subprocess.run([sys.executable, "-m", *install], check=True, capture_output=True)
    key = f"old-{uuid4().hex[:8]}"
    body = {"key": key, "name": key, "definition": {"steps": [DELAY, DELAY]}}
    product.http.post("automations", json=body).raise_for_status()
    product.http.post(f"automations/{key}/publish").raise_for_status()
    done = subprocess.run(
        [sys.executable, str(SCRIPT), version, product.url, product.key("read,invoke,cancel"), key],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    runs = product.http.get("runs", params={"automation": key}).json()["items"]
    found = {run["recipient"]: (run["status"], run["cancellation_key"]) for run in runs}
    assert found == {"u1": ("cancelled", "ck"), "u2": ("waiting", "ck"), "u3": ("waiting", "other")}
