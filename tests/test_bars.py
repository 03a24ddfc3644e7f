"""A cancel of more runs than are moved before its answer: in force and shown at once, swept afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.db.models.signals import post_init

from automations import cancellation as cancelling
from automations import execution
from automations.api.native.receipts import receipts
from automations.cancellation import CancelRequest
from automations.execution import housekeeping
from automations.models import (
    Cancellation,
    LiveRun,
    Origin,
    Run,
    RunStatus,
    live_run_bars,
    standing,
    suspects,
)
from automations.models.statements import fetch
from tests.captured import Captured
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    expire_leases,
    finish,
    invoke,
    make_due,
    production,
    publish,
    read,
    run_of,
    start,
    status,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _every_cancel_of_two_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 1)


def many(*steps: dict[str, Any], token: str = "t", amount: int = 3, **given: Any) -> list[Run]:
    accepted = invoke(*steps, token=token, recipients=[f"r{n}" for n in range(amount)], **given)
    return [run_of(accepted, index) for index in range(amount)]


def bar(**fields: Any) -> Cancellation:
    receipt = cancel_runs(**fields)
    assert receipt.bar is not None
    assert receipt.swept_at is None
    return receipt


def swept(receipt: Cancellation) -> Cancellation:
    while standing().exists():
        housekeeping.sweep(production())
    receipt.refresh_from_db()
    return receipt


def shown(status: str) -> set[int]:
    """The runs a list narrowed to that status holds."""
    bars = list(standing(environment=production()))
    runs = Run.objects.within(production())
    found = runs.in_status(status, environment=production(), most=50, bars=bars).listed()
    assert {run.public_status for run in found} <= {status}
    return {run.pk for run in found}


def test_it_is_shown_at_once_wherever_runs_are_shown() -> None:
    runs, spared = many(DELAY), many(DELAY, token="other")
    receipt = bar(token="t")
    assert (receipt.matched, receipt.cancelled, receipt.counted, receipt.in_flight) == (None, None, False, [])
    assert LiveRun.objects.filter(state="waiting").count() == 6
    assert [status(run) for run in runs] == ["cancelled"] * 3
    assert [status(run) for run in spared] == ["waiting"] * 3
    assert shown(RunStatus.CANCELLED) == {run.pk for run in runs}
    assert shown(RunStatus.WAITING) == {run.pk for run in spared}
    first = read(runs[0])
    assert (first.called_off_by, first.ended_at, first.reason) == (receipt, receipt.as_of, "cancel_request")
    assert cancelling.unfinished_with_label(environment=production(), token="t") == 0


def test_one_run_is_read_without_bars_where_none_is_for_it() -> None:
    runs, *_ = many(DELAY), many(DELAY, token="u"), many(DELAY, token="v")
    bar(token="u")
    bar(token="v")
    assert [read_with_bars(one) for one in runs[:2]] == [("waiting", 0)] * 2
    bar(token="t")
    assert [read_with_bars(one) for one in runs[:2]] == [("cancelled", 3)] * 2


def read_with_bars(run: Run) -> tuple[str, int]:
    """The run's status, and how many bars were read for it."""
    found: list[Cancellation] = []

    def note(instance: Cancellation, **_: Any) -> None:
        found.append(instance)

    post_init.connect(note, sender=Cancellation)
    try:
        one = Run.objects.with_state().find(run.uid)
        return one.public_status if one is not None else "", len(found)
    finally:
        post_init.disconnect(note, sender=Cancellation)


def test_a_run_whose_bar_is_swept_while_it_is_read_is_shown_as_called_off() -> None:
    run, *_ = many(DELAY)
    receipt = bar(token="t")
    over, _ = live_run_bars.bars_over([run.pk])
    asked: list[str] = []

    def sweep_first(execute: Any, statement: str, *given: Any) -> Any:
        if statement.startswith(over) and not asked:
            asked.append(statement)
            assert swept(receipt).swept_at is not None
        return execute(statement, *given)

    with connection.execute_wrapper(sweep_first):
        found = Run.objects.with_state().find(run.uid)
    assert (len(asked), found is not None and found.public_status) == (1, "cancelled")


def test_nothing_under_it_starts_and_what_is_accepted_later_does() -> None:
    runs = many(SEND)
    receipt = bar(token="t")
    later = run_of(invoke(SEND, token="t"))
    other = run_of(invoke(SEND, token="other"))
    assert {task.claim.run_id for task in start()} == {later.pk, other.pk}
    assert set(LiveRun.objects.filter(cancellation=receipt.pk).values_list("pk", flat=True)) == {
        run.pk for run in runs
    }


