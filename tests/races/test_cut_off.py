"""Connections that break in the middle of a transition: all of it happened, or nothing did, and nothing is lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection

from automations import execution
from automations.execution import housekeeping
from tests.races.history import History, check_ends, check_invariants, pass_time
from tests.races.together import clear
from tests.scenes import DELAY, SEND, expire_leases, production

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
MOST_STATEMENTS = 60


@contextmanager
def broken_off(*, before: int) -> Iterator[None]:
    """The connection breaks before its statement number `before`, counted from 0."""
    numbers = itertools.count()

    def execute(run: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if next(numbers) == before:
            raise OperationalError("the connection broke")
        return run(sql, params, many, context)

    with connection.execute_wrapper(execute):
        yield


def prepared(history: History, verb: str) -> Callable[[], Any]:
    """A transition, with a run in the middle of its way that could make it now."""
    run = history.invoke(SEND, DELAY, SEND, token="t")
    history.start()
    expire_leases()
    housekeeping.reap(production())
    (task,) = history.start()
    pass_time()
    head = {"action": "cancel", "cancellation_token": "t"}
    if verb.startswith("undo") or verb == "restore":
        (history.bar if verb == "undo of a bar" else history.cancel)(token="t")
    if verb == "restore":
        history.finish(execution.perform(task))
        history.settle()
        history.keep_house()
        assert history.undo()
    transitions: dict[str, Callable[[], Any]] = {
        "invoke": lambda: history.invoke(SEND, token="t", recipients=["r1", "r2"]),
        "invoke that cancels": lambda: history.invoke(head, SEND, token="t"),
        "finish": lambda: history.finish(execution.perform(task)),
        "finish and start": lambda: history.finish(execution.perform(task), room=5),
        "cancel": lambda: history.cancel(run_pks=(run.pk,)),
        "reap": lambda: housekeeping.reap(production()),
        "settle": history.settle,
        "renew": lambda: execution.renew(environment=production(), tasks=[task]),
        "undo": history.undo,
        "undo of a bar": history.undo,
        "restore": history.keep_house,
    }
    return transitions[verb]


@pytest.mark.parametrize(
    "verb",
    [
        "invoke",
        "invoke that cancels",
        "finish",
        "finish and start",
        "cancel",
        "reap",
        "settle",
        "renew",
        "undo",
        "undo of a bar",
        "restore",
    ],
)
def test_a_transition_cut_off_at_any_statement_leaves_all_or_nothing(verb: str) -> None:
    for number in range(MOST_STATEMENTS):
        history = History()
        transition = prepared(history, verb)
        cut = False
        with broken_off(before=number):
            try:
                transition()
            except OperationalError:
                cut = True
        check_invariants(history)
        check_ends(history)
        clear()
        if not cut:
            assert number > 2
            return
    raise AssertionError(f"{verb} takes more than {MOST_STATEMENTS} statements")
