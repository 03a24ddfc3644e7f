"""The product's settings, with the application that makes the product slow, and if asked wrong, on purpose."""

from __future__ import annotations

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS as PRODUCT

INSTALLED_APPS = [*PRODUCT, "tests.chaos"]
