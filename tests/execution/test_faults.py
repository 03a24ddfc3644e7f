"""A fault that nobody foresaw fails the run that it is of, and no other."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from django.db import DataError, IntegrityError

from automations import execution, machine
from automations.execution import Done, faults
from automations.models import Run
from automations.steps import Outcome
from tests.scenes import DELAY, SEND, invoke, make_due, production, read, run_of, start, work_off

pytestmark = pytest.mark.django_db
UPDATE = {"action": "update-profile", "recipient_id": "ana", "profile": {"a": 1}}
UNSTORABLE = {"x": math.inf}  # by neither database


def turn(done: list[Done], *, room: int = 0) -> list[execution.Task]:
    return execution.turn(environment=production(), done=done, room=room)


def ended(run: Run) -> tuple[str, str, list[tuple[str, str]]]:
    row = read(run)
    return row.public_status, row.status_reason, list(run.events.values_list("kind", "step"))


def spoilt(done: Done) -> Done:
    """The same with a plan of which something cannot be stored."""
    carried = tuple(
        item if item.step.position == "0" else replace(item, detail=UNSTORABLE) for item in done.plan.carried
    )
    assert carried != done.plan.carried
    return done._replace(plan=done.plan._replace(carried=carried))


def test_an_outcome_that_cannot_be_stored_fails_its_run_alone() -> None:
    guilty, innocent, waiting = (run_of(invoke(SEND)) for _ in range(3))
    one, two = (execution.perform(task) for task in start(room=2))
    started = turn([one._replace(outcome=Outcome(status="completed", output=UNSTORABLE)), two], room=5)
    assert [task.claim.run_id for task in started] == [waiting.pk]
    assert ended(guilty) == ("failed", "step_failed", [("invoked", ""), ("step_failed", "0")])
    error = guilty.events.get(kind="step_failed").data["error"]
    assert (error["kind"], error["message"].partition(":")[0] in ("DataError", "IntegrityError")) == (
        "internal",
        True,
    )
    assert ended(innocent) == ("completed", "end", [("invoked", ""), ("step_completed", "0")])


def test_an_effect_is_told_though_what_follows_it_cannot_be_stored() -> None:
    run = run_of(invoke(SEND, DELAY, SEND))
    (done,) = (execution.perform(task) for task in start())
    turn([spoilt(done)])
    assert ended(run) == ("failed", "step_failed", [("invoked", ""), ("step_completed", "0")])
    (folded,) = run.events.get(kind="step_completed").data["folded"]
    assert (folded["step"], folded["outcome"], folded["error"]["kind"]) == ("1", "failed", "internal")


def test_so_does_a_step_without_an_effect() -> None:
    run = run_of(invoke(DELAY, UPDATE, SEND))
    work_off()
    make_due(run)
    (done,) = (execution.perform(task) for task in start())
    assert done.outcome is None
    turn([spoilt(done)])
    status, reason, events = ended(run)
    assert (status, reason, events) == ("failed", "step_failed", [("invoked", ""), ("advanced", "")])
    (folded,) = run.events.get(kind="advanced").data["folded"]
    assert (folded["step"], folded["error"]["kind"]) == ("1", "internal")


def test_a_machine_that_fails_fails_the_step_at_which_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(invoke(SEND, DELAY, SEND))
    (task,) = start()

    def boom(**_: Any) -> None:
        raise RecursionError("too deep\nand more")

    monkeypatch.setattr(machine, "advance", boom)
    turn([execution.perform(task)])
    assert ended(run)[:2] == ("failed", "step_failed")
    (folded,) = run.events.get(kind="step_completed").data["folded"]
    assert (folded["step"], folded["error"]["message"]) == ("1", "RecursionError: too deep")


def test_what_cannot_even_be_failed_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(invoke(SEND))
    (done,) = (execution.perform(task) for task in start())
    monkeypatch.setattr(faults, "said", lambda error: "x" * 2_000)
    monkeypatch.setattr(Outcome, "failed", lambda *_, **__: Outcome("failed", error=UNSTORABLE))
    with pytest.raises((DataError, IntegrityError)):
        turn([done._replace(outcome=Outcome(status="failed", error=UNSTORABLE))])
    assert read(run).public_status == "running"
