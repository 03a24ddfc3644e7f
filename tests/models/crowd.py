"""Some thousand runs, as a database that has served for a month holds them, and the plans of statements over them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from automations.models import (
    Automation,
    Cancellation,
    Environment,
    Invocation,
    LiveRun,
    Run,
    first_uid,
    insert,
)
from automations.models.kept import as_sent
from automations.models.statements import Statement

LIVE = ARCHIVED = 4_000
TABLES = ("automations_liverun", "automations_run", "automations_invocation", "automations_cancellation")
_ALL_OF_IT = re.compile(r"[( )]|environment_id\s*=\s*(\d+|\?)|status IS NOT NULL|status>\?|AND")


def crowd(environment: Environment, *, now: datetime, size: int = LIVE + ARCHIVED) -> None:
    """As many runs as `size`, the older half of them archived, over thirty days; of their labels some are rare, some
    are common."""
    cancellation = Cancellation(
        environment=environment, actor="key/backend", origin="api", filter={}, as_of=now, swept_at=now,
        matched=0, cancelled=0, already_finished=0,
    )  # fmt: skip
    insert([cancellation])
    invocations = _invocations(environment, amount=size // 2, now=now)
    runs, live, first = [], [], Run.objects.newest_pk() + 1
    for number in range(size):
        invocation = invocations[number // 2]
        created_at = now - timedelta(days=30) * (1 - number / size)
        told: dict[str, Any] = {
            "environment": environment, "invocation": invocation, "automation": invocation.automation,
            "recipient": f"r{number % (size // 4)}", "source": invocation.source, "created_at": created_at,
            "token": f"t{number // 2}" if number % 3 else None, "key": f"k{number // 4}" if number % 2 else None,
        }  # fmt: skip
        uid = UUID(int=first_uid(created_at).int + first + number)
        run = Run(pk=first + number, uid=uid, profile={"name": "x" * 60}, **told)
        runs.append(run)
        if number < size // 2:
            run.status, run.finished_at = ("completed", "failed")[number % 20 == 0], created_at
            continue
        due_at = now + timedelta(days=30) * ((number * 7919 % size) / size)
        tags = _tags(number // 2)
        told |= {"tenant": invocation.tenant}
        live.append(LiveRun(run=run, uid=run.uid, tags=tags, position="1", due_at=due_at, **told))
    insert([*runs, *live])


def _invocations(environment: Environment, *, amount: int, now: datetime) -> list[Invocation]:
    automations = [
        Automation.objects.create(environment=environment, key=f"a{number}", name="a", draft={})
        for number in range(10)
    ]
    return Invocation.objects.bulk_create(
        Invocation(
            environment=environment, dialect="native", actor="key/backend", source=_source(number),
            automation=automations[_skewed(number)], run_count=2, tags=_tags(number) or [], created_at=now,
            tenant=_tenant(number), data={"order": number, "text": "x" * 100},
            idempotency_key=f"i{number}", definition={"steps": []},
        )
        for number in range(amount)
    )  # fmt: skip


def bars(environment: Environment, *, standing: int, swept: int, now: datetime) -> None:
    """Cancellations of labels that nobody has, so many of them bars that stand."""
    insert(
        Cancellation(
            environment=environment, actor="key/backend", origin="api", filter={"token": f"b{number}"},
            bar=f"label:b{number}", as_of=now, as_of_run=2**40, counted=False,
            archived_at=None if number < standing else now, swept_at=None if number < standing else now,
        )
        for number in range(standing + swept)
    )  # fmt: skip


def _skewed(number: int) -> int:
    """Of ten: more than half is the first, one in two hundred the last."""
    return 9 if number % 200 == 0 else min(number % 17, 8) if number % 2 else 0


def _source(number: int) -> str:
    return "ui/ana" if number % 150 == 7 else "api/backend" if number % 4 else "api/other"


def _tenant(number: int) -> str | None:
    return "acme" if number % 150 == 11 else "other" if number % 5 == 0 else None


def _tags(number: int) -> list[str] | None:
    return ["vip", "trial"] if number % 150 == 3 else ["trial"] if number % 3 == 0 else None


def analyse() -> None:
    """Lets PostgreSQL's planner know what there is; SQLite's goes by what it was told when the tables were made."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def walks(statement: Statement) -> list[str]:
    """Of the statement's plan, what reads a whole table, or all of an environment in it."""
    if connection.vendor == "postgresql":
        return sorted(_walks_of(_explained(statement)))
    return sorted(line for line in _lines(statement) if _is_walk(line))


def indexes(statement: Statement) -> set[str]:
    """The indexes, of our naming, that the statement is carried out by; and tables that are read without one."""
    if connection.vendor == "postgresql":
        return set(_read_by(_explained(statement)))
    return {
        line.partition(" INDEX ")[2].partition(" ")[0] or line for line in _lines(statement) if _is_ours(line)
    }


def statement_of(rows: QuerySet[Any]) -> Statement:
    return rows.query.sql_with_params()


def _explained(statement: Statement) -> Any:
    with connection.cursor() as cursor:
        sql, values = as_sent(statement)
        cursor.execute("SELECT set_config('plan_cache_mode', 'force_generic_plan', true)")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", values)
        ((explained,),) = cursor.fetchall()
    plan = json.loads(explained) if isinstance(explained, str) else explained
    return plan[0]["Plan"]


def _lines(statement: Statement) -> list[str]:
    sql, values = statement
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", values)
        return [str(row[3]) for row in cursor.fetchall()]


def _read_by(node: Mapping[str, Any]) -> Iterator[str]:
    if "Index Name" in node or node["Node Type"] == "Seq Scan":
        yield node.get("Index Name") or f"all of {node['Relation Name']}"
    for part in node.get("Plans", ()):
        yield from _read_by(part)


def _walks_of(node: Mapping[str, Any]) -> Iterator[str]:
    kind, table = node["Node Type"], node.get("Relation Name", node.get("Index Name", ""))
    bounds = node.get("Index Cond", "")
    if (kind == "Seq Scan" and table in TABLES) or ("Index" in kind and not _ALL_OF_IT.sub("", bounds)):
        yield f"{kind} of {node.get('Index Name', table)}"
    for part in node.get("Plans", ()):
        yield from _walks_of(part)


def _is_walk(line: str) -> bool:
    """A line of SQLite's: `SCAN table`, or `SEARCH table USING INDEX name (environment_id=?)`."""
    bounds = re.search(r"\(([^()]*)\)$", line)
    return _is_ours(line) and (line.startswith("SCAN") or bool(bounds and not _ALL_OF_IT.sub("", bounds[1])))


def _is_ours(line: str) -> bool:
    return any(table in line for table in TABLES)
