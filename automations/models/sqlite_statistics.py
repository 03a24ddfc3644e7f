"""What SQLite supposes of how many runs share what. It never looks by itself, and without knowing takes the runs of one
environment for a dozen: a cancel by token would read them all."""

from __future__ import annotations

from typing import Any

from django.db import connections

# For each index: of so many rows in it, how many agree in the first column, in the first two, and so on. Of a busy
# installation, and for every one: a plan is then the same however many runs there are, and nobody has to look.
ROWS = {
    "automations_liverun": {
        "live_run_automation": (1_000_000, 500_000, 60_000),
        "live_run_child": (10_000, 5_000),
        "live_run_concurrency_key": (500_000, 250_000, 2),
        "live_run_due": (1_000_000, 500_000, 1),
        "live_run_invocation": (1_000_000, 2),
        "live_run_key": (500_000, 250_000, 2),
        "live_run_parked": (10_000, 5_000, 2_500),
        "live_run_recipient": (1_000_000, 500_000, 2, 2),
        "live_run_source": (1_000_000, 500_000, 200_000),
        "live_run_tenant": (200_000, 100_000, 70_000),
        "live_run_token": (700_000, 350_000, 2),
        "live_run_unsettled": (10, 5),
    },
    "automations_run": {
        "run_automation": (2_000_000, 1_000_000, 100_000, 1),
        "run_cancellation": (200_000, 20),
        "run_invocation": (2_000_000, 2),
        "run_key": (1_000_000, 500_000, 2, 1),
        "run_newest": (2_000_000, 1_000_000, 1),
        "run_parent": (10_000, 2),
        "run_recipient": (2_000_000, 1_000_000, 4, 1),
        "run_source": (2_000_000, 1_000_000, 350_000, 1),
        "run_status": (2_000_000, 1_000_000, 350_000, 1),
        "run_token": (1_400_000, 700_000, 2, 1),
    },
    "automations_invocation": {
        "invocation_idempotency": (1_000_000, 500_000, 1),
        "invocation_journeys": (10_000, 5_000),
        "invocation_key_expiry": (100_000, 1),
        "invocation_key_holder_unique": (100_000, 50_000, 25_000, 1),
        "invocation_tenant": (200_000, 70_000),
    },
    "automations_cancellation": {
        "cancellation_holds": (4, 2, 1),
        "cancellation_holds_by_bar": (4, 2, 1, 1),
        "cancellation_key_expiry": (10_000, 1),
        "cancellation_key_holder_unique": (10_000, 5_000, 1),
        "cancellation_newest": (10_000, 5_000, 1),
        "cancellation_restoring": (4, 2, 1),
        "cancellation_scheduled": (4, 2, 1),
        "cancellation_unarchived": (4, 2, 1),
        "cancellation_unswept": (4, 2, 1),
    },
}


def tell_sqlite(*, using: str, **_: Any) -> None:
    """After a migration, which may have made a table anew: what stands in ROWS, in place of what was known of those
    tables. Processes that have the file open go by it once they open it again."""
    connection = connections[using]
    if connection.vendor != "sqlite":
        return
    known = [
        (table, index, " ".join(map(str, counts)))
        for table, indexes in ROWS.items()
        for index, counts in indexes.items()
    ]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sqlite_master")  # makes the table sqlite_stat1
        for table in ROWS:
            cursor.execute("DELETE FROM sqlite_stat1 WHERE tbl = %s", [table])
        for row in known:
            cursor.execute("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (%s, %s, %s)", row)
        cursor.execute("ANALYZE sqlite_master")  # which reads it
