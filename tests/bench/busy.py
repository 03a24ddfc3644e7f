"""Fills production as a busy month leaves it: a million unfinished runs, a million finished, and all that is beside.

Rows by one statement for each table; what is common and what is rare is spread over them by a number's remainders.
"""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F

from automations.definition import parse
from automations.models import (
    ApiKey,
    AuditEntry,
    Automation,
    Cancellation,
    Environment,
    LiveRun,
    MessageTemplate,
    Provider,
    Run,
    User,
    Version,
    WebhookEndpoint,
    Worker,
    database_now,
    first_uid,
)
from automations.models.descent import Descent
from tests.bench.waiting import vacuum

SHARE = 50 if os.environ.get("BENCH_SMALL") else 1
RUNS = 2_000_000 // SHARE  # every other one is unfinished
CANCELLATIONS = 10_000 // SHARE
PENDING = 60  # of them, the newest: their runs are called off, and not archived yet
AUTOMATIONS = 1_000
VERSIONS = 120  # of the first automation
RECIPIENTS = 200_000 // SHARE
DELIVERIES = 100_000 // SHARE
FURTHER = 500  # keys, users, message templates; fewer of what there cannot be so many of
IN_FLIGHT = 128
AGE = timedelta(days=30)
SEND = {"action": "send", "message": {"content": {"title": "Order {{data.id}}", "body": "It is on its way."}}}
STEPS = [
    SEND,
    {"action": "delay", "duration": "1 day"},
    SEND,
    {"action": "delay", "duration": "3 days"},
    SEND,
]
TOKEN = "${`order-${data.id}`}"

