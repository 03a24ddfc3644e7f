"""Packages of the vendors, as they are in the registries, each in a folder of its own that later runs find again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

INSTALL_SECONDS = 300
NO_NODE = "no Node.js with npm"

Install = Callable[[str, str], Mapping[str, str]]
"""From a package and its version to the variables with which a program finds it."""


@pytest.fixture(scope="session")
def python_package(pytestconfig: pytest.Config) -> Install:
    """Installs a package by pip, with what it needs."""

    def install(name: str, version: str) -> Mapping[str, str]:
        folder = _kept(pytestconfig, f"{name}-{version}")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target"]
        return {"PYTHONPATH": str(_installed(folder, [*command, "{folder}", f"{name}=={version}"]))}

    return install


@pytest.fixture(scope="session")
def node_package(pytestconfig: pytest.Config) -> Install:
    """Installs a package by npm; without Node.js the test is skipped by that name, or fails where REQUIRE says so."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        (pytest.fail if "node" in os.environ.get("REQUIRE", "").split(",") else pytest.skip)(NO_NODE)

    def install(name: str, version: str) -> Mapping[str, str]:
        folder = _kept(pytestconfig, f"{name.replace('/', '-')}-{version}")
        command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", "{folder}"]
        return {"PACKAGE": str(_installed(folder, [*command, f"{name}@{version}"]) / "node_modules" / name)}

    return install


def _kept(config: pytest.Config, name: str) -> Path:
    """Where the package is, or will be: in pytest's cache, which each database of a run has for itself."""
    return Path(config.cache.mkdir("sdks")) / name


def _installed(folder: Path, command: Sequence[str]) -> Path:
    """The folder, complete: it gets its name once everything is in it."""
    if not folder.exists():
        begun = folder.with_suffix(".part")
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir()
        words = [word.format(folder=begun) for word in command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        if done.returncode:
            pytest.fail(f"{words[-1]} could not be installed: {done.stderr[-1000:]}")
        begun.rename(folder)
    return folder
