"""Cancel steps: whom each finds, what it fails for, and those that are for many runs or for later ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from automations import cancellation as cancelling
from automations import execution
from automations.execution import housekeeping
from automations.models import Cancellation, Event, LiveRun, Run, standing, steps_of_run
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    finish,
    invoke,
    production,
    publish,
    read,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db


def cancel(**fields: Any) -> dict[str, Any]:
    return {"action": "cancel", **fields}


def waiting(**given: Any) -> Run:
    return run_of(invoke(DELAY, **given))


@pytest.fixture(params=["head", "later"])
def carry_out(request: pytest.FixtureRequest) -> Any:
    """Carries a cancel step out in an invoke's own transaction, or in the one that ends the step before it."""

    def carried_out(*steps: dict[str, Any], **given: Any) -> Run:
        if request.param == "head":
            return run_of(invoke(*steps, SEND, **given))
        run = run_of(invoke(SEND, *steps, SEND, **given))
        finish(*[execution.perform(task) for task in start() if task.claim.run_id == run.pk])
        return read(run)

    return carried_out


# -- whom it finds ----------------------------------------------------------------------------------------


def test_a_run_by_its_id(carry_out: Any) -> None:
    hit, spared = waiting(token="t"), waiting(token="t")
    own = carry_out(cancel(run_id="refs.data.run"), data={"run": str(hit.uid)})
    assert [status(run) for run in (hit, spared, own)] == ["cancelled", "waiting", "waiting"]
    receipt = Cancellation.objects.get()
    assert (receipt.cancelled_run_ids, receipt.actor) == ([str(hit.uid)], f"run/{own.uid}")
    output = next(step.output for step in steps_of_run(own) if step.action == "cancel")
    assert output == {"run_id": str(hit.uid), "cancellation": str(receipt.pk), "cancelled": 1}


@pytest.mark.parametrize(
    ("fields", "hit"),
    [
        ({"token": "t-{{data.n}}"}, {"token": "t-1"}),
        ({"key": "refs.data.key"}, {"key": "order-7"}),
        ({"recipients": ["ada", "refs.data.who"]}, {"recipients": ["bob"]}),
        ({"recipients": ["refs.recipient"]}, {"recipients": ["dora"]}),
        ({"source": "shop"}, {"source": "shop"}),
        ({"tags": ["vip"]}, {"tags": ["vip", "x"]}),
        ({"automation": "${'tri' + 'al'}"}, {"automation": "trial", "definition": None}),
        ({"idempotency_key": "i{{data.n}}"}, {"idempotency_key": "i1", "fingerprint": "f"}),
        ({"token": "t-1", "created_after": "2026-01-01"}, {"token": "t-1"}),
        ({"token": "t-1", "due_after": "refs.data.at"}, {"token": "t-1"}),
    ],
)
def test_what_a_filter_matches(carry_out: Any, fields: dict[str, Any], hit: dict[str, Any]) -> None:
    publish("trial", {"steps": [DELAY]})
    mine = waiting(**hit)
    others = [waiting(), waiting(token="u", key="k", tags=["y"], source="s", recipients=["cyd"])]
    data = {"n": 1, "key": "order-7", "who": "bob", "at": "2026-01-01T00:00:00Z"}
    own = carry_out(cancel(filter=fields), data=data, recipients=["dora"])
    assert [status(run) for run in (mine, *others, own)] == ["cancelled", "waiting", "waiting", "waiting"]
    receipt = Cancellation.objects.get()
    folded = next(event.data["folded"] for event in Event.objects.filter(run=own) if "folded" in event.data)
    assert (folded[0]["cancelled"], folded[0]["filter"].keys()) == (1, fields.keys())
    assert receipt.cancelled_run_ids == [str(mine.uid)]


@pytest.mark.parametrize("number", [1e21, -1.5e300, 1e16, 10**21, 2**53 + 1])
def test_a_number_makes_the_same_token_however_long_it_was_stored(carry_out: Any, number: float) -> None:
    data = {"n": number, "note": 'as "1e+21"'}
    mine = waiting(token="n-{{data.n}}", data=data)
    own = carry_out(cancel(cancellation_token="n-{{data.n}}"), data=data)
    assert (status(mine), status(own)) == ("cancelled", "waiting")
    stored = own.invocation.data
    assert (stored, type(stored["n"])) == (data, type(number))