WORDS = {
    "postgresql": {
        "numbers": "SELECT generate_series(0::bigint, {last}) AS n",
        "moment": "(timestamptz '{now}' + ({seconds}) * interval '1 second')",
        "uid": "(lpad(to_hex({milliseconds}), 12, '0') || '70008000' || lpad(to_hex({number}), 12, '0'))::uuid",
        "json": "::jsonb",
    },
    "sqlite": {
        "numbers": "WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < {last}) SELECT n FROM c",
        "moment": "strftime('%Y-%m-%d %H:%M:%f', '{now}', ({seconds}) || ' seconds')",
        "uid": "printf('%012x70008000%012x', {milliseconds}, {number})",
        "json": "",
    },
}
# `h` differs from run to run, `g` from invocation to invocation; ten runs have one in common.
MADE = """
SELECT n, h, g, n % 2 = 0 AS is_live, {first} + n AS pk, {first_invocation} + n / 10 AS invocation_id,
       -60 - ({age} * ({size} - n)) / {size} AS born,
       CASE WHEN g % 100 < 50 THEN 0 WHEN g % 100 < 80 THEN 1 + g / 100 % 9
            WHEN g % 100 < 95 THEN 10 + g / 100 % ({automations} / 5 - 10) END AS automation,
       CASE WHEN g % 100 = 7 THEN 'api/import' WHEN g % 1000 = 8 THEN 'ui/ana' WHEN g % 5 = 0 THEN 'api/other'
            ELSE 'api/backend' END AS source,
       CASE WHEN g % 7 = 0 THEN 'tenant-' || (g / 7 % 100) END AS tenant,
       'user-' || (h % {recipients}) AS recipient, CASE WHEN h % 3 = 0 THEN 'key-' || (n / 2) END AS key,
       CASE WHEN n % 2 = 0 AND h % 100 = 0 THEN 'gone-' || (h / 100 % {pending}) WHEN n % 20 = 0 THEN 'campaign'
            WHEN n % 20 = 1 THEN 'newsletter' WHEN n % 20 = 2 THEN 'batch-' || (n / 20000)
            WHEN h % 20 = 1 THEN NULL ELSE 'order-' || (n / 4) END AS token,
       CASE WHEN n % 2 = 0 THEN NULL WHEN h % 100 < 5 THEN 'failed' WHEN h % 100 < 10 THEN 'skipped'
            WHEN h % 100 < 20 THEN 'cancelled' ELSE 'completed' END AS status,
       CASE WHEN h % 100 = 0 THEN 'cancelled' WHEN n >= {size} - 2 * {in_flight} THEN 'running'
            ELSE 'waiting' END AS state,
       CASE WHEN h % 100 = 0 THEN {cancellations} - {pending} + h / 100 % {pending}
            ELSE n * ({cancellations} - {pending}) / {size} END AS cancellation,
       CASE WHEN n >= {size} - 2 * {in_flight} THEN -1 WHEN h % 2000 = 1 THEN -(h % 3600) - 61
            WHEN h % 5 = 0 THEN h % 86400 ELSE h % {age} END AS due
FROM (SELECT n, (n * 2654435761) % 2147483647 AS h, (n / 10 * 2654435761) % 2147483647 AS g FROM ({numbers}) c) c
"""
INVOCATIONS = """
INSERT INTO automations_invocation (id, uid, environment_id, automation_id, version_id, definition, data, source,
    dialect, actor, tags, tenant, skips_delays, run_count, created_at, answer, idempotency_key)
SELECT invocation_id, {uid}, {environment}, {first_automation} + automation, {first_version} + automation,
       CASE WHEN automation IS NULL THEN '{steps}'{json} END, ('{{"id": "' || n || '", "plan": "free"}}'){json},
       source, 'native', 'key/backend', '{tags}'{json}, tenant, false, 10, {born}, '[]'{json}, 'order-' || (n / 10)
FROM ({made}) made WHERE n % 10 = 0
"""
RUN = """
INSERT INTO automations_run (id, uid, environment_id, invocation_id, automation_id, version_id, recipient, profile,
    source, token, token_error, key, status, status_reason, has_errors, created_at, finished_at, cancellation_id)
SELECT pk, {uid}, {environment}, invocation_id, {first_automation} + automation, {first_version} + automation,
       recipient, '{profile}'{json}, source, token, '', key, status, '', false, {born},
       CASE WHEN NOT is_live THEN {ended} END, CASE WHEN status = 'cancelled' THEN {cancelled_by} END
FROM ({made}) made
"""
LIVE = """
INSERT INTO automations_liverun (run_id, uid, environment_id, invocation_id, automation_id, recipient, source, tenant,
    token, key, created_at, due_at, state, position, attempt, fence, lease_until, started_at, cancellation_id)
SELECT pk, {uid}, {environment}, invocation_id, {first_automation} + automation, recipient, source, tenant, token, key,
       {born}, {due}, state, '2', 0, 1, CASE WHEN state = 'running' THEN {later} END,
       CASE WHEN state = 'running' THEN {due} END, CASE WHEN state = 'cancelled' THEN {cancelled_by} END
FROM ({made}) made WHERE is_live
"""
EVENTS = """
INSERT INTO automations_event (run_id, at, kind, step, attempt, data)
SELECT pk, {ended}, 'step_failed', '0', 1, '{error}'{json} FROM ({made}) made WHERE status = 'failed'
"""
RECIPIENT = """
INSERT INTO automations_recipient (environment_id, key, profile, created_at, updated_at)
SELECT {environment}, 'user-' || n, '{profile}'{json}, {now}, {now} FROM ({numbers}) made
"""
DELIVERY = """
INSERT INTO automations_webhookdelivery (id, endpoint_id, run_id, event, at, status, attempts, log)
SELECT {uid}, {endpoint}, {first} + n, 'run.completed', {now}, 'delivered', 1, '{log}'{json} FROM ({numbers}) made
"""


def fill() -> None:
    """All of it. The environment is then as a month's work would have left it, and nobody is at work."""
    environment, now = Environment.objects.get(key="production"), database_now().replace(microsecond=0)
    automations, versions = _automations(environment)
    _cancellations(environment, now=now)
    given: dict[str, Any] = {
        "environment": environment.pk, "first_automation": automations, "first_version": versions, "now_at": now,
    }  # fmt: skip
    with connection.cursor() as cursor:
        for statement in (INVOCATIONS, RUN, LIVE, EVENTS):
            cursor.execute(_said(statement, size=RUNS, **given))
    _people(environment, now=now)
    _told(environment, given)
    _kin()
    _sequences()
    vacuum()


def uid_of(number: int, *, of: int, now: datetime) -> UUID:
    """The public id of the cancellation of that number: they are spread over the month."""
    age = -60 - int(AGE.total_seconds()) * (of - number) // of
    return UUID(int=first_uid(now + timedelta(seconds=age)).int | 0x7000_8000 << 48 | number)


