"""SuprSend's cancel among 1,000,000 unfinished runs: by each of its filters and by every two, of up to 100 runs."""

from __future__ import annotations

import gc
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple
from uuid import UUID

import django

from tests.bench.bars import statements, timed
from tests.bench.figures import line, milliseconds, percentile

WAITING = 20_000 if os.environ.get("BENCH_SMALL") else 1_000_000
EACH = 100  # runs that a filter matches, spread over the table
MOST_SAMPLES = 100
FIELDS = ("execution_id", "recipients", "idempotency_key", "workflow_slug", "tenant_id", "cancellation_key")
# What half of all runs have in common: every other group of them a workflow, the others a tenant.
COMMON = ("workflow_slug", "tenant_id")
RUNS = """
INSERT INTO automations_run (id, uid, environment_id, invocation_id, automation_id, recipient, key, profile, source,
                             token_error, status_reason, has_errors, created_at)
SELECT %s + n, made.uid, i.environment_id, i.id, i.automation_id, 'r' || (n %% {groups}), 'k' || (n %% {groups}),
       '{{}}', 'bench', '', '', false, made.created_at
FROM ({rows}) made JOIN automations_invocation i ON i.idempotency_key = 'i' || (n %% {groups})
"""
LIVE = """
INSERT INTO automations_liverun (run_id, uid, environment_id, invocation_id, automation_id, recipient, key, tenant,
                                 source, created_at, due_at, state, position, attempt, fence)
SELECT %s + n, made.uid, i.environment_id, i.id, i.automation_id, 'r' || (n %% {groups}), 'k' || (n %% {groups}),
       i.tenant, 'bench', made.created_at, due_at, 'waiting', '1', 0, 0
FROM ({rows}) made JOIN automations_invocation i ON i.idempotency_key = 'i' || (n %% {groups})
"""


