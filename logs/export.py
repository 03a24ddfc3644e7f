"""Writes the runs that a search of the logs finds, all of them, as CSV or as lines of JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from automations.models import Environment, Run
from logs import rows, words
from logs.search import Search

CHUNK = 500  # runs read at once
COLUMNS = (
    "id", "automation", "source", "recipient", "cancellation_token", "cancellation_key", "status",
    "status_reason", "created_at", "due_at", "finished_at", "cancelled_by",
)  # fmt: skip
# A spreadsheet takes what begins so for a formula (owasp.org, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
Line = Mapping[str, str | None]


def as_csv(search: Search, *, environment: Environment, now: datetime) -> Iterator[str]:
    """The columns' names, then a line for each run, newest first; no field is taken for a formula."""
    yield from csv_of(COLUMNS, _lines(search, environment, now))


def csv_of(columns: Sequence[str], lines: Iterable[Line]) -> Iterator[str]:
    """The columns' names, then the lines; no field is taken for a formula."""
    writer = csv.writer(_Echo())
    yield writer.writerow(columns)
    for line in lines:
        yield writer.writerow([_harmless(line[name] or "") for name in columns])


def as_json_lines(search: Search, *, environment: Environment, now: datetime) -> Iterator[str]:
    """An object on a line for each run, newest first."""
    for line in _lines(search, environment, now):
        yield json.dumps(line, ensure_ascii=False) + "\n"


FORMATS: Mapping[str, tuple[str, Callable[..., Iterator[str]]]] = {
    "csv": ("text/csv; charset=utf-8", as_csv), "jsonl": ("application/x-ndjson", as_json_lines),
}  # fmt: skip


def _lines(search: Search, environment: Environment, now: datetime) -> Iterator[Line]:
    """Chunk by chunk, so that a million runs take no more memory than five hundred."""
    before: int | None = search.before
    while True:
        found = search.runs(environment, now=now)
        runs, before = rows.read_page(
            replace(search, before=before), environment=environment, runs=found, size=CHUNK
        )
        yield from map(_line, runs)
        if before is None:
            return


def _line(run: Run) -> Line:
    cancellation = run.called_off_by
    return {
        "id": str(run.uid),
        "automation": run.automation.key if run.automation else None,
        "source": run.source,
        "recipient": run.recipient,
        "cancellation_token": run.token,
        "cancellation_key": run.key,
        "status": run.public_status,
        "status_reason": run.reason or None,
        "created_at": words.stamp(run.created_at),
        "due_at": words.stamp(run.due_at) if run.due_at else None,
        "finished_at": words.stamp(run.ended_at) if run.ended_at else None,
        "cancelled_by": cancellation.actor if cancellation is not None else None,
    }


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


class _Echo:
    """A file for `csv` that gives back what is written to it."""

    def write(self, text: str) -> Any:
        return text