def _said(statement: str, *, size: int, now_at: datetime, **given: Any) -> str:
    """The statement for so many rows, in the database's own words."""
    words, now = WORDS[connection.vendor], now_at.strftime("%Y-%m-%d %H:%M:%S")
    age, milliseconds = int(AGE.total_seconds()), int(now_at.timestamp()) * 1000

    def moment(seconds: str) -> str:
        return words["moment"].format(
            now=now if connection.vendor == "sqlite" else f"{now}+00", seconds=seconds
        )

    def uid(born: str, number: str) -> str:
        return words["uid"].format(milliseconds=f"{milliseconds} + ({born}) * 1000", number=number)

    numbers = words["numbers"].format(last=size - 1)
    known = {
        "first": 1, "first_invocation": 1, "age": age, "automations": AUTOMATIONS, "recipients": RECIPIENTS,
        "pending": PENDING, "cancellations": CANCELLATIONS, "in_flight": IN_FLIGHT, "size": size,
    }  # fmt: skip
    called_off = f"-60 - ({age} * ({CANCELLATIONS} - cancellation)) / {CANCELLATIONS}"
    return statement.format(
        made=MADE.format(numbers=numbers, **known), numbers=numbers, json=words["json"],
        uid=uid("born" if "born" in statement else "n / 1000 - 1000", "n"), cancelled_by=uid(called_off,
        "cancellation"),
        now=moment("0"), born=moment("born"), ended=moment("born + 30"), due=moment("due"), later=moment("3600"),
        first=1, steps=json.dumps({"steps": STEPS}), tags=json.dumps(["trial"]),
        profile=json.dumps({"name": "Ana Example", "email": "ana@example.com", "plan": "free"}),
        error=json.dumps({"error": {"code": "delivery_failed", "message": "it answered 502"}}),
        log=json.dumps([{"attempt": 1, "at": now_at.isoformat(), "milliseconds": 83, "status": 200, "error": None,
                         "answer": "ok"}]),
        **given,
    )  # fmt: skip


def _automations(environment: Environment) -> tuple[int, int]:
    """The primary keys of the first automation, and of its published version; the others follow each in order."""
    now = database_now()
    definition = dict(parse({"steps": STEPS, "cancellation_token": TOKEN}).source)
    Automation.objects.bulk_create(
        Automation(
            environment=environment, key=f"automation-{number}", name=f"Automation {number:04d}",
            draft=definition, updated_by="user/ana",
        )
        for number in range(AUTOMATIONS)
    )  # fmt: skip
    first = Automation.objects.order_by("pk").values_list("pk", flat=True)[0]
    told = {"definition": definition, "published_at": now, "published_by": "user/ana"}
    Version.objects.bulk_create(
        Version(automation_id=first + number, number=VERSIONS if number == 0 else 1, **told)
        for number in range(AUTOMATIONS)
    )
    version = Version.objects.order_by("pk").values_list("pk", flat=True)[0]
    Version.objects.bulk_create(
        Version(automation_id=first, number=number, note=f"Change {number}", **told)
        for number in range(1, VERSIONS)
    )
    Automation.objects.update(published=F("pk") - first + version)
    return first, version


def _cancellations(environment: Environment, *, now: datetime) -> None:
    """One in ten called off a thousand runs. Of those that are pending three are bars that stand."""
    Cancellation.objects.bulk_create(
        (_cancellation(environment, number, now=now) for number in range(CANCELLATIONS)), batch_size=1_000
    )
    first = Automation.objects.order_by("pk").values_list("pk", flat=True)[0]
    standing: list[dict[str, Any]] = [
        {"source": "api/import"},
        {"token": "batch-3"},
        {"automation_id": first + 3},
    ]
    bars = ["source:api/import", "label:batch-3", f"automation:{first + 3}"]
    Cancellation.objects.bulk_create(
        Cancellation(
            environment=environment, actor="key/backend", origin="api", filter={**scope, "up_to": RUNS}, bar=bar,
            as_of=now, as_of_run=RUNS, counted=False, swept_to=RUNS // 4,
        )
        for scope, bar in zip(standing, bars, strict=True)
    )  # fmt: skip


