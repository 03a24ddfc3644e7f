"""Starts and invokes as they are written at first: a step starts that was called off, or a run is lost."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction
from django.db.models import F

from automations import cancellation, execution
from automations.channels import Message
from automations.execution import Done, Task, housekeeping, tasks, work
from automations.models import Automation, Claim, LiveRun, LiveState, database_now, live_run_moves, statements
from automations.models.cancellation import standing
from automations.models.gate import Passage
from automations.models.live_run import LiveRunQuerySet
from automations.models.statements import New
from automations.publication import disabling, publishing
from automations.testpoints import testpoint
from tests.mutants.mutant import mutant, swap


def without_a_lock(caller: str) -> None:
    """The rows that this function reads are not locked."""
    real = LiveRunQuerySet.select_for_update

    def select_for_update(self: LiveRunQuerySet, **given: Any) -> LiveRunQuerySet:
        return self if sys._getframe(1).f_code.co_name == caller else real(self, **given)

    swap(LiveRunQuerySet, "select_for_update", select_for_update)


def edit_start(old: str, new: str) -> None:
    """Changes the statement that starts."""
    statement = live_run_moves.START.replace("{lock}", live_run_moves.LOCK)
    assert old in statement, f"the statement no longer says {old!r}: the mutant is out of date"
    swap(live_run_moves, "START", statement.replace(old, new))


@mutant(only="postgresql")
def start_reads_then_writes() -> None:
    """N2, I1: the state is read first and the row then written by its id; between the two it changed."""
    edit_start(live_run_moves.LOCK, "")
    edit_start("{among} AND state = 'waiting'", "= ANY (ARRAY(SELECT run_id FROM due))")


@mutant()
def start_trusts_a_list_made_before() -> None:
    """N3, I1: a worker takes runs from a queue beside the rows; a cancel cannot take them out of it again."""
    hints = threading.local()
    turn, start = work._turn, LiveRunQuerySet.start

    def listing(**given: Any) -> list[Task]:
        due = LiveRun.objects.within(given["environment"].pk).due(now=database_now())
        hints.pks = list(due.values_list("pk", flat=True)[: given["room"]])
        return turn(**given)

    def by_the_list(self: LiveRunQuerySet, **given: Any) -> list[Claim]:
        cancelled = LiveRun.objects.filter(pk__in=hints.pks, state=LiveState.CANCELLED)
        cancelled.update(state=LiveState.WAITING, cancellation=None)
        return start(self, **given)

    swap(work, "_turn", listing)
    swap(LiveRunQuerySet, "start", by_the_list)


@mutant()
def effect_begins_before_the_commit() -> None:
    """N5, I1: the start is its commit; an effect that begins before it is on nobody's acknowledgement."""
    early: dict[tuple[int, int], Done] = {}
    begun, perform = tasks.tasks_of, work.perform

    def eager(*args: Any, **given: Any) -> list[Task]:
        found = begun(*args, **given)
        early.update({(task.claim.run_id, task.claim.fence): perform(task) for task in found})
        return found

    def performed(task: Task, **_: Any) -> Done:
        return early[task.claim.run_id, task.claim.fence]

    swap(work, "tasks_of", eager)
    swap(execution, "perform", performed)


@mutant()
def start_keeps_the_fence() -> None:
    """Every start has a fence of its own, so that what an earlier worker says is told from what this one says."""
    real = LiveRunQuerySet.start

    def start(self: LiveRunQuerySet, **given: Any) -> list[Claim]:
        claims = real(self, **given)
        LiveRun.objects.filter(pk__in=[claim.run_id for claim in claims]).update(fence=F("fence") - 1)
        return [claim._replace(fence=claim.fence - 1) for claim in claims]

    swap(LiveRunQuerySet, "start", start)


@mutant(only="postgresql")
def start_locks_nothing() -> None:
    """The rows are locked from the read to the write, and those that somebody else holds are passed over."""
    edit_start(live_run_moves.LOCK, "")


@mutant(only="postgresql")
def reap_locks_nothing() -> None:
    """The rows are locked from the read to the write: nothing ends or starts between the two."""
    without_a_lock("reap")


@mutant(only="postgresql")
def settle_locks_nothing() -> None:
    """The list of unsettled attempts is changed under the row's lock: else one strikes what another struck."""
    without_a_lock("settle")


@mutant(only="postgresql")
def finish_locks_nothing() -> None:
    """Where one run of a batch was lost, the others are held from the look at them to the write."""
    without_a_lock("hold")


@mutant(only="postgresql")
def late_answer_locks_nothing() -> None:
    """The same list, changed by a late answer."""
    without_a_lock("settle_late")


@mutant(only="postgresql")
def archive_locks_nothing() -> None:
    """Two that archive take different rows: those that somebody else holds are passed over."""
    without_a_lock("archive")


@mutant(only="postgresql")
def nobody_passes_the_gate() -> None:
    """Every transaction that moves runs begins behind the gate, which disabling takes for itself."""

    @contextmanager
    def open_gate(*, environment_id: int, beside: Any = (), **_: Any) -> Iterator[Passage]:
        with transaction.atomic():
            barred = standing(environment=environment_id).exists()
            held = Automation.objects.filter(environment=environment_id, held_at__isnull=False).exists()
            testpoint("gate.passed")
            yield Passage(database_now(), barred, statements.fetch(beside) if beside else (), held)

    for module in (accept_module(), work, housekeeping, cancellation, disabling, publishing):
        swap(module, "gate", open_gate)


def accept_module() -> Any:
    """The module: the package gives its function of the same name."""
    return sys.modules["automations.execution.accept"]


@mutant(only="postgresql")
def invokes_that_cancel_take_no_turns() -> None:
    """Two invokes of "cancel the previous, then start mine" take turns: else each misses the other's run."""
    swap(accept_module(), "serialise", lambda **_: None)


@mutant()
def run_and_queue_entry_in_two_transactions() -> None:
    """N3c, I2: an acknowledged run is in the queue; a connection that breaks between the two loses it."""
    module = accept_module()
    insert, store = module.insert, module._store
    put_off: list[New] = []

    def is_live(row: New) -> bool:
        return getattr(row, "model", type(row)) is LiveRun

    def without_live_rows(objects: Iterable[New]) -> None:
        rows = list(objects)
        put_off.extend(filter(is_live, rows))
        insert(itertools.filterfalse(is_live, rows))

    def in_two(*args: Any) -> Any:
        put_off.clear()  # of an invocation that was cut off
        stored = store(*args)
        later = put_off[:]
        put_off.clear()
        insert(later)
        return stored

    swap(module, "insert", without_live_rows)
    swap(module, "_store", in_two)


@mutant()
def idempotency_key_of_the_attempt() -> None:
    """N8, I3: every attempt of a step bears the same key, so that a receiver can tell a duplicate."""
    numbers = iter(range(1, sys.maxsize))
    keyed = property(lambda message: f"{message.run}:{message.step}:{next(numbers)}")
    swap(Message, "idempotency_key", keyed)


@mutant(only="sqlite", because="PostgreSQL has no such mode")
def transactions_begin_as_readers() -> None:
    """A transaction that begins as a reader and then writes is refused at once when another was faster."""
    connections.settings["default"]["OPTIONS"]["transaction_mode"] = "DEFERRED"
