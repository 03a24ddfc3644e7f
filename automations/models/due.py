"""How long until there is something to do, which a cluster asks a dozen times a second while it idles, and how much of
it there will be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import QuerySet

from automations.models.kept import Kept
from automations.models.live_run_moves import at
from automations.models.statements import fetch

# A lease that ran out is looked for only where something was due and nothing waits overdue: where something does, it
# is time anyway. Nor by EXISTS, which PostgreSQL answers for many environments by reading every run.
DUE = """
WITH e AS MATERIALIZED (
    SELECT id, (SELECT {seconds} FROM automations_liverun
                WHERE environment_id = automations_environment.id AND state = 'waiting'
                ORDER BY due_at LIMIT 1) AS seconds
    FROM automations_environment
)
SELECT id,
    CASE WHEN seconds <= 0 THEN seconds
         WHEN (SELECT due_at FROM automations_liverun WHERE environment_id = e.id ORDER BY due_at LIMIT 1) <= {now}
         THEN CASE WHEN (SELECT 1 FROM automations_liverun
                         WHERE environment_id = e.id AND state IN ('running', 'cancelling')
                           AND due_at <= {now} AND lease_until < {now} ORDER BY due_at LIMIT 1) = 1 THEN 0.0
                   ELSE seconds END
         ELSE seconds END,
    EXISTS (SELECT 1 FROM automations_cancellation WHERE environment_id = e.id AND archived_at IS NULL)
    OR EXISTS (SELECT 1 FROM automations_cancellation
               WHERE environment_id = e.id AND scheduled IS NOT NULL AND undone_at IS NULL AND "at" <= {now})
    OR EXISTS (SELECT 1 FROM automations_liverun WHERE environment_id = e.id AND unsettled IS NOT NULL)
    OR {resuming},
    {owed}
FROM e
"""
RESUMING = """
    EXISTS (SELECT 1 FROM automations_automation WHERE environment_id = e.id AND resuming IS NOT NULL)
"""
# By the endpoint, of which there are few: a subquery with min() reads one entry of the index for each.
OWED = """
    EXISTS (SELECT 1 FROM automations_webhookendpoint w
            WHERE w.disabled_at IS NULL
              AND (SELECT min(next_attempt_at) FROM automations_webhookdelivery
                   WHERE endpoint_id = w.id AND next_attempt_at IS NOT NULL) <= {now})
    OR EXISTS (SELECT 1 FROM automations_oncancelstart WHERE due_at <= {now})
"""
# One row for each stretch; what counts it names its ends.
COUNTED = """
WITH stretches(place, first, second) AS (VALUES {stretches})
SELECT place, (SELECT count(*) FROM ({counting}) capped) FROM stretches ORDER BY place
"""
STRETCH = {"postgresql": "(%s::int, %s::timestamptz, %s::timestamptz)", "sqlite": "(%s, %s, %s)"}
# Two moments that nothing is due at, to be found among the values of a composed statement.
MARKS = (datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 2, tzinfo=UTC))
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
    """`times` are the seconds until the next step of an environment (its primary key) is due or a lease has run
    out, not above 0 when one is; `unsettled` the environments in which lost attempts are not settled, cancelled
    runs not archived, a cancel is due, or, where it was asked for, runs are to go on that were held; `owed` says,
    where it was asked for, that a webhook endpoint is to be told something now or an `on_cancel` to be carried out.
    """

    times: Mapping[int, float]
    unsettled: frozenset[int]
    owed: bool = False

    @property
    def seconds(self) -> float | None:
        """The shortest of the times; None when nothing waits."""
        return min(self.times.values(), default=None)


def what_is_due(*, also_owed: bool = False) -> Due:
    """What is to be done next over all environments, in one statement and by the database's clock.

    Not `also_owed` each time: that part can wait a second.

    Written out, since composing it takes longer than answering it (docs/decisions/0003-raw-statements.md).
    """
    (rows,) = fetch([Kept(_text(connection.vendor, also_owed=also_owed))])
    return Due(
        times={pk: seconds for pk, seconds, *_ in rows if seconds is not None},
        unsettled=frozenset(pk for pk, _, unsettled, _ in rows if unsettled),
        owed=any(owed for *_, owed in rows),
    )


@lru_cache
def _text(vendor: str, *, also_owed: bool) -> str:
    words = _WORDS[vendor]
    seldom = {"owed": OWED.format(**words), "resuming": RESUMING}
    # Of a statement with parameters, though it has none.
    return DUE.format(**words, **(seldom if also_owed else dict.fromkeys(seldom, "1 = 0"))).replace("%", "%%")


def counted_between(
    rows: QuerySet[Any], stretches: Sequence[tuple[datetime, datetime]], *, most: int
) -> list[int]:
    """How many of these live rows are due at the first moment (UTC) or later and before the second, counted up to
    `most`, for each of the stretches, in one statement. What counts one is composed once for all, and planned once:
    beside bars both take longer than the counting."""
    first, second = MARKS
    between = rows.filter(due_at__gte=first, due_at__lt=second).order_by().values("pk")[:most]
    text, values = between.query.sql_with_params()
    ends = {at(mark): f"stretches.{name}" for mark, name in zip(MARKS, ("first", "second"), strict=True)}
    counting = text.replace("%%", "%%%%") % tuple(ends.get(value, "%s") for value in values)
    given = [value for value in values if value not in ends]
    moments = [
        value for place, stretch in enumerate(stretches) for value in (place, *(at(end) for end in stretch))
    ]
    asked = COUNTED.format(
        stretches=", ".join([STRETCH[connection.vendor]] * len(stretches)), counting=counting
    )
    (counts,) = fetch([(asked, [*moments, *given])])
    return [count for _, count in counts]
