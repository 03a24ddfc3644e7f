"""Finds the Chromium that the browser tests drive."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
FETCH_SECONDS = 180


def find() -> str | None:
    """The program: TEST_BROWSER, else one on PATH, else the one that Playwright fetched earlier."""
    if given := os.environ.get("TEST_BROWSER"):
        return given
    if found := next(filter(None, map(shutil.which, NAMES)), None):
        return found
    fetched = _playwrights_own()
    return fetched if fetched and Path(fetched).exists() and _starts(fetched) else None


def fetch() -> str | None:
    """Let Playwright download its own; None where network, time or the machine's libraries forbid."""
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    try:
        subprocess.run(command, timeout=FETCH_SECONDS, capture_output=True, check=True)
    except (subprocess.SubprocessError, OSError):
        return None
    return find()


def _playwrights_own() -> str | None:
    """Asked in a process of its own: Playwright leaves an event loop behind."""
    code = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
"""
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return asked.stdout.strip() or None


def _starts(program: str) -> bool:
    """Whether the libraries it needs are on this machine."""
    try:
        return subprocess.run([program, "--version"], capture_output=True, timeout=20).returncode == 0
    except (subprocess.SubprocessError, OSError):
        return False
