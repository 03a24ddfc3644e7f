"""Undos as they are written at first: each repeats a step, restores too much, or is overtaken."""

from __future__ import annotations

from typing import Any

from automations import cancellation as verb
from automations import undo
from automations.models import Cancellation, LiveRun, gate, live_run_undo
from automations.models.live_run import LiveRunQuerySet
from tests.mutants.mutant import mutant, swap


def edit(name: str, old: str, new: str) -> None:
    """Changes a part of the statements that restore."""
    statement = getattr(live_run_undo, name)
    assert old in statement, f"{name} no longer says {old!r}: the mutant is out of date"
    swap(live_run_undo, name, statement.replace(old, new))


@mutant()
def undo_repeats_the_step_in_flight() -> None:
    """U1: a step that was in flight at the cancel is not run again; the run goes on at the next place."""
    edit("STARTED", "started_at IS NOT NULL OR unsettled IS NOT NULL AND", "1 = 0 AND")


@mutant()
def undo_repeats_what_is_unsettled() -> None:
    """U1: a lost attempt that is not settled is in flight like any other, and its step is not run again."""
    edit("STARTED", "unsettled IS NOT NULL AND", "1 = 0 AND")


@mutant()
def undo_takes_every_unsettled_attempt_for_the_present_step() -> None:
    """A step that nobody has started is run after an undo, whatever became of an attempt at one before it."""
    edit("STARTED", "= automations_liverun.position", "IS NOT NULL")


@mutant()
def undo_restores_what_others_called_off() -> None:
    """An undo restores the runs of that cancellation, and no others that its filter matches."""
    edit("CALLED_OFF", "cancellation_id = %s", "%s IS NOT NULL")


@mutant(only="postgresql")
def undo_takes_the_gate_shared() -> None:
    """Undo takes the gate exclusively: no transition that saw the bar may commit after it."""
    swap(undo, "gate", lambda *, environment_id, exclusive=False: gate(environment_id=environment_id))


@mutant()
def settle_leaves_no_mark() -> None:
    """U1: once a lost attempt is settled, its run still tells that the step was in flight at the cancel."""
    real = LiveRunQuerySet.settle

    def settle(self: LiveRunQuerySet, row: LiveRun, **given: Any) -> int:
        row.unsettled = [{**entry, "position": None} for entry in row.unsettled or ()] or None
        return real(self, row, **given)

    swap(LiveRunQuerySet, "settle", settle)


@mutant()
def let_go_leaves_no_mark() -> None:
    """U1: an attempt that ended under a cancel has had its effect, and an undo does not repeat it."""
    real = LiveRunQuerySet.let_go
    swap(LiveRunQuerySet, "let_go", lambda self, claims, **_: real(self, claims, of_effects=False))


@mutant()
def bring_back_begins_with_the_first_fence() -> None:
    """A run that is brought back has a fence that no worker of before holds: one may be frozen still."""
    real = LiveRunQuerySet._again

    def again(self: LiveRunQuerySet, *given: Any) -> tuple[LiveRun, Any]:
        live, event = real(self, *given)
        live.fence = 0
        return live, event

    swap(LiveRunQuerySet, "_again", again)


@mutant()
def a_scheduled_cancel_is_carried_out_unseen() -> None:
    """A cancel for later is carried out once: who does it locks its row and looks whether it still waits."""
    real = verb.requested

    def requested(request: Any, scope: Any, *, now: Any) -> Cancellation:
        if request.stored is not None:
            Cancellation.objects.filter(pk=request.stored).update(scheduled={}, undone_at=None)
        return real(request, scope, now=now)

    swap(verb, "requested", requested)


@mutant()
def undo_leaves_the_children() -> None:
    """What went with its parent comes back with it: it is not found by the filter."""
    edit("CALLED_OFF", "OR parent_id IS NOT NULL", "")


@mutant()
def undo_wakes_nobody() -> None:
    """Who waited for a child that has ended since goes on; nobody else would wake that run."""
    swap(LiveRunQuerySet, "wake_restored", lambda self, undone, *, now: 0)