def main() -> None:
    django.setup()
    from tests.bench import waiting

    begun = time.perf_counter()
    groups = WAITING // EACH
    first = fill(groups)
    waiting.vacuum()
    line("waiting runs", f"{WAITING:,}, filled in {time.perf_counter() - begun:.0f} s")
    wanted = [
        (common, names)
        for common in COMMON
        for names in (*combinations(FIELDS, 1), *combinations(FIELDS, 2))
        if names != (common,)
    ]
    # The other half of the groups is for the bare UPDATEs.
    amount = min(MOST_SAMPLES, groups // len(wanted) // 2)
    numbers = {common: itertools.count(place, 2) for place, common in enumerate(COMMON)}
    gc.collect()
    gc.disable()
    slowest = "", Samples.none()
    for common, names in wanted:
        told = " and ".join(f"{name} (half of all)" if name == common else name for name in names)
        samples = cancels(names, itertools.islice(numbers[common], amount), first=first, groups=groups)
        line(told, samples.told())
        slowest = max(slowest, (told, samples), key=lambda one: percentile(one[1].processor, 0.99))
    line("of these the one that took most of the processor", f"{slowest[0]}: {slowest[1].told()}")


class Samples(NamedTuple):
    """In seconds, of each cancel: the whole request without the network; of the processor, the database's included;
    its statements; and, in turn with it, a bare UPDATE of as many runs by their primary keys."""

    whole: list[float]
    processor: list[float]
    statements: list[float]
    bare: list[float]

    @classmethod
    def none(cls) -> Samples:
        return cls([0.0], [0.0], [0.0], [1.0])

    def told(self) -> str:
        p50, p99 = (percentile(self.processor, share) * 1000 for share in (0.5, 0.99))
        ratio = percentile(self.statements, 0.5) / percentile(self.bare, 0.5)
        return (
            f"{milliseconds(self.whole)} (p99 < 10 ms); of the processor p50 {p50:.1f} ms, p99 {p99:.1f} ms; "
            f"statements {ratio:.1f}x of a bare UPDATE, p99 {percentile(self.bare, 0.99) * 1000:.1f} ms"
        )


def fill(groups: int) -> int:
    """Groups of a hundred runs: each of one recipient with an address, one key and one invocation; of a tenant of its
    own or a workflow of its own. The primary key of the first run."""
    from django.db import connection

    from automations.models import Automation, Contact, Invocation, Run, database_now
    from tests.bench.waiting import ROWS
    from tests.scenes import production

    where, now = production(), database_now()
    keys = ["common", *(f"rare-{group}" for group in range(1, groups, 2))]
    automations = Automation.objects.bulk_create(
        Automation(environment=where, key=key, name="bench", draft={}) for key in keys
    )
    Invocation.objects.bulk_create(
        Invocation(
            environment=where, source="bench", dialect="suprsend", actor="bench", run_count=EACH, created_at=now,
            automation=automations[(group + 1) // 2 if group % 2 else 0], idempotency_key=f"i{group}",
            tenant="common" if group % 2 else f"t{group}", answer=[],
        )
        for group in range(groups)
    )  # fmt: skip
    Contact.objects.bulk_create(
        Contact(environment=where, recipient=f"r{group}", address=f"r{group}@b.co") for group in range(groups)
    )
    first = Run.objects.newest_pk() + 1
    rows = ROWS[connection.vendor].format(token="NULL", last=WAITING - 1)
    with connection.cursor() as cursor:
        for statement in (RUNS, LIVE):
            cursor.execute(statement.format(rows=rows, groups=groups), [first])
        if connection.vendor == "postgresql":
            cursor.execute("SELECT setval('automations_run_id_seq', %s)", [first + WAITING])
    return first


def cancels(names: Sequence[str], wanted: Iterator[int], *, first: int, groups: int) -> Samples:
    """Of each wanted group's cancel by these filters, as SuprSend's API is asked for it."""
    from django.test import Client

    from automations.models import ApiKey
    from tests.bench.processor import processor_seconds
    from tests.scenes import production

    _, key = ApiKey.objects.issue(environment=production(), name="b", scopes=("cancel",), created_by="b")
    client = Client(headers={"Authorization": f"Bearer {key}", "Host": "localhost"})
    # Loads what it takes.
    client.post("/v1/workflow_run/cancel/", {"execution_id": "nobody's"}, "application/json")
    samples = Samples([], [], [], [])
    for group in wanted:
        body = {name: value for name, value in filters(group).items() if name in names}
        worked, begun = processor_seconds(), time.perf_counter()
        with statements() as seconds:
            answer = client.post("/v1/workflow_run/cancel/", body, "application/json")
        samples.whole.append(time.perf_counter() - begun)
        samples.processor.append(processor_seconds() - worked)
        samples.statements.append(sum(seconds))
        assert answer.status_code == 200, answer.content
        assert len(answer.json()["execution_ids"]) == (1 if "execution_id" in names else EACH), body
        others = range(first + group + groups // 2, first + WAITING, groups)
        samples.bare.append(timed(partial(touch, others[: 1 if "execution_id" in names else EACH])))
    return samples


def touch(keys: Sequence[int]) -> None:
    """The least that any cancel of these runs could do, committed: a column that stands in no index."""
    from automations.models import LiveRun

    assert LiveRun.objects.filter(pk__in=keys).update(worker=1) == len(keys)


def filters(group: int) -> dict[str, Any]:
    """What finds the group, by every filter there is; its recipient by id or by address."""
    is_rare = group % 2 == 1
    return {
        "execution_id": str(UUID(f"018f0000-0000-7000-8000-{group:012x}")),
        "recipients": [f"r{group}@b.co" if is_rare else f"r{group}"],
        "idempotency_key": f"i{group}",
        "workflow_slug": f"rare-{group}" if is_rare else "common",
        "tenant_id": "common" if is_rare else f"t{group}",
        "cancellation_key": f"k{group}",
    }


if __name__ == "__main__":
    main()