def test_a_step_in_flight_is_listed_and_nothing_follows_it() -> None:
    runs = {run.pk: run for run in many(SEND, SEND)}
    tasks = start(room=1)
    run = runs[tasks[0].claim.run_id]
    receipt = bar(token="t")
    assert [(entry["run"], entry["attempt"]) for entry in receipt.in_flight] == [(str(run.uid), 1)]
    assert read(run).is_settling
    assert len(cancelling.outstanding(receipt)) == 1
    assert finish(*[execution.perform(task) for task in tasks], room=9) == []
    assert (status(run), cancelling.outstanding(receipt)) == ("cancelled", [])
    assert LiveRun.objects.get(pk=run.pk).state == "cancelled"
    assert list(run.events.values_list("kind", flat=True)) == ["invoked", "step_completed"]


def test_a_list_of_receipts_knows_that_it_has_not_settled_before_it_is_swept() -> None:
    many(SEND)
    task = start(room=1)[0]
    receipt = bar(token="t")
    assert [one["settled"] for one in receipts([receipt])] == [False]
    finish(execution.perform(task))
    assert [one["settled"] for one in receipts([receipt])] == [True]
    receipt.in_flight = None
    assert [one["settled"] for one in receipts([receipt])] == [False]


def test_a_lost_step_under_it_is_not_tried_again() -> None:
    many(SEND)
    (task,) = start(room=1)
    receipt = bar(token="t")
    expire_leases()
    housekeeping.reap(production())
    live = LiveRun.objects.get(pk=task.claim.run_id)
    assert (live.state, live.cancellation_id) == ("cancelling", receipt.pk)
    assert start() == []


def test_of_two_that_are_for_the_same_runs_the_older_has_them() -> None:
    publish("one", {"steps": [SEND], "cancellation_token": "t"})
    runs = [run_of(invoke(definition=None, automation="one")) for _ in range(3)]
    newest = run_of(invoke(SEND, token="t"))
    older = bar(automation="one")
    younger = bar(token="t")
    small = cancel_runs(run_ids=(runs[1].uid, newest.uid))
    assert start() == []
    assert (swept(older).cancelled, swept(younger).cancelled) == (3, 1)
    assert (small.cancelled, read(newest).called_off_by) == (0, younger)
    assert [read(run).called_off_by for run in runs] == [older] * 3


def test_a_small_cancel_takes_nothing_from_a_bar() -> None:
    runs = many(DELAY)
    spared = run_of(invoke(DELAY, key="k"))
    receipt = bar(token="t")
    small = cancel_runs(run_ids=(runs[0].uid, spared.uid))
    assert (small.cancelled_run_ids, small.matched, small.already_finished) == ([str(spared.uid)], 2, 1)
    assert read(runs[0]).called_off_by == receipt


def test_the_rest_of_its_filter_is_minded() -> None:
    hit = many(SEND, tags=["vip"])
    spared = many(SEND, tags=["other"])
    bar(token="t", tags=("vip",))
    assert [status(run) for run in [*hit, *spared]] == ["cancelled"] * 3 + ["waiting"] * 3
    assert {task.claim.run_id for task in start()} == {run.pk for run in spared}


