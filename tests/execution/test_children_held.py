"""Children where something is held: born under a hold they are called off, and a held automation bears none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automations import cancellation as cancelling
from automations import execution, publication
from automations.models import Automation, Cancellation, Descent, LiveRun, Run, database_now, steps_of_run
from tests.scenes import (
    DELAY,
    SEND,
    cancel_runs,
    finish,
    invoke,
    make_due,
    production,
    publish,
    read,
    run_of,
    start,
    status,
    work_off,
)
from tests.test_undo import undone

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
INVOKE: dict[str, Any] = {"action": "invoke", "template": "child", "id": "bear"}
WAIT = {**INVOKE, "wait": True}


@pytest.fixture(autouse=True)
def _child() -> None:
    publish("child", {"steps": [DELAY, SEND], "cancellation_token": "of-child"})


def parent_of(*steps: dict[str, Any], **given: Any) -> Run:
    run = run_of(invoke(*steps, **given))
    work_off()
    return run


def child_of(run: Run) -> Run:
    return Run.objects.with_state().get(parent=run.pk)


def output(run: Run) -> Any:
    """What the step that bears the child says of it."""
    return next(state.output for state in steps_of_run(read(run)) if state.id == "bear")


def hold() -> Cancellation:
    return cancel_runs(automation_id=Automation.objects.get(key="child").pk, hold_for=HOUR)


# -- cancellations that hold -----------------------------------------------------------------------------------


def test_a_child_is_born_under_a_hold_like_any_run() -> None:
    receipt = hold()
    parent = parent_of(INVOKE, DELAY)
    child = child_of(parent)
    assert (status(parent), status(child), child.reason) == ("waiting", "cancelled", "held_by_cancellation")
    assert (child.called_off_by, output(parent)) == (receipt, {"run": str(child.uid)})
    assert Descent.objects.filter(ancestor=parent.pk, run=child.pk).exists()


def test_whoever_waits_for_a_held_child_goes_on_at_once() -> None:
    hold()
    parent = parent_of(WAIT, SEND)
    child = child_of(parent)
    assert status(parent) == "completed"
    assert output(parent) == {"run": str(child.uid), "status": "cancelled"}


def test_a_held_child_comes_back_by_an_undo_beneath_its_parent() -> None:
    receipt = hold()
    parent = parent_of(WAIT, DELAY, token="t")
    undone(receipt)
    child = child_of(parent)
    assert (status(child), LiveRun.objects.get(pk=child.pk).parent_id) == ("waiting", parent.pk)
    assert cancel_runs(token="t").cancelled == 2


def test_a_hold_of_the_same_transition_is_over_the_child_born_behind_it() -> None:
    holding = {"action": "cancel", "cancellation_token": "of-child", "hold_for": "1 hour"}
    parent = parent_of(SEND, holding, WAIT, SEND)
    assert (status(child_of(parent)), status(parent)) == ("cancelled", "completed")


def test_a_step_that_places_a_bar_stands_beside_a_birth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 1)
    others = [parent_of(DELAY, token="of-child") for _ in range(3)]
    parent = parent_of(SEND, {"action": "cancel", "cancellation_token": "of-child"}, WAIT, SEND)
    receipt = Cancellation.objects.get(origin="step")
    assert (receipt.bar, receipt.in_flight) == ("label:of-child", [])
    assert [status(run) for run in others] == ["cancelled"] * 3
    child = child_of(parent)
    assert (status(child), status(parent)) == ("waiting", "waiting")
    make_due(child)
    work_off()
    assert (status(child), status(parent)) == ("completed", "completed")


def test_a_step_that_places_a_bar_finds_the_child_born_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 1)
    other = parent_of(DELAY, token="of-child")
    parent = parent_of(SEND, INVOKE, {"action": "cancel", "cancellation_token": "of-child"}, DELAY)
    assert [status(run) for run in (other, child_of(parent), parent)] == ["cancelled", "cancelled", "waiting"]


# -- automations that are held ---------------------------------------------------------------------------------


def of_held(*steps: dict[str, Any]) -> Run:
    publish("parent", {"steps": list(steps)})
    return run_of(invoke(definition=None, automation="parent"))


def hold_parent() -> None:
    publication.disable(environment=production(), key="parent", by="user/ana", mode="hold")


def enable(overdue: str = "fire_now") -> None:
    Automation.objects.filter(key="parent").update(held_at=database_now() - HOUR)
    publication.enable(environment=production(), key="parent", by="user/ana", overdue=overdue)


@pytest.mark.parametrize("steps", [(SEND, WAIT, SEND), (WAIT, SEND)])
def test_a_held_run_rests_before_the_step_that_bears(steps: tuple[dict[str, Any], ...]) -> None:
    parent = of_held(*steps)
    tasks = start()
    hold_parent()
    finish(*[execution.perform(task) for task in tasks])
    work_off()
    assert (status(parent), Run.objects.filter(parent=parent.pk).exists()) == ("waiting", False)
    enable()
    work_off()
    child = child_of(parent)
    assert LiveRun.objects.get(pk=parent.pk).awaits == child.pk
    make_due(child)
    work_off()
    assert status(parent) == "completed"


@pytest.mark.parametrize("overdue", ["fire_now", "shift", "skip"])
def test_enabling_does_not_wake_a_run_that_waits_for_a_child(overdue: str) -> None:
    parent = of_held(WAIT, SEND)
    work_off()
    before = LiveRun.objects.get(pk=parent.pk)
    hold_parent()
    work_off()
    enable(overdue)
    work_off()
    after = LiveRun.objects.get(pk=parent.pk)
    assert (after.due_at, after.awaits, after.parked_due_at) == (before.due_at, child_of(parent).pk, None)
    assert after.position == before.position


def test_a_held_run_whose_child_ends_goes_on_when_its_automation_is_enabled() -> None:
    parent = of_held(WAIT, SEND)
    work_off()
    hold_parent()
    child = child_of(parent)
    make_due(child)
    work_off()
    assert (status(child), status(parent)) == ("completed", "waiting")
    assert LiveRun.objects.get(pk=parent.pk).awaits is None
    enable()
    work_off()
    assert status(parent) == "completed"


def test_a_run_that_waits_for_a_child_is_not_due_after_anything() -> None:
    parent = parent_of(WAIT, SEND)
    child = child_of(parent)
    receipt = cancel_runs(due_after=database_now() - HOUR)
    assert receipt.cancelled_run_ids == [str(child.uid)]
    assert status(parent) == "waiting"
