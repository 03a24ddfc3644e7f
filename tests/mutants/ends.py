"""Ends, retries and rescues as they are written at first: a cancelled run comes back, or a lost worker decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import F, Q
from django.db.models.functions import Now

from automations.execution import Done, late, roster, work
from automations.models import Claim, LiveRun, LiveState, Move, Passage, database_now
from automations.models.live_run import LEASED, LiveRunQuerySet
from automations.steps import cancel
from tests.mutants.mutant import mutant, swap


def before_finish(prepare: Callable[[Sequence[Move]], Sequence[Move]]) -> None:
    """Finishes what `prepare` makes of the moves."""
    real = LiveRunQuerySet.finish

    def finish(self: LiveRunQuerySet, moves: Sequence[Move], *, now: datetime) -> int:
        return real(self, prepare(moves), now=now)

    swap(LiveRunQuerySet, "finish", finish)


def fences_of(run_ids: Iterable[int]) -> dict[int, int]:
    """Whoever holds these runs now, whoever asks."""
    return dict(LiveRun.objects.filter(pk__in=list(run_ids)).values_list("pk", "fence"))


def called_back(run_ids: Iterable[int]) -> None:
    """What an UPDATE without a state condition does to a run that is being cancelled: its status is overwritten."""
    cancelling = LiveRun.objects.filter(pk__in=list(run_ids), state=LiveState.CANCELLING)
    cancelling.update(state=LiveState.RUNNING, cancellation=None)


@mutant()
def finish_looks_at_no_fence() -> None:
    """N4, I4: only the worker that holds the run moves it on, not one that lost it."""

    def prepare(moves: Sequence[Move]) -> Sequence[Move]:
        fences = fences_of(move.run_id for move in moves)
        return [move._replace(fence=fences.get(move.run_id, move.fence)) for move in moves]

    before_finish(prepare)


@mutant()
def finish_looks_at_no_state() -> None:
    """N4, I4: a run that was cancelled while its step ran does not go on to the next."""

    def prepare(moves: Sequence[Move]) -> Sequence[Move]:
        called_back(move.run_id for move in moves)
        return moves

    before_finish(prepare)


@mutant()
def retry_looks_at_no_state() -> None:
    """N7, I4: a run that was cancelled while its step failed is not tried again."""

    def prepare(moves: Sequence[Move]) -> Sequence[Move]:
        called_back(move.run_id for move in moves if move.attempt)
        return moves

    before_finish(prepare)


@mutant()
def renewal_looks_at_no_fence() -> None:
    """A worker prolongs its own lease, not that of the worker that took over."""
    real = LiveRunQuerySet.renew

    def renew(self: LiveRunQuerySet, claims: Iterable[Claim], **given: Any) -> int:
        asked = list(claims)
        fences = fences_of(claim.run_id for claim in asked)
        mine = [claim._replace(fence=fences.get(claim.run_id, claim.fence)) for claim in asked]
        return real(self, mine, **given)

    swap(LiveRunQuerySet, "renew", renew)


@mutant()
def reap_writes_from_a_snapshot() -> None:
    """N9, I4: a rescuer writes only if the row is the one it read: same fence, same lease, same state."""
    real = LiveRunQuerySet.reap

    def reap(self: LiveRunQuerySet, row: LiveRun, *, move: Move | None, lost: Mapping[str, Any]) -> int:
        if row.state != LiveState.RUNNING or move is None or move.status:
            return real(self, row, move=move, lost=lost)
        return self.filter(pk=row.pk).update(
            state=LiveState.WAITING, cancellation=None, position=move.position, due_at=move.due_at,
            unsettled=[*(row.unsettled or []), dict(lost)], lease_until=None, started_at=None,
        )  # fmt: skip

    swap(LiveRunQuerySet, "reap", reap)


@mutant()
def reap_forgets_the_attempt() -> None:
    """I1: an attempt that was taken back may still send, so it stays known until it is settled."""
    real = LiveRunQuerySet.reap

    def reap(self: LiveRunQuerySet, row: LiveRun, **given: Any) -> int:
        taken = real(self, row, **given)
        LiveRun.objects.filter(pk=row.pk).update(unsettled=row.unsettled)
        return taken

    swap(LiveRunQuerySet, "reap", reap)


def expired_when(condition: Callable[[datetime | Now], Q]) -> None:
    """Takes back attempts by this condition."""

    def expired(self: LiveRunQuerySet, *, now: datetime | Now) -> LiveRunQuerySet:
        return self.filter(condition(now), state__in=LEASED, due_at__lte=now, lease_until__isnull=False)

    swap(LiveRunQuerySet, "expired", expired)


@mutant()
def reap_goes_by_the_start() -> None:
    """A worker that gives signs of life keeps its run, however long the step takes."""
    expired_when(lambda now: Q(started_at__lt=database_now() - work.lease()))


@mutant()
def reap_asks_nobody() -> None:
    """A worker that started a moment ago is not taken for a lost one, whoever else was restarted."""
    expired_when(lambda now: Q())


def settling(fences: Callable[[LiveRun, Iterable[int]], Iterable[int]], *, ends: bool = False) -> None:
    """Strikes these attempts; `ends` a cancelling run whatever still runs."""
    real = LiveRunQuerySet.settle

    def settle(self: LiveRunQuerySet, row: LiveRun, *, fences: Iterable[int]) -> int:
        settled = real(self, row, fences=chosen(row, fences))
        if ends:
            cancelling = LiveRun.objects.filter(pk=row.pk, state=LiveState.CANCELLING, unsettled__isnull=True)
            cancelling.update(state=LiveState.CANCELLED, lease_until=None)
        return settled

    chosen = fences
    swap(LiveRunQuerySet, "settle", settle)


@mutant()
def settling_looks_at_no_fence() -> None:
    """What settles one lost attempt says nothing about the others."""
    settling(lambda row, fences: [entry["fence"] for entry in row.unsettled or ()])


@mutant()
def settling_ends_what_runs() -> None:
    """A cancelled run has settled when nothing of it is in flight, and not when the lost attempts are known."""
    settling(lambda row, fences: fences, ends=True)


@mutant()
def settling_goes_by_the_deadline_alone() -> None:
    """A silent worker may be frozen between its check and its socket: its attempt ends with it, or when it wakes."""

    def has_ended(entry: Mapping[str, Any], workers: object, *, now: datetime) -> bool:
        return datetime.fromisoformat(entry["deadline"]) + roster.SETTLE_GRACE < now

    swap(roster, "has_ended", has_ended)


@mutant()
def late_answer_settles_nothing() -> None:
    """A worker that lost its run and answers is known to have ended: its attempt is in flight no more."""
    real = late.settle_late

    def settle_late(item: Done, *, now: datetime) -> None:
        before = dict(LiveRun.objects.filter(pk=item.task.claim.run_id).values_list("pk", "unsettled"))
        real(item, now=now)
        for pk, unsettled in before.items():
            LiveRun.objects.filter(pk=pk, state__in=("waiting", "running")).update(unsettled=unsettled)

    swap(work, "settle_late", settle_late)


@mutant()
def last_step_leaves_the_run_settling() -> None:
    """When the step in flight has ended, the cancelled run has settled, without waiting for its lease."""
    swap(LiveRunQuerySet, "let_go", lambda self, claims, **_: list(claims))


@mutant()
def last_step_forgets_attempts_taken_back() -> None:
    """A cancelled run settles with the last of its attempts, and not with the one that has the lease."""

    def let_go(self: LiveRunQuerySet, claims: Iterable[Claim], **_: Any) -> None:
        held = self._mine(claims).filter(state=LiveState.CANCELLING)
        held.update(state=LiveState.CANCELLED, lease_until=None, unsettled=None, due_at=F("due_at"))

    swap(LiveRunQuerySet, "let_go", let_go)


@mutant()
def cancel_step_of_a_cancelled_run_is_carried_out() -> None:
    """A step that writes records does so only if the same transaction moved its own run out of running."""
    real = work._sorted

    def carried_out(done: Sequence[Done]) -> tuple[list[Done], list[Done], list[Done]]:
        moving, stopping, late = real(done)
        passage = Passage(database_now(), barred=False)
        for item in stopping:
            errands = cancel.errands([item.plan], environment=environment_of(item))
            work._fold(errands, item, passage)
        return moving, stopping, late

    swap(work, "_sorted", carried_out)


def environment_of(item: Done) -> Any:
    """The environment of the run that the item is a step of."""
    return LiveRun.objects.select_related("environment").get(pk=item.task.claim.run_id).environment