def test_runs_of_its_own_invocation_are_spared_unless_included(carry_out: Any) -> None:
    mine = carry_out(cancel(filter={"source": "api/test"}), source="api/test")
    assert status(mine) == "waiting"
    self_included = carry_out(cancel(filter={"source": "mine"}, include_self=True), source="mine")
    assert status(self_included) == "cancelled"


def test_ids_and_automations_that_nobody_has_match_nothing(carry_out: Any) -> None:
    spared = waiting()
    for fields in ({"automation": "nobody"}, {"invocation": str(uuid4())}, {"run_ids": [str(uuid4())]}):
        own = carry_out(cancel(filter=fields))
        assert (status(spared), status(own)) == ("waiting", "waiting")
        assert Cancellation.objects.latest("pk").cancelled == 0


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"run_id": "refs.data.none"}, "unresolved"),
        ({"run_id": "refs.data.word"}, "invalid_filter"),
        ({"filter": {"token": "{{data.none}}"}}, "unresolved"),
        ({"filter": {"source": "shop", "recipients": ["a", "${data.none}"]}}, "unresolved"),
        ({"filter": {"key": "refs.data.list"}}, "unsupported_type"),
        ({"filter": {"key": "refs.data.null"}}, "unresolved"),
        ({"filter": {"key": "refs.data.long"}}, "invalid_filter"),
        ({"filter": {"token": "t", "due_before": "refs.data.word"}}, "invalid_filter"),
        ({"filter": {"token": "t", "invocation": "refs.data.word"}}, "invalid_filter"),
        ({"cancellation_token": "t", "reason": "because of {{data.none}}"}, "unresolved"),
    ],
)
def test_a_field_without_a_value_fails_the_step_and_cancels_nothing(
    carry_out: Any, fields: dict[str, Any], kind: str
) -> None:
    spared = waiting(token="t", source="shop", recipients=["a"])
    data = {"word": "soon", "list": ["t"], "null": None, "long": "k" * 300}
    own = carry_out(cancel(**fields), data=data)
    assert (status(spared), status(own), Cancellation.objects.count()) == ("waiting", "failed", 0)
    assert next(step.error["kind"] for step in steps_of_run(own) if step.action == "cancel") == kind


def test_a_reason_may_be_an_expression(carry_out: Any) -> None:
    data = {"who": "ada", "long": "x" * 600}
    carry_out(cancel(cancellation_token="t", reason="${data.who + ' left'}"), data=data)
    assert Cancellation.objects.get().reason == "ada left"
    carry_out(cancel(cancellation_token="t", reason="refs.data.long"), data=data)
    assert Cancellation.objects.latest("pk").reason == "x" * 500


# -- around it --------------------------------------------------------------------------------------------


def test_a_step_may_hold(carry_out: Any) -> None:
    own = carry_out(cancel(cancellation_token="t", hold_for="1 hour", undo_for="30 s"), token="t")
    receipt = Cancellation.objects.get()
    later = run_of(invoke(DELAY, token="t"))
    assert (status(own), status(later), later.called_off_by) == ("waiting", "cancelled", receipt)
    assert receipt.hold_until == receipt.as_of + timedelta(hours=1)
    assert receipt.undo_until == receipt.as_of + timedelta(seconds=30)


def test_a_held_run_s_own_hold_is_not_placed() -> None:
    invoke(cancel(filter={"source": "shop"}, hold_for="1 hour"))
    held = run_of(invoke(cancel(cancellation_token="t", hold_for="1 hour"), source="shop"))
    assert (status(held), Cancellation.objects.count(), status(waiting(token="t"))) == (
        "cancelled", 1, "waiting",
    )  # fmt: skip


# -- a step that is for many runs -------------------------------------------------------------------------


@pytest.fixture
def _every_cancel_of_three_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 2)


