"""A cancelled tree, undone: its runs are beneath one another as before, and whoever waited for a child waits again,
unless the child has ended meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from automations import cancellation as cancelling
from automations import execution, undo
from automations.models import Cancellation, LiveRun, Overdue, Run, standing, steps_of_run
from automations.models import live_run_undo as restoring
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
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
from tests.test_undo import live, undone

pytestmark = pytest.mark.django_db

WAIT: dict[str, Any] = {"action": "invoke", "template": "child", "id": "bear", "wait": True}
LEFT = {"on_parent_cancel": "leave"}
ALL = ["waiting"] * 3


@pytest.fixture(autouse=True)
def _automations() -> None:
    publish("grandchild", {"steps": [DELAY, SEND]})
    publish("child", {"steps": [{**WAIT, "template": "grandchild"}, SEND]})
    publish("ends", {"steps": [DELAY]})


@pytest.fixture(params=["at once", "archived"])
def later(request: pytest.FixtureRequest) -> Callable[[], None]:
    """What happens between the cancel and the undo: nothing, or its runs are archived."""
    return archive_all if request.param == "archived" else lambda: None


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cancel of two runs is a bar."""
    monkeypatch.setattr(cancelling, "AT_ONCE", 1)


def tree(**step: Any) -> list[Run]:
    """A run that waits for a child, which waits for another; the oldest first."""
    first = run_of(invoke({**WAIT, **step}, SEND, token="t"))
    work_off()
    return list(Run.objects.filter(pk__gte=first.pk).order_by("pk"))


def statuses(runs: list[Run]) -> list[str]:
    return [status(run) for run in runs]


def awaited(runs: list[Run]) -> list[int | None]:
    return [live(run).awaits for run in runs]


def child_ended(run: Run) -> Any:
    """What the run's step says of the child that it waited for."""
    return next(state.output for state in steps_of_run(read(run)) if state.id == "bear")


def begun(receipt: Cancellation) -> Cancellation:
    """The cancellation undone, and what is archived not back yet."""
    return undo.undo(environment=production(), pk=receipt.pk, actor="x", overdue=Overdue.FIRE_NOW)


# -- runs that wait for a child ------------------------------------------------------------------------------


def test_a_tree_is_restored_whole_and_waits_as_before(later: Callable[[], None]) -> None:
    runs = tree()
    before = [(live(run).due_at, live(run).position, live(run).parent_id) for run in runs]
    receipt = cancel_runs(token="t")
    later()
    done = undone(receipt)
    assert (done.restored, statuses(runs)) == (3, ALL)
    assert awaited(runs) == [runs[1].pk, runs[2].pk, None]
    assert [(live(run).due_at, live(run).position, live(run).parent_id) for run in runs] == before
    assert read(runs[0]).due_at is None
    make_due(runs[2])
    work_off()
    assert statuses(runs) == ["completed"] * 3
    assert child_ended(runs[0]) == {"run": str(runs[1].uid), "status": "completed"}


def test_a_restored_tree_is_called_off_as_one_again(later: Callable[[], None]) -> None:
    runs = tree()
    receipt = cancel_runs(token="t")
    later()
    undone(receipt)
    again = cancel_runs(token="t")
    assert (again.cancelled, statuses(runs)) == (3, ["cancelled"] * 3)


def test_a_child_that_ended_meanwhile_is_not_waited_for(later: Callable[[], None]) -> None:
    parent, child = tree(template="ends", **LEFT)
    receipt = cancel_runs(token="t")
    make_due(child)
    work_off()
    later()
    undone(receipt)
    assert (status(child), live(parent).awaits) == ("completed", None)
    assert child_ended(parent) == {"run": str(child.uid), "status": "completed"}
    work_off()
    assert status(parent) == "completed"


