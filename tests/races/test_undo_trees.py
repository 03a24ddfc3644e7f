"""An undo of a run that waits for a child, while the child ends: the run goes on, and waits for nobody who is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from automations import execution
from automations.models import Cancellation, LiveRun, Run, steps_of_run
from tests.races.held import overlap
from tests.races.test_undo import restore_all, undone
from tests.scenes import (
    SEND,
    archive_all,
    cancel_runs,
    finish,
    invoke,
    publish,
    read,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
WAIT: dict[str, Any] = {"action": "invoke", "template": "child", "wait": True, "on_parent_cancel": "leave"}


@pytest.fixture
def family() -> tuple[Run, Cancellation, Callable[[], Any]]:
    """A cancelled run, its cancellation, and the end of the child that it waited for and that was left."""
    publish("child", {"steps": [SEND]})
    parent = run_of(invoke(WAIT, SEND, token="t"))
    finish(*[execution.perform(task) for task in start()])
    (task,) = start()
    receipt = cancel_runs(token="t")
    done = execution.perform(task)
    return parent, receipt, lambda: finish(done)


def check(parent: Run) -> None:
    """It has gone on, and says how its child ended."""
    assert not LiveRun.objects.filter(awaits__isnull=False).exists()
    said = steps_of_run(read(parent))[0]
    assert (said.status, said.output["status"]) == ("completed", "completed")
    work_off()
    assert status(parent) == "completed"


@pytest.mark.parametrize("at", ["finish.moved", "undo.moved"])
def test_a_child_ends_beside_an_undo(at: str, family: tuple[Run, Cancellation, Callable[[], Any]]) -> None:
    parent, receipt, end = family
    both = [end, lambda: undone(receipt)]
    overlap(*(both if at == "finish.moved" else reversed(both)), at=at)
    check(parent)


@pytest.mark.parametrize("at", ["finish.begins", "finish.moved", "undo.read"])
def test_a_child_ends_while_its_parent_is_brought_back(
    at: str, family: tuple[Run, Cancellation, Callable[[], Any]]
) -> None:
    """Whoever ends the child has looked for its parent before that is there again, and commits after it is."""
    parent, receipt, end = family
    archive_all()
    undone(receipt)
    both = [end, lambda: restore_all(receipt)]
    overlap(*(reversed(both) if at == "undo.read" else both), at=at)
    check(parent)
