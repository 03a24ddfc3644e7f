"""The logs page over 200,000 runs: statements, and time spent in the database."""

from __future__ import annotations

import statistics

import django

from tests.bench.figures import line


def main() -> None:
    django.setup()
    from django.core.cache import cache
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from automations.models import User
    from tests.bench.cancel import WAITING, fill, settle
    from tests.scenes import cancel_runs

    fill()
    settle()
    cancel_runs(token="thousand-3")
    for number in range(20):
        cancel_runs(token=f"one-{number}")
    browser = Client(headers={"Host": "localhost"})
    browser.force_login(
        User.objects.create_user(username="bench", password="x", role="operator"), backend=BACKEND
    )
    line("waiting runs", f"{WAITING:,}")
    for name, address in PAGES.items():
        times, counts = [], set()
        for _ in range(7):
            cache.clear()
            with CaptureQueriesContext(connection) as captured:
                assert browser.get(address).status_code == 200
            times.append(sum(float(query["time"]) for query in captured) * 1000)
            counts.add(len(captured))
        line(
            name,
            f"{statistics.median(times):.1f} ms of SQL in {'/'.join(map(str, sorted(counts)))} statements",
        )


BACKEND = "django.contrib.auth.backends.ModelBackend"
PAGES = {
    "first page (< 30 ms)": "/logs/",
    "waiting": "/logs/?status=waiting",
    "cancelled": "/logs/?status=cancelled",
    "by token": "/logs/?q=one-77777",
    "by a token's prefix": "/logs/?q=one-7",
    "by a prefix that half of them have": "/logs/?q=hundred",
    "by source": "/logs/?q=source:bench",
    "last hour": "/logs/?started=1h",
}

if __name__ == "__main__":
    main()