def test_it_is_swept_in_parts_and_then_archived(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = many(DELAY, amount=5)
    receipt = bar(token="t")
    monkeypatch.setattr(housekeeping, "_swept_at_once", [2])
    monkeypatch.setattr(housekeeping, "SWEPT_AT_MOST", 2)
    monkeypatch.setattr(housekeeping, "SWEPT_AT_LEAST", 2)
    states = []
    while standing().exists():
        housekeeping.sweep(production())
        states.append(LiveRun.objects.filter(state="cancelled").count())
    assert states == [2, 4, 5]
    receipt.refresh_from_db()
    assert (receipt.cancelled, receipt.swept_to) == (5, runs[-1].pk)
    archive_all()
    receipt.refresh_from_db()
    assert (receipt.matched, receipt.already_finished, receipt.counted) == (5, 0, True)
    assert set(Run.objects.filter(cancellation=receipt).values_list("status", flat=True)) == {"cancelled"}


def test_what_workers_gave_it_meanwhile_is_counted() -> None:
    runs = many(DELAY, amount=4)
    receipt = bar(token="t")
    make_due(*runs[:2])
    assert start() == []
    assert swept(receipt).cancelled == 4


def test_repeating_it_gives_the_same_receipt_also_when_its_first_sender_died_in_between() -> None:
    many(SEND)
    start(room=1)
    first = bar(token="t")
    again = CancelRequest(
        environment=production(), filter=first.scope, actor="user/ana", origin=Origin.API, idempotency_key="k",
        fingerprint="f",
    )  # fmt: skip
    Cancellation.objects.filter(pk=first.pk).update(
        in_flight=None, key_holder="k", fingerprint="f", key_expires_at="2100-01-01T00:00:00Z"
    )
    receipt, is_replay = cancelling.cancel(again)
    assert (receipt.pk, is_replay) == (first.pk, True)
    assert (receipt.in_flight, receipt.cancelled_run_ids) == (first.in_flight, first.cancelled_run_ids)


def test_a_receipt_that_its_sender_left_is_completed_before_its_runs_are_archived() -> None:
    runs = many(DELAY)
    receipt = bar(token="t")
    Cancellation.objects.filter(pk=receipt.pk).update(in_flight=None, cancelled_run_ids=[])
    archive_all()
    receipt.refresh_from_db()
    assert receipt.in_flight == []
    assert receipt.cancelled_run_ids == sorted(str(run.uid) for run in runs)


KINDS: list[dict[str, Any]] = [
    {"token": "t"}, {"token": "k"}, {"key": "k"}, {"source": "api/test"}, {"tenant": "acme"}, {"automation": "one"},
    {"everything": True}, {"tags": ("x",)},
]  # fmt: skip


@pytest.mark.parametrize("fields", KINDS)
def test_every_kind_of_bar_holds_before_it_is_swept(fields: dict[str, Any]) -> None:
    publish("one", {"steps": [SEND, SEND], "cancellation_token": "t"})
    runs = many(definition=None, automation="one", key="k", tags=["x"], tenant="acme")
    tasks = start(room=1)
    bar(**fields)
    assert [read_with_bars(run) for run in runs] == [("cancelled", 1)] * 3
    finish(*[execution.perform(task) for task in tasks])
    assert (start(), [status(run) for run in runs]) == ([], ["cancelled"] * 3)
    assert LiveRun.objects.get(pk=tasks[0].claim.run_id).state == "cancelled"


def test_many_labels_are_all_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more bars stand than a worker compares one by one."""
    monkeypatch.setattr(live_run_bars, "MOST_LABELS", 2)
    runs = [*many(SEND), *many(SEND, token="u"), *many(SEND, token="v"), *many(SEND, token="w")]
    for token in ("t", "u", "v"):
        bar(token=token)
    assert {task.claim.run_id for task in start()} == {run.pk for run in runs[9:]}


@pytest.mark.parametrize(
    ("label", "suspect"),
    [
        ("label:t", 3), ("label:k", 3), ("label:r0", 0), ("key:k", 3), ("key:t", 0), ("recipient:r0", 2),
        ("source:api/test", 6), ("source:other", 0), ("tenant:acme", 3), ("invocation", 3), ("automation", 3),
        ("all", 6), ("unheard of", 6),
    ],
)  # fmt: skip
def test_a_worker_suspects_in_its_memory_whom_its_statements_suspect(label: str, suspect: int) -> None:
    publish("one", {"steps": [SEND, SEND], "cancellation_token": "t"})
    runs = [*many(definition=None, automation="one", key="k", tenant="acme"), *many(SEND, token="other")]
    row = LiveRun.objects.get(pk=runs[0].pk)
    numbers = {"invocation": row.invocation_id, "automation": row.automation_id}
    label += f":{numbers[label]}" if label in numbers else ""
    claims = [task.claim for task in start()]
    condition, values = live_run_bars.suspicion([label])
    (rows,) = fetch([(f"SELECT run_id FROM automations_liverun WHERE {condition}", values)])
    assert sorted(suspects(claims, [label])) == sorted(pk for (pk,) in rows)
    assert len(rows) == suspect


def test_a_turn_beside_bars_for_others_asks_once_more() -> None:
    """Which labels they have, beside the gate."""
    environment, counts = production(), []
    many(SEND, SEND, amount=6)
    many(DELAY, token="other")
    tasks = start(room=2)
    for number in range(3):
        done = [execution.perform(task) for task in tasks]
        with Captured() as asked:
            tasks = execution.turn(environment=environment, done=done, room=2)
        counts.append(len(asked))
        if number == 0:
            bar(token="other")
    assert len(tasks) == 2
    on_a_line = int(connection.vendor == "postgresql")  # asked for beside the gate
    assert [count - counts[0] for count in counts] == [0, 1, 1 - on_a_line]


def test_runs_of_one_invocation_or_recipient_are_called_off_together() -> None:
    runs, spared = many(SEND), many(SEND, token="u")
    bar(invocation=runs[0].invocation.uid)
    assert ([status(run) for run in runs], status(spared[0])) == (["cancelled"] * 3, "waiting")
    again = many(SEND, token="v")
    bar(recipients=("r1",))
    assert [status(run) for run in [*spared, *again]] == ["waiting", "cancelled", "waiting"] * 2


def test_due_times_and_named_runs_are_called_off_one_by_one() -> None:
    runs = many(DELAY)
    due = read(runs[0]).due_at
    assert due is not None
    for fields in ({"due_after": due.replace(year=2000)}, {"run_ids": tuple(run.uid for run in runs)}):
        assert cancel_runs(**fields).bar is None
