"""The desk: one connection answers what many threads ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection

from automations.cluster import pump
from automations.cluster.desk import Desk
from automations.models import About, Answers, Question, answers, steps_of_run
from tests.letters import knows, listed, template
from tests.scenes import invoke, production, read, run_of

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


class Reader:
    """Answers for real, once it may, and keeps what it was asked."""

    def __init__(self, *failures: Exception) -> None:
        self.may = threading.Event()
        self.asked: list[list[Question]] = []
        self.failures = list(failures)

    def __call__(self, questions: Sequence[Question]) -> Answers:
        self.asked.append(list(questions))
        self.may.wait(10)
        if self.failures:
            raise self.failures.pop(0)
        try:
            return answers(questions)
        finally:
            connection.close()  # the database under test is to be dropped


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 8  # before the reader may after all
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.001)


def question(name: str) -> Question:
    return Question(About.PROFILE, production().pk, name)


def test_steps_of_a_shift_are_answered_over_one_connection() -> None:
    template(title="{{profile.name}}")
    for number in range(40):
        knows(f"u{number}", name=f"N{number}")
    listed("all", *(f"u{number}" for number in range(40)))
    step: dict[str, Any] = {"action": "send", "template": "welcome", "recipient": "refs.data.whom"}
    runs = [run_of(invoke(step, data={"whom": f"u{number}"})) for number in range(40)]
    every = run_of(invoke({"action": "send-list", "list": "all", "template": "welcome"}))
    pump.run_pump()
    said = [steps_of_run(read(run))[0].output["title"] for run in runs]
    assert said == [f"N{number}" for number in range(40)]
    assert steps_of_run(read(every))[0].output["reached"] == 40


def test_questions_that_come_while_it_reads_are_answered_together() -> None:
    knows("u3", n=3)
    reader = Reader()
    desk = Desk(reader)
    asked = [[question(f"u{number % 5}"), question("u3")] for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(desk.ask, asked[0])]
        until(lambda: len(reader.asked) == 1)
        waiting += [pool.submit(desk.ask, questions) for questions in asked[1:]]
        until(lambda: desk.asked.qsize() == 19)
        reader.may.set()
        found = [future.result(timeout=10)[question("u3")] for future in waiting]
    assert found == [{"n": 3}] * 20
    assert len(reader.asked) == 2
    assert len(reader.asked[1]) == len(set(reader.asked[1])) == 5


def test_a_lost_connection_is_made_anew_once_and_an_error_told_to_who_asked() -> None:
    reader = Reader(OperationalError("gone"), DataError("no"))
    reader.may.set()
    desk = Desk(reader)
    with pytest.raises(DataError):  # of the second try
        desk.ask([question("a")])
    assert desk.ask([question("b")]) == {question("b"): {}}
    assert len(reader.asked) == 3
