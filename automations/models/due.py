"""How long until there is something to do: what a cluster asks a dozen times a second while it idles."""

from __future__ import annotations

from django.db import connection

DUE = """
SELECT
    (SELECT {seconds} FROM automations_liverun
     WHERE environment_id = e.id AND state = 'waiting' ORDER BY due_at LIMIT 1),
    EXISTS (SELECT 1 FROM automations_liverun
            WHERE environment_id = e.id AND state IN ('running', 'cancelling')
              AND due_at <= {now} AND lease_until < {now})
    OR EXISTS (SELECT 1 FROM automations_cancellation WHERE environment_id = e.id AND archived_at IS NULL)
FROM automations_environment e
"""
_WORDS = {
    "postgresql": {
        "now": "statement_timestamp()",
        "seconds": "EXTRACT(EPOCH FROM due_at - statement_timestamp())::float8",
    },
    "sqlite": {
        "now": "strftime('%Y-%m-%d %H:%M:%f', 'now')",
        "seconds": "(julianday(due_at) - julianday('now')) * 86400",
    },
}


def seconds_to_due() -> float | None:
    """How long until the next thing is to be done, over all environments, in one statement and by the
    database's clock; not above 0 when it is overdue, None when nothing is waiting.

    Counts due steps, leases that ran out and cancellations not yet archived. Written out, since composing it
    takes longer than answering it (docs/decisions/0003-raw-statements.md).
    """
    with connection.cursor() as cursor:
        cursor.execute(DUE.format(**_WORDS[connection.vendor]))
        rows = cursor.fetchall()
    return min(
        (0.0 if at_once else waiting for waiting, at_once in rows if at_once or waiting is not None),
        default=None,
    )
