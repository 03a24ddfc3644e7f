"""Cancelling: what is hit, what is not, and what the receipt says."""

from __future__ import annotations

import pytest
from django.db import connection

from automations import cancellation as cancelling
from automations import execution
from automations.api.native.receipts import receipts
from automations.cancellation import CancelRequest, cancel, carry_out, place_bar, wait_until_settled
from automations.models import (
    Cancellation,
    CancellationFilter,
    Event,
    LiveRun,
    No,
    Origin,
    Refusal,
    database_now,
)
from tests.captured import Captured
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    finish,
    invoke,
    production,
    publish,
    read,
    run_of,
    start,
    status,
    statuses,
    work_off,
)  # fmt: skip

pytestmark = pytest.mark.django_db


def request(**given: object) -> CancelRequest:
    base = {
        "environment": production(),
        "actor": "key/a",
        "origin": Origin.API,
        "filter": CancellationFilter(token="t"),
    }
    return CancelRequest(**{**base, **given})  # type: ignore[arg-type]


def read_again(receipt: Cancellation) -> Cancellation:
    return Cancellation.objects.get(pk=receipt.pk)


def test_a_cancel_by_token_hits_exactly_the_runs_with_that_token_or_key() -> None:
    hit = [run_of(invoke(DELAY, token="a")), run_of(invoke(DELAY, token="b", key="a"))]
    spared = [run_of(invoke(DELAY, token=token)) for token in ("a-1", "A", "aa", "b")] + [
        run_of(invoke(DELAY))
    ]
    receipt = cancel_runs(token="a", reason="asked")
    assert [status(run) for run in hit] == ["cancelled", "cancelled"]
    assert [status(run) for run in spared] == ["waiting"] * 5
    assert (receipt.matched, receipt.cancelled, receipt.already_finished) == (2, 2, 0)
    assert receipt.cancelled_run_ids == [str(run.uid) for run in hit]
    assert (receipt.in_flight, receipt.counted, receipt.reason) == ([], True, "asked")


def test_a_cancel_by_key_leaves_the_tokens_alone() -> None:
    by_token, by_key = run_of(invoke(DELAY, token="a")), run_of(invoke(DELAY, key="a"))
    cancel_runs(key="a")
    assert (status(by_token), status(by_key)) == ("waiting", "cancelled")


def test_a_cancelled_run_is_archived_with_its_cancellation() -> None:
    run = run_of(invoke(DELAY, SEND, token="a"))
    receipt = cancel_runs(token="a")
    assert (read(run).reason, read(run).ended_at) == ("cancel_request", receipt.as_of)
    archive_all()
    receipt.refresh_from_db()
    run.refresh_from_db()
    assert (run.status, run.status_reason, run.finished_at) == ("cancelled", "cancel_request", receipt.as_of)
    assert (run.cancellation, LiveRun.objects.count()) == (receipt, 0)
    assert receipt.archived_at is not None
    assert list(Event.objects.filter(run=run).values_list("kind", flat=True)) == ["invoked", "cancelled"]


def test_cancelling_again_moves_nothing_and_says_so() -> None:
    run = run_of(invoke(DELAY, token="a"))
    first = cancel_runs(token="a")
    second = cancel_runs(token="a")
    assert (second.matched, second.cancelled, second.already_finished) == (1, 0, 1)
    assert (second.cancelled_run_ids, second.in_flight) == ([], [])
    assert read(run).called_off_by == first


def in_flight(receipt: Cancellation) -> list[tuple[str, int]]:
    return [(entry["run"], entry["fence"]) for entry in receipt.in_flight or ()]