@pytest.mark.usefixtures("_every_cancel_of_three_is_a_bar")
def test_a_step_for_many_runs_places_a_bar(carry_out: Any) -> None:
    runs = [waiting(token="t") for _ in range(3)]
    own = carry_out(cancel(cancellation_token="t"), token="t")
    (bar,) = standing()
    assert (bar.origin, bar.in_flight, bar.counted) == ("step", [], False)
    assert bar.cancelled_run_ids == sorted(str(run.uid) for run in runs)
    assert not LiveRun.objects.exclude(cancellation=None).exists()  # not swept
    assert ([status(run) for run in runs], status(own)) == (["cancelled"] * 3, "waiting")
    output = next(step.output for step in steps_of_run(own) if step.action == "cancel")
    assert output == {"token": "t", "cancellation": str(bar.pk), "cancelled": None}
    archive_all()
    bar.refresh_from_db()
    assert (bar.cancelled, bar.matched, status(own)) == (3, 3, "waiting")


@pytest.mark.usefixtures("_every_cancel_of_three_is_a_bar")
def test_a_bar_of_a_step_that_includes_itself_has_its_own_run(carry_out: Any) -> None:
    runs = [waiting(token="t") for _ in range(3)]
    own = carry_out(cancel(cancellation_token="t", include_self=True), token="t")
    assert [status(run) for run in (*runs, own)] == ["cancelled"] * 4
    assert str(own.uid) in standing().get().cancelled_run_ids
    assert work_off() == 0
    archive_all()
    assert {run.called_off_by for run in map(read, (*runs, own))} == {Cancellation.objects.get()}


@pytest.mark.usefixtures("_every_cancel_of_three_is_a_bar")
def test_the_answer_says_that_a_bar_of_its_own_has_it() -> None:
    [waiting(token="t") for _ in range(3)]
    step = cancel(cancellation_token="t", include_self=True)
    accepted = invoke(step, SEND, token="t", recipients=["a", "b"])
    assert [run["status"] for run in accepted.runs] == ["cancelled", "cancelled"]
    stored = Run.objects.get(uid=accepted.runs[0]["id"]).invocation.answer
    assert [run["status"] for run in stored] == ["cancelled", "cancelled"]


@pytest.mark.usefixtures("_every_cancel_of_three_is_a_bar")
def test_recipients_share_the_bars_of_their_steps(carry_out: Any) -> None:
    runs = [waiting(token="t", key="k") for _ in range(3)]
    few = waiting(token="few")
    steps = [cancel(cancellation_token="t"), cancel(filter={"token": "few"})]
    carry_out(*steps)
    assert [status(run) for run in (*runs, few)] == ["cancelled"] * 4
    assert {row.bar for row in Cancellation.objects.all()} == {"label:t", None}
    accepted = invoke(cancel(filter={"source": "api/test"}), DELAY, recipients=["a", "b"], source="new")
    assert {status(run_of(accepted, index)) for index in range(2)} == {"waiting"}


@pytest.mark.usefixtures("_every_cancel_of_three_is_a_bar")
def test_a_bar_of_a_step_lists_what_is_in_flight(carry_out: Any) -> None:
    runs = [run_of(invoke(SEND, token="t")) for _ in range(3)]
    tasks = start(room=1)
    carry_out(cancel(cancellation_token="t"), source="other")
    (bar,) = standing()
    under_way = LiveRun.objects.filter(token="t", state="running").values_list("uid", flat=True)
    assert {entry["run"] for entry in bar.in_flight or ()} == {str(uid) for uid in under_way}
    assert tasks[0].claim.run_id in {run.pk for run in runs}
    finish(*[execution.perform(task) for task in tasks])
    assert [status(run) for run in runs] == ["cancelled"] * 3


@pytest.mark.usefixtures("_every_cancel_of_three_is_a_bar")
def test_a_bar_of_a_step_may_hold(carry_out: Any) -> None:
    runs = [waiting(token="t") for _ in range(3)]
    carry_out(cancel(cancellation_token="t", hold_for="1 hour"))
    later = waiting(token="t")
    assert [status(run) for run in (*runs, later)] == ["cancelled"] * 4
    assert later.status_reason == "held_by_cancellation"


def test_a_bar_that_its_sender_left_is_listed_by_housekeeping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 1)
    runs = [waiting(token="t") for _ in range(2)]
    monkeypatch.setattr(cancelling, "list_in_flight", lambda bar: None)
    invoke(cancel(cancellation_token="t"), SEND)
    monkeypatch.undo()
    (bar,) = standing()
    assert bar.in_flight is None
    housekeeping.keep_house(production())
    archive_all()
    bar.refresh_from_db()
    assert (bar.in_flight, bar.cancelled_run_ids) == ([], sorted(str(run.uid) for run in runs))