def _cancellation(environment: Environment, number: int, *, now: datetime) -> Cancellation:
    pk, is_pending = uid_of(number, of=CANCELLATIONS, now=now), number >= CANCELLATIONS - PENDING
    token = f"gone-{number - CANCELLATIONS + PENDING}" if is_pending else f"order-{number}"
    amount = 1_000 if number % 10 == 0 else 3
    at = now - AGE * (CANCELLATIONS - number) / CANCELLATIONS
    return Cancellation(
        pk=pk, environment=environment, actor="user/ana" if number % 2 else "key/backend",
        origin="browser" if number % 2 else "api", reason="the order was paid", filter={"token": token}, as_of=at,
        as_of_run=RUNS * number // CANCELLATIONS, matched=amount, cancelled=amount, already_finished=0,
        cancelled_run_ids=[str(UUID(int=pk.int + run)) for run in range(amount)], swept_at=at,
        archived_at=None if is_pending else at,
    )  # fmt: skip


def _people(environment: Environment, *, now: datetime) -> None:
    """Users, keys, what they changed, message templates, further environments, workers."""
    numbers = range(FURTHER)
    User.objects.bulk_create(User(username=f"user{n}", password="!", role="operator") for n in numbers)
    ApiKey.objects.bulk_create(
        ApiKey(
            environment=environment, name=f"backend {n}", public_id=f"{n:08d}", secret_sha256="0" * 64,
            scopes=["read", "invoke"], created_by="user/ana", revoked_at=now if n % 5 else None,
        )
        for n in numbers
    )  # fmt: skip
    MessageTemplate.objects.bulk_create(
        MessageTemplate(
            environment=environment, key=f"message-{n}", name=f"Message {n}", title="Hello {{data.name}}",
            body="Good to have you here. " * 40, created_at=now, updated_at=now, updated_by="user/ana",
        )
        for n in numbers
    )  # fmt: skip
    AuditEntry.objects.bulk_create(
        AuditEntry(
            environment=environment, at=now - AGE * (CANCELLATIONS - n) / CANCELLATIONS, actor="user/ana",
            action="key.made" if n % 50 == 0 else "runs.cancelled", object=f"cancellation/{n}", address="192.0.2.7",
            after={"filter": {"token": f"order-{n}"}, "reason": "the order was paid"},
        )
        for n in range(0, CANCELLATIONS, 2)
    )  # fmt: skip
    Environment.objects.bulk_create(Environment(key=f"team-{n}") for n in range(len(numbers) // 10))
    Provider.objects.bulk_create(
        Provider(
            environment=environment, key=f"provider-{n}", kind="apprise", service="slack", sealed="x" * 100,
            created_at=now, created_by="user/ana",
        )
        for n in range(len(numbers) // 5)
    )  # fmt: skip
    ahead = now + timedelta(days=1)  # so that they count as alive for as long as the bench lasts
    Worker.objects.bulk_create(
        Worker(name=f"worker-{n}", host="machine", pid=n, started_at=now, seen_at=ahead, worked_at=ahead)
        for n in range(2)
    )


def _told(environment: Environment, given: dict[str, Any]) -> None:
    """Recipients, and webhook endpoints with what one of them was told."""
    endpoints = WebhookEndpoint.objects.bulk_create(
        WebhookEndpoint(
            environment=environment, url=f"https://shop-{n}.invalid/hooks", events=["run.completed"],
            created_at=given["now_at"], created_by="user/ana",
        )
        for n in range(20)
    )  # fmt: skip
    pk = endpoints[0].pk
    endpoint = f"'{pk if connection.features.has_native_uuid_field else pk.hex}'"
    with connection.cursor() as cursor:
        cursor.execute(_said(RECIPIENT, size=RECIPIENTS, **given))
        cursor.execute(_said(DELIVERY, size=DELIVERIES, endpoint=endpoint, **given))


def _kin() -> None:
    """Makes every hundredth of the oldest ten thousand unfinished runs a child of the one before it."""
    older = list(LiveRun.objects.order_by("pk").values_list("pk", flat=True)[: 10_000 // SHARE])
    pairs = list(zip(older[::100], older[1::100], strict=False))
    for parent, child in pairs:
        Run.objects.filter(pk=child).update(parent=parent)
        LiveRun.objects.filter(pk=child).update(parent=parent)
    Descent.objects.bulk_create(Descent(ancestor_id=parent, run_id=child) for parent, child in pairs)


def _sequences() -> None:
    """Rows that follow are given keys of their own."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for table in ("run", "invocation"):
                cursor.execute(
                    f"SELECT setval('automations_{table}_id_seq', (SELECT max(id) FROM automations_{table}))"
                )
