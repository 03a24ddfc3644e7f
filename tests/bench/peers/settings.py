"""The product's settings, with a channel that only notes when a step was started."""

from __future__ import annotations

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "tests.bench.peers.programs.ours.Stamping"]
