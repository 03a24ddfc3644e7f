"""Random walks through the real transitions, alone and overlapping: after each the promises are checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from automations import execution
from automations.execution import Done, Task, housekeeping
from automations.models import Run
from tests.races.held import overlap
from tests.races.history import History, check_ends, check_invariants, failed, pass_deadlines, pass_time
from tests.races.sink import Sink
from tests.races.together import clear
from tests.scenes import DELAY, SEND, expire_leases, production

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

TOKENS = ("a", "b")
STEPS: tuple[dict[str, Any], ...] = (
    SEND, DELAY, {"action": "cancel", "cancellation_token": "a"},
    {"action": "cancel", "cancellation_token": "b", "include_self": True},
)  # fmt: skip
tokens = st.sampled_from(TOKENS)


class Walk(RuleBasedStateMachine):
    """Some runs, some workers' tasks in hand, and the sink they send to."""

    sink: Sink

    def __init__(self) -> None:
        super().__init__()
        self.history = History()
        self.runs: list[Run] = []
        self.in_hand: list[Task] = []
        self.performed: list[Done] = []
        self.sink.keys.clear()

    @initialize(token=tokens)
    def begin(self, token: str) -> None:
        self.runs.append(self.history.invoke(SEND, DELAY, SEND, token=token))

    @rule(steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=4), token=tokens)
    def invoke(self, steps: list[dict[str, Any]], token: str) -> None:
        self.runs.append(self.history.invoke(*steps, token=token, key=f"k{len(self.runs) % 2}"))

    @rule(room=st.integers(1, 3))
    def start(self, room: int) -> None:
        self.in_hand += self.history.start(room)

    @rule(data=st.data(), end=st.sampled_from(["done", "done", "retry", "fail"]))
    def perform(self, data: st.DataObject, end: str) -> None:
        if self.in_hand:
            task = self.in_hand.pop(data.draw(st.integers(0, len(self.in_hand) - 1)))
            is_effect = task.step is not None and task.step.action == "send"
            if end == "done" or not is_effect:
                self.performed.append(execution.perform(task))
            else:
                self.performed.append(failed(task, retryable=end == "retry"))

    @rule(room=st.sampled_from([0, 0, 2]))
    def finish(self, room: int) -> None:
        done, self.performed = self.performed, []
        self.in_hand += self.history.finish(*done, room=room)

    @rule(token=tokens)
    def cancel(self, token: str) -> None:
        self.history.cancel(token=token)

    @rule(key=st.sampled_from(["k0", "k1"]))
    def cancel_by_key(self, key: str) -> None:
        self.history.cancel(key=key)

    @rule(data=st.data())
    def cancel_one(self, data: st.DataObject) -> None:
        self.history.cancel(run_pks=(data.draw(st.sampled_from(self.runs)).pk,))

    @rule(number=st.integers(0, 5), overdue=st.sampled_from(["fire_now", "shift", "skip"]))
    def undo(self, number: int, overdue: str) -> None:
        self.history.undo(number, overdue)

    @rule()
    def lose_the_workers(self) -> None:
        """Every lease runs out; their tasks stay in hand, to be answered late."""
        expire_leases()
        housekeeping.reap(production())

    @rule()
    def let_deadlines_pass(self) -> None:
        pass_deadlines()
        self.history.settle()

    @rule()
    def let_time_pass(self) -> None:
        pass_time()

    @rule()
    def renew(self) -> None:
        execution.renew(environment=production(), tasks=self.in_hand)

    @rule()
    def keep_house(self) -> None:
        self.history.keep_house()

    @rule(data=st.data(), token=tokens)
    def overlap(self, data: st.DataObject, token: str) -> None:
        """One transition held in its transaction while another goes as far as it can."""
        verbs: dict[str, tuple[str, Callable[[], Any]]] = {
            "start": ("start.moved", lambda: self.start(2)),
            "finish": ("finish.moved", lambda: self.finish(0)),
            "cancel": ("cancel.moved", lambda: self.cancel(token)),
            "reap": ("reap.read", lambda: housekeeping.reap(production())),
            "settle": ("settle.read", self.history.settle),
            "house": ("archive.read", self.keep_house),
            "undo": ("undo.moved", self.history.undo),
            "restore": ("undo.read", self.keep_house),
        }
        first, second = (data.draw(st.sampled_from(sorted(verbs))) for _ in range(2))
        at, one = verbs[first]
        _, other = verbs[second]
        if first != second:
            overlap(one, other, at=at, always=False)

    @invariant()
    def promises_are_kept(self) -> None:
        check_invariants(self.history)

    @invariant()
    def effects_bear_one_key_for_each_step(self) -> None:
        steps = {f"{run.uid}:{position}" for run in self.runs for position in range(4)}
        assert set(self.sink.keys) <= steps

    def teardown(self) -> None:
        check_ends(self.history)
        clear()


def walk(sink: Sink, **given: Any) -> None:
    """Walks until one walk breaks a promise: the shortest such is then shown."""
    Walk.sink = sink
    run_state_machine_as_test(
        Walk,
        settings=settings(deadline=None, suppress_health_check=list(HealthCheck), database=None, **given),
    )


def test_the_same_walks_every_time(sink: Sink) -> None:
    walk(sink, derandomize=True, max_examples=12, stateful_step_count=25)


@pytest.mark.slow
def test_many_more_walks(sink: Sink) -> None:
    walk(sink, max_examples=120, stateful_step_count=50, print_blob=True)
