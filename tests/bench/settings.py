"""The product's settings, with the bare view that invokes are measured beside."""

from __future__ import annotations

import os

from config.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.bare"
if os.environ.get("BENCH_PLAIN_DJANGO_Q"):  # what a straightforward build would do: one Schedule per delay
    Q_CLUSTER = {
        "name": "countermand",
        "orm": "default",
        "workers": 2,
        "timeout": 60,
        "retry": 90,
        "log_level": "WARNING",
    }
