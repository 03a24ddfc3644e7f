"""The statements a test provokes, in words also where PostgreSQL was only told the name of one it has planned."""

from __future__ import annotations

import re
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext  # noqa: TID251

_EXECUTE = re.compile(r"EXECUTE (kept_\w+)")


class Captured(CaptureQueriesContext):
    """Django's, of the default connection; each EXECUTE has the text of what it carries out as a comment."""

    def __init__(self) -> None:
        super().__init__(connection)

    @property
    def captured_queries(self) -> list[dict[str, Any]]:
        asked = super().captured_queries
        if connection.vendor != "postgresql" or not any("EXECUTE kept_" in query["sql"] for query in asked):
            return asked
        rows = connection.connection.execute("SELECT name, statement FROM pg_prepared_statements").fetchall()
        texts = {name: statement.partition(" AS ")[2] for name, statement in rows}
        return [
            {**query, "sql": _EXECUTE.sub(lambda m: f"{m[0]} /* {texts[m[1]]} */", query["sql"])}
            for query in asked
        ]