@pytest.mark.parametrize("at_once", [1_000, 0])  # as a cancel of few runs, and as one of many
def test_a_later_cancel_names_what_an_earlier_one_has_left_in_flight(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", at_once)
    run, idle = run_of(invoke(SEND, SEND, token="t")), run_of(invoke(DELAY, SEND, token="t"))
    (task,) = start()
    first, second = cancel_runs(token="t"), cancel_runs(token="t")
    assert in_flight(first) == in_flight(second) == [(str(run.uid), task.claim.fence)]
    for _ in range(4):
        execution.keep_house(production())
    assert [status(idle), status(run)] == ["cancelled", "cancelled"]
    for receipt in (first, second):
        assert not wait_until_settled(receipt, seconds=0)
        assert [one["settled"] for one in receipts([read_again(receipt)])] == [False]
    finish(execution.perform(task))
    archive_all()
    assert [one["settled"] for one in receipts([read_again(first), read_again(second)])] == [True, True]
    assert Cancellation.objects.filter(archived_at=None).count() == 0
    assert in_flight(cancel_runs(token="t")) == []


def test_a_later_cancel_of_a_parent_names_what_is_in_flight_beneath_it() -> None:
    publish("child", {"steps": [SEND, SEND]})
    parent = run_of(invoke({"action": "invoke", "template": "child"}, DELAY, token="t"))
    finish(*[execution.perform(task) for task in start()])
    (task,) = start()
    first = cancel_runs(token="t")
    assert (first.cancelled, in_flight(first)) == (2, [(task.run, task.claim.fence)])
    assert (status(parent), in_flight(cancel_runs(token="t"))) == ("cancelled", in_flight(first))


def test_a_receipt_is_as_of_a_moment_at_which_nothing_starts_any_more() -> None:
    """A step that ended before it is not of those that were in flight; each of these started before it."""
    run = run_of(invoke(SEND, SEND, token="t"))
    before = database_now()
    (task,) = start()
    receipt = cancel_runs(token="t")
    assert before <= task.claim.started_at <= receipt.as_of
    assert [entry["run"] for entry in receipt.in_flight or ()] == [str(run.uid)]


def test_a_finished_run_stays_what_it_is() -> None:
    run = run_of(invoke(SEND, token="a"))
    work_off()
    receipt = cancel_runs(token="a")
    assert (status(run), receipt.cancelled, receipt.already_finished) == ("completed", 0, 1)


def test_a_cancel_that_matches_nothing_is_stored_too() -> None:
    receipt = cancel_runs(token="nobody", reason="typo")
    assert Cancellation.objects.get() == receipt
    assert (receipt.matched, receipt.cancelled, receipt.already_finished) == (0, 0, 0)


def test_a_later_run_with_the_same_token_is_not_hit() -> None:
    cancel_runs(token="a")
    run = run_of(invoke(DELAY, token="a"))
    assert status(run) == "waiting"


def test_run_ids_are_public_ids_of_this_environment() -> None:
    run = run_of(invoke(DELAY))
    unknown = Cancellation().pk
    receipt = cancel_runs(run_ids=(run.uid, unknown))
    assert (receipt.cancelled, status(run)) == (1, "cancelled")


def test_fields_of_a_filter_are_anded() -> None:
    one, other = run_of(invoke(DELAY, token="a", key="x")), run_of(invoke(DELAY, token="a", key="y"))
    cancel_runs(token="a", key="y")
    assert (status(one), status(other)) == ("waiting", "cancelled")


def test_an_empty_filter_is_refused_and_nothing_is_stored() -> None:
    run = run_of(invoke(DELAY))
    with pytest.raises(Refusal) as refused:
        cancel(request(filter=CancellationFilter()))
    assert (refused.value.kind, refused.value.code) == (No.MALFORMED, "empty_filter")
    assert (Cancellation.objects.count(), status(run)) == (0, "waiting")


def test_a_reason_of_more_than_500_characters_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        cancel(request(reason="x" * 501))
    assert [problem.pointer for problem in refused.value.problems] == ["/reason"]


def test_a_repeated_request_is_answered_with_the_first_receipt() -> None:
    invoke(DELAY, token="t")
    first, replayed = cancel(request(idempotency_key="k", fingerprint="f"))
    assert replayed is False
    later = run_of(invoke(DELAY, token="t"))
    again, replayed = cancel(request(idempotency_key="k", fingerprint="f"))
    assert (again, replayed, again.cancelled, status(later)) == (first, True, 1, "waiting")
    with pytest.raises(Refusal) as refused:
        cancel(request(idempotency_key="k", fingerprint="g"))
    assert refused.value.code == "idempotency_key_reused"


def test_a_cancel_of_one_run_and_of_many_costs_the_same_statements() -> None:
    counts = []
    for token, amount in (("one", 1), ("many", 80)):
        invoke(DELAY, token=token, recipients=[f"r{n}" for n in range(amount)])
        with Captured() as captured:
            assert cancel_runs(token=token, actor="key/test").cancelled == amount
        counts.append(len([query for query in captured if "SAVEPOINT" not in query["sql"]]))
    assert counts == ([4, 4] if connection.vendor == "postgresql" else [7, 7])
    assert statuses() == ["cancelled"] * 81


def test_a_filter_that_narrows_nothing_never_gets_as_far_as_a_cancel() -> None:
    run = run_of(invoke(DELAY))
    asked = request(filter=CancellationFilter(not_invocation_id=1))
    for verb in (carry_out, place_bar):
        with pytest.raises(AssertionError, match="narrows nothing"):
            verb(asked, now=database_now())
    assert status(run) == "waiting"
