"""Looks up many tokens or keys at once, each through the index, in one statement."""

from __future__ import annotations

import json
from collections.abc import Sequence

from django.db import connection

from automations.models.lookups import LAST_CHARACTER

# The order is that of the index, so that no other one will do: a planner that thinks a token common would
# rather read the newest runs, and read them all when it is not there.
PROBE = {
    "postgresql": """
SELECT (SELECT id FROM automations_run
        WHERE environment_id = %s AND {column} ~>=~ low AND {column} ~<=~ high
        ORDER BY {column} USING ~>~, id DESC LIMIT 1)
FROM unnest(%s::text[], %s::text[]) AS sought(low, high)
""",
    "sqlite": """
SELECT (SELECT id FROM automations_run
        WHERE environment_id = %s AND {column} >= low.value AND {column} <= high.value
        ORDER BY {column} DESC, id DESC LIMIT 1)
FROM json_each(%s) AS low JOIN json_each(%s) AS high USING (key)
""",
}
COLUMNS = ("token", "key")


def runs_with(
    column: str, *, environment_id: int, values: Sequence[str], prefixes: Sequence[str] = ()
) -> list[int]:
    """For each of the values the newest run whose `column` (token or key) it is, for each prefix one run whose
    column begins with it: primary keys, of those there are."""
    if column not in COLUMNS:
        raise ValueError(column)
    lows, highs = [*values, *prefixes], [*values, *(prefix + LAST_CHARACTER for prefix in prefixes)]
    written = json.dumps if connection.vendor == "sqlite" else list
    with connection.cursor() as cursor:
        cursor.execute(
            PROBE[connection.vendor].format(column=column), [environment_id, written(lows), written(highs)]
        )
        return sorted({pk for (pk,) in cursor.fetchall() if pk is not None})
