"""Cancels asked for a later time: carried out once, when it has come, or withdrawn before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automations import cancellation as cancelling
from automations import execution, scheduled, undo
from automations.cancellation import CancelRequest, NotWaiting
from automations.execution import what_is_due
from automations.explanation import explain
from automations.models import (
    Cancellation,
    CancellationFilter,
    Origin,
    Refusal,
    Run,
    database_now,
    standing,
)
from tests.captured import Captured
from tests.scenes import DELAY, SEND, archive_all, invoke, production, read, run_of, start, status

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def asked(**given: Any) -> CancelRequest:
    scope = CancellationFilter(**given.pop("filter", {"token": "t"}))
    return CancelRequest(
        environment=production(), filter=scope, actor="user/ana", origin=Origin.API, reason="why", **given
    )


def stored(**given: Any) -> Cancellation:
    """One asked for in an hour."""
    row, replayed = scheduled.schedule(asked(**given), at=database_now() + HOUR)
    assert not replayed
    return row


def make_due(row: Cancellation) -> None:
    """As if its time had come a moment ago."""
    Cancellation.objects.filter(pk=row.pk).update(at=database_now() - timedelta(milliseconds=1))


def anew(row: Cancellation) -> Cancellation:
    return Cancellation.objects.get(pk=row.pk)


def test_it_waits_for_its_time_and_hits_what_is_there_then() -> None:
    before = run_of(invoke(DELAY, token="t"))
    row = stored()
    assert (row.is_carried_out, row.counted, row.matched, row.as_of) == (False, False, None, row.at)
    after = run_of(invoke(DELAY, token="t"))
    assert not standing().exists()
    assert not what_is_due().unsettled
    execution.keep_house(production())
    assert [status(run) for run in (before, after)] == ["waiting", "waiting"]
    assert explain(read(before), row).reason == "scheduled"
    make_due(row)
    assert what_is_due().unsettled
    execution.keep_house(production())
    done = anew(row)
    assert [status(run) for run in (before, after)] == ["cancelled", "cancelled"]
    assert (done.is_carried_out, done.cancelled, done.matched, done.reason) == (True, 2, 2, "why")
    assert abs(done.as_of - database_now()) < timedelta(minutes=1)
    assert sorted(done.cancelled_run_ids) == sorted(str(run.uid) for run in (before, after))
    later = run_of(invoke(DELAY, token="t"))
    execution.keep_house(production())
    archive_all()
    assert status(later) == "waiting"
    assert [run.cancellation_id for run in Run.objects.order_by("pk")] == [row.pk, row.pk, None]


def test_what_it_finds_in_flight_is_on_its_receipt() -> None:
    run = run_of(invoke(SEND, token="t"))
    start()
    row = stored()
    make_due(row)
    execution.keep_house(production())
    assert [entry["run"] for entry in anew(row).in_flight] == [str(run.uid)]


def test_one_of_any_size_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 1)
    runs = [run_of(invoke(DELAY, token="t")) for _ in range(3)]
    row = stored()
    make_due(row)
    assert scheduled.carry_out_due(production(), now=database_now()) == 1
    assert list(standing()) == [row]
    assert [status(run) for run in runs] == ["cancelled"] * 3
    archive_all()
    done = anew(row)
    assert (done.cancelled, done.matched, done.counted) == (3, 3, True)


def test_it_is_carried_out_once() -> None:
    run_of(invoke(DELAY, token="t"))
    row = stored()
    make_due(row)
    request = scheduled._request(anew(row), production())
    assert scheduled.carry_out_due(production(), now=database_now()) == 1
    before = anew(row)
    assert scheduled.carry_out_due(production(), now=database_now()) == 0
    with pytest.raises(NotWaiting):
        cancelling.carry_out_now(request)
    assert anew(row).as_of == before.as_of


def test_its_time_to_be_undone_counts_from_then() -> None:
    run = run_of(invoke(DELAY, token="t"))
    row = stored(undo_for=timedelta(minutes=5))
    assert row.undo_until is None
    make_due(row)
    execution.keep_house(production())
    done = anew(row)
    assert done.undo_until == done.as_of + timedelta(minutes=5)
    assert undo.anybody_may(done, now=done.as_of + timedelta(minutes=5))
    assert not undo.anybody_may(done, now=done.as_of + timedelta(minutes=6))
    undo.undo(environment=production(), pk=row.pk, actor="a")
    assert status(run) == "waiting"


def test_undone_before_its_time_it_never_happens() -> None:
    run = run_of(invoke(DELAY, token="t"))
    row = stored()
    assert undo.anybody_may(row, now=row.as_of + HOUR)
    done = undo.undo(environment=production(), pk=row.pk, actor="user/bo")
    assert (done.restored, done.restored_at, done.undone_by) == (0, done.undone_at, "user/bo")
    make_due(row)
    assert not what_is_due().unsettled
    assert scheduled.carry_out_due(production(), now=database_now()) == 0
    assert (status(run), explain(read(run), anew(row)).reason) == ("waiting", "undone")
    with pytest.raises(Refusal, match="has been undone already"):
        undo.undo(environment=production(), pk=row.pk, actor="a")


def test_those_whose_time_came_while_nobody_was_there_are_carried_out_in_their_order() -> None:
    run_of(invoke(DELAY, token="t"))
    second, first = stored(), stored()
    for number, row in enumerate((first, second)):
        Cancellation.objects.filter(pk=row.pk).update(at=database_now() - HOUR * (9 - number))
    execution.keep_house(production())
    assert (anew(first).cancelled, anew(second).cancelled) == (1, 0)


def test_none_costs_a_round_of_housekeeping_one_statement() -> None:
    stored()
    with Captured() as queries:
        assert scheduled.carry_out_due(production(), now=database_now()) == 0
    assert len([query for query in queries if "automations_cancellation" in query["sql"]]) == 1


@pytest.mark.parametrize(
    ("ahead", "code"),
    [(-HOUR, "in_the_past"), (timedelta(), "in_the_past"), (timedelta(days=5 * 366 + 1), "too_far")],
)
def test_a_time_that_is_none_is_refused(ahead: timedelta, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        scheduled.schedule(asked(), at=database_now() + ahead)
    assert [(one.pointer, one.code) for one in refused.value.problems] == [("/at", code)]
    assert not Cancellation.objects.exists()


def test_a_filter_that_names_nothing_known_is_refused_at_once() -> None:
    with pytest.raises(Refusal, match="there is no automation"):
        stored(filter={"automation": "unknown"})
    with pytest.raises(Refusal, match="at least one filter"):
        stored(filter={})


def test_a_repeated_request_gives_the_same_one() -> None:
    row = stored(idempotency_key="k", fingerprint="f")
    again = scheduled.schedule(asked(idempotency_key="k", fingerprint="f"), at=database_now() + 2 * HOUR)
    assert again == (row, True)
    make_due(row)
    execution.keep_house(production())
    for at in (HOUR, -HOUR):  # also once the time that it names has passed
        done, replayed = scheduled.schedule(
            asked(idempotency_key="k", fingerprint="f"), at=database_now() + at
        )
        assert (done.pk, done.is_carried_out, replayed) == (row.pk, True, True)
