"""How many threads of a worker's crew perform its steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from automations import execution, testpoints
from automations.cluster.crew import Crew
from automations.execution import Done, Task
from tests.scenes import SEND, invoke, production

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


def _started(count: int) -> Sequence[Task]:
    invoke(SEND, recipients=[f"r{number}" for number in range(count)])
    tasks = execution.turn(environment=production(), done=[], room=count)
    assert len(tasks) == count
    return tasks


class _Gathering:
    """Steps that end only once so many have begun."""

    def __init__(self, count: int) -> None:
        self.barrier, self.begun = threading.Barrier(count), threading.Event()

    def __call__(self, name: str) -> None:
        if name == "effect.begins":
            self.begun.set()
            self.barrier.wait(10)


class _Basket:
    """What has been performed."""

    def __init__(self, count: int) -> None:
        self.count, self.done, self.full = count, list[Done](), threading.Event()

    def put(self, done: Done) -> None:
        self.done.append(done)
        if len(self.done) == self.count:
            self.full.set()


def test_steps_that_take_no_time_are_performed_by_one_thread() -> None:
    crew, basket = Crew(8), _Basket(30)
    crew.perform(_started(30), then=basket.put)
    assert basket.full.wait(10)
    assert {done.outcome.status for done in basket.done if done.outcome} == {"completed"}
    assert (len(basket.done), len(crew.threads), crew.load, crew.waits) == (30, 1, 0, False)


def _hurried(crew: Crew, tasks: Sequence[Task], *, gathered: int, times: int = 1) -> None:
    """Performs them, which end only once so many have begun, and hurries the crew when the first has taken its time."""
    basket, gathering = _Basket(len(tasks)), _Gathering(gathered)
    with testpoints.watched(gathering):
        crew.perform(tasks, then=basket.put)
        assert gathering.begun.wait(10)
        time.sleep(0.01)
        assert len(crew.tasks) == len(tasks) - 1
        for _ in range(times):
            crew.hurry()
        assert basket.full.wait(10)


def test_each_step_gets_a_thread_as_soon_as_one_takes_its_time() -> None:
    crew = Crew(8)
    _hurried(crew, _started(5), gathered=5)
    assert (len(crew.threads), crew.load, crew.waits) == (5, 0, False)
    _hurried(crew, _started(5), gathered=5)  # by the threads that there are
    assert len(crew.threads) == 5


def test_without_a_step_nobody_is_called() -> None:
    crew, basket = Crew(2), _Basket(1)
    crew.perform([], then=basket.put)
    assert (crew.threads, crew.load, basket.done) == ([], 0, [])


def test_a_crew_hires_no_more_than_it_may() -> None:
    crew = Crew(2)
    _hurried(crew, _started(6), gathered=2, times=2)
    assert (len(crew.threads), crew.load) == (2, 0)
