"""How long until there is something to do: what a cluster asks a dozen times a second while it idles."""

from __future__ import annotations

from typing import NamedTuple

from django.db import connection

DUE = """
SELECT
    (SELECT {seconds} FROM automations_liverun
     WHERE environment_id = e.id AND state = 'waiting' ORDER BY due_at LIMIT 1),
    EXISTS (SELECT 1 FROM automations_liverun
            WHERE environment_id = e.id AND state IN ('running', 'cancelling')
              AND due_at <= {now} AND lease_until < {now}),
    EXISTS (SELECT 1 FROM automations_cancellation WHERE environment_id = e.id AND archived_at IS NULL)
    OR EXISTS (SELECT 1 FROM automations_liverun WHERE environment_id = e.id AND unsettled IS NOT NULL)
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


class Due(NamedTuple):
    """`seconds` until the next step is due or a lease has run out, not above 0 when one is, None when nothing
    waits; `unsettled` says that lost attempts are not settled, or cancelled runs not archived."""

    seconds: float | None
    unsettled: bool


def what_is_due() -> Due:
    """What is to be done next over all environments, in one statement and by the database's clock.

    Written out, since composing it takes longer than answering it (docs/decisions/0003-raw-statements.md).
    """
    with connection.cursor() as cursor:
        cursor.execute(DUE.format(**_WORDS[connection.vendor]))
        rows = cursor.fetchall()
    seconds = [0.0 if expired else waiting for waiting, expired, _ in rows if expired or waiting is not None]
    return Due(seconds=min(seconds, default=None), unsettled=any(unsettled for _, _, unsettled in rows))