def test_a_child_that_others_called_off_meanwhile_is_not_waited_for(later: Callable[[], None]) -> None:
    parent, child = tree(template="ends", **LEFT)
    receipt = cancel_runs(token="t")
    cancel_runs(run_pks=(child.pk,))
    later()
    archive_all()
    undone(receipt)
    work_off()
    assert (statuses([parent, child]), child_ended(parent)["status"]) == (
        ["completed", "cancelled"],
        "cancelled",
    )


def test_a_child_that_comes_back_from_another_undo_is_waited_for(later: Callable[[], None]) -> None:
    parent, child = tree(template="ends", **LEFT)
    receipt = cancel_runs(token="t")
    other = cancel_runs(run_pks=(child.pk,))
    later()
    begun(other)
    undone(receipt)
    while execution.keep_house(production()) or not LiveRun.objects.filter(pk=child.pk).exists():
        pass
    assert awaited([parent, child]) == [child.pk, None]
    make_due(child)
    work_off()
    assert statuses([parent, child]) == ["completed"] * 2


@pytest.mark.parametrize("first", [0, 1])
def test_whoever_is_brought_back_first_the_parent_waits(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the child is brought back, and ends, before its parent is there again."""
    monkeypatch.setattr(undo, "CHUNK", 1)
    runs = tree(template="ends")
    receipt = cancel_runs(token="t")
    archive_all()
    # Run by run, and the one that is to wait its turn is hidden meanwhile.
    Run.objects.filter(pk=runs[1 - first].pk).update(cancellation=None)
    receipt = begun(receipt)
    assert undo.restore(production(), receipt) == 1
    if first == 1:
        make_due(runs[1])
    work_off()
    assert [LiveRun.objects.filter(pk=run.pk).exists() for run in runs] == [first == 0, False]
    Run.objects.filter(pk=runs[1 - first].pk).update(cancellation=receipt.pk)
    while undo.restore(production(), receipt):
        pass
    if first == 0:
        assert awaited(runs) == [runs[1].pk, None]
        make_due(runs[1])
    work_off()
    assert statuses(runs) == ["completed"] * 2
    assert child_ended(runs[0]) == {"run": str(runs[1].uid), "status": "completed"}


# -- bars ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bars")
def test_a_bar_over_trees_lifts_at_once() -> None:
    runs = [*tree(), *tree()]
    receipt = cancel_runs(token="t")
    assert statuses(runs) == ["cancelled"] * 6
    done = undone(receipt)
    assert (done.restored, done.cancelled, statuses(runs)) == (6, 6, ["waiting"] * 6)
    assert not standing().exists()


@pytest.mark.usefixtures("bars")
@pytest.mark.parametrize("at_once", [1, 1_000])
def test_the_rule_is_for_what_is_due_beneath_a_bar_as_well(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "GIVEN_AT_ONCE", at_once)
    runs = [*tree(), *tree()]
    make_due(runs[2])
    receipt = cancel_runs(token="t")
    done = undone(receipt, "skip")
    assert (done.restored, statuses(runs)) == (6, ["waiting"] * 6)
    assert [live(runs[place]).position for place in (2, 5)] == ["2", "1"]
    assert awaited(runs[:3]) == [runs[1].pk, runs[2].pk, None]


@pytest.mark.usefixtures("bars")
def test_what_an_older_bar_stands_over_through_a_parent_is_not_restored() -> None:
    invokes = [
        run_of(invoke({**WAIT, "wait": False, "template": "ends"}, DELAY, token="t")) for _ in range(2)
    ]
    work_off()
    runs = list(Run.objects.filter(pk__gte=invokes[0].pk).order_by("pk"))
    make_due(*runs)
    older, younger = cancel_runs(token="t"), cancel_runs(everything=True)
    assert (older.bar, younger.bar, len(runs)) == ("label:t", "all", 4)
    undone(younger)
    assert (statuses(runs), start()) == (["cancelled"] * 4, [])
    assert set(LiveRun.objects.values_list("cancellation", flat=True)) == {older.pk}
