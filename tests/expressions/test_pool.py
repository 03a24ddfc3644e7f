"""Evaluators come and go, die and are replaced, and are shared fairly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from automations.expressions import ExpressionError, Scope, pool, process, resolve_token

ROOT = Path(__file__).parents[2]
ENDLESS = "${(() => { for (;;); })()}"
NATIVE_ENDLESS = "${new Array(2 ** 32 - 1).join(',')}"
Limits = Callable[..., None]


def token(javascript: str, owner: str = "") -> str:
    """The token, or the kind of the error."""
    scope = Scope(data={}, profile={}, now=datetime(2026, 1, 1, tzinfo=UTC), seed="s")
    try:
        return resolve_token(f"${{{javascript}}}", scope, owner=owner)
    except ExpressionError as error:
        return error.kind


def until(holds: Callable[[], bool], *, seconds: float = 10) -> None:
    """Wait until it holds; fail where it does not."""
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.002)


def runs(pid: int) -> bool:
    """Whether the process runs: it exists, and is not a zombie nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def is_evaluating(pid: int) -> Callable[[], bool]:
    """Whether the process has used 30 ms of CPU more than now."""
    before = process.cpu_seconds(pid) or 0.0
    return lambda: (process.cpu_seconds(pid) or 0.0) > before + 0.03


@pytest.fixture
def aside() -> Iterator[Callable[..., threading.Thread]]:
    """Starts threads, and waits for them after the test."""
    started: list[threading.Thread] = []

    def start(work: Callable[[], object]) -> threading.Thread:
        started.append(threading.Thread(target=work))
        started[-1].start()
        return started[-1]

    yield start
    for thread in started:
        thread.join()


def test_evaluators_start_when_needed_and_stay(limits: Limits) -> None:
    limits(pool_size=4)
    assert pool.current().pids() == []
    assert [token("1 + 1") for _ in range(3)] == ["2", "2", "2"]
    assert len(pool.current().pids()) == 1


def test_an_evaluator_is_replaced_after_so_many_evaluations(limits: Limits) -> None:
    limits(recycle_after=3)
    seen = []
    for _ in range(7):
        assert token("1 + 1") == "2"
        seen += [pid for pid in pool.current().pids() if pid not in seen]
    assert len(seen) == 3
    assert [runs(pid) for pid in seen] == [False, False, True]


def test_one_killed_under_an_evaluation_is_a_retryable_error_and_the_next_works(
    limits: Limits, aside: Callable[..., threading.Thread]
) -> None:
    limits(time_ms=5000)
    token("1 + 1")
    [pid] = pool.current().pids()
    answers: list[str] = []
    evaluating = is_evaluating(pid)
    victim = aside(lambda: answers.append(token("(() => { for (;;); })()")))
    until(evaluating)
    os.kill(pid, signal.SIGKILL)
    victim.join()
    assert answers == ["crashed"]
    assert token("1 + 1") == "2"
    assert not runs(pid)


def test_one_killed_while_idle_is_not_noticed(limits: Limits) -> None:
    limits()
    token("1 + 1")
    [pid] = pool.current().pids()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not runs(pid))
    assert token("2 + 2") == "4"


def test_a_stopped_evaluator_is_starved_and_replaced(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    limits(time_ms=20)
    monkeypatch.setattr(process, "PATIENCE_S", 0.2)
    for request in ("1 + 1", "1 + '" + "x" * 1500 + "'.length"):
        token("1 + 1")
        [pid] = pool.current().pids()
        os.kill(pid, signal.SIGSTOP)
        assert token(request) == "starved"
        assert not runs(pid)
    assert token("1 + 1") == "2"


def test_a_request_too_long_for_the_pipe_meets_an_evaluator_that_does_not_read(
    limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits(time_ms=20)
    monkeypatch.setattr(process, "PATIENCE_S", 0.2)
    token("1 + 1")
    [pid] = pool.current().pids()
    os.kill(pid, signal.SIGSTOP)
    scope = Scope(data={"x": "x" * 500_000}, profile={}, now=datetime(2026, 1, 1, tzinfo=UTC), seed="s")
    with pytest.raises(ExpressionError) as caught:
        resolve_token("${data.x.length + 0}", scope)
    assert (caught.value.kind, caught.value.retryable) == ("starved", True)
    assert resolve_token("${data.x.length + 0}", scope) == "500000"


def test_where_none_becomes_free_in_time_it_is_busy(
    limits: Limits, aside: Callable[..., threading.Thread]
) -> None:
    limits(time_ms=500, wait_s=0.05)
    token("1 + 1")
    evaluating = is_evaluating(pool.current().pids()[0])
    aside(lambda: token("(() => { for (;;); })()"))
    until(evaluating)
    assert token("1 + 1") == "busy"


def test_32_threads_get_their_own_answers_from_4_evaluators(limits: Limits) -> None:
    limits(pool_size=4, wait_s=20)
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda number: token(f"{number} * 2"), range(320)))
    assert answers == [str(number * 2) for number in range(320)]
    assert len(pool.current().pids()) <= 4


def test_one_owner_never_holds_every_evaluator(
    limits: Limits, aside: Callable[..., threading.Thread]
) -> None:
    limits(pool_size=2, time_ms=400, wait_s=10)
    token("1 + 1")
    evaluating = is_evaluating(pool.current().pids()[0])
    hostile = [
        aside(lambda number=number: token(f"(() => {{ for (;;) {number}; }})()", "hostile"))
        for number in range(3)
    ]
    until(evaluating)
    assert token("1 + 1", "another") == "2"
    assert [thread.is_alive() for thread in hostile] == [True, True, True]


def test_a_caller_that_comes_back_without_pause_does_not_overtake(
    limits: Limits, aside: Callable[..., threading.Thread]
) -> None:
    limits(pool_size=1, time_ms=50, wait_s=10)
    turns: list[str] = []
    done = threading.Event()

    def come_back() -> None:
        while not done.is_set():
            turns.append(token(f"(() => {{ for (;;) {len(turns)}; }})()"))

    aside(come_back)
    try:
        until(lambda: len(turns) >= 1)
        before = len(turns)
        assert [token("1 + 1") for _ in range(4)] == ["2"] * 4
        assert len(turns) - before <= 5
    finally:
        done.set()


def test_many_of_one_group_do_not_keep_another_waiting(
    limits: Limits, aside: Callable[..., threading.Thread]
) -> None:
    limits(pool_size=1, time_ms=300, wait_s=1)
    token("1 + 1")
    evaluating = is_evaluating(pool.current().pids()[0])
    for number in range(8):
        endless = f"(() => {{ for (;;) {number}; }})()"
        aside(lambda number=number, endless=endless: token(endless, f"1/{number}"))
    until(evaluating)
    until(lambda: len(pool.current()._queue) == 7)
    assert [token("1 + 1", "2/runs") for _ in range(3)] == ["2", "2", "2"]


@pytest.mark.parametrize("endless", [ENDLESS, NATIVE_ENDLESS])
def test_an_endless_expression_costs_its_caller_no_cpu_of_its_own(limits: Limits, endless: str) -> None:
    limits()
    token("1 + 1")
    used = time.process_time()
    assert token(endless[2:-1]) == "timeout"
    assert time.process_time() - used < 0.1
    assert token("1 + 1") == "2"


def test_a_forked_child_starts_its_own_and_leaves_the_parents_alone(limits: Limits) -> None:
    limits()
    token("1 + 1")
    before = pool.current().pids()
    child = os.fork()
    if not child:
        fresh = pool.current().pids() == [] and token("2 + 2") == "4" and pool.current().pids() != before
        pool.current().close()
        os._exit(0 if fresh else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert token("3 + 3") == "6"
    assert pool.current().pids() == before


def test_the_pool_works_again_after_it_was_closed(limits: Limits) -> None:
    limits()
    token("1 + 1")
    [pid] = pool.current().pids()
    pool.current().close()
    assert (pool.current().pids(), runs(pid)) == ([], False)
    assert token("1 + 1") == "2"


PARENT = """
import os, sys, time
from datetime import UTC, datetime
from automations.expressions import Scope, pool, resolve_token
scope = Scope(data={}, profile={}, now=datetime(2026, 1, 1, tzinfo=UTC), seed="s")
resolve_token("${1 + 1}", scope)
child = os.fork() if sys.argv[1] == "forks" else 0
if sys.argv[1] == "forks" and not child:
    time.sleep(60)
    os._exit(0)
print(child, *pool.current().pids(), flush=True)
if sys.argv[1] == "evaluates":
    resolve_token(sys.argv[2], scope)
if sys.argv[1] != "ends":
    time.sleep(60)
"""


def parent(*arguments: str) -> tuple[subprocess.Popen[str], int, int]:
    """A process with one evaluator: itself, the process it forked (or 0), and the evaluator's."""
    started = subprocess.Popen(
        [sys.executable, "-c", PARENT, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    child, evaluator = map(int, started.stdout.readline().split())
    return started, child, evaluator


@pytest.mark.parametrize("arguments", [("forks",), ("evaluates", ENDLESS), ("evaluates", NATIVE_ENDLESS)])
def test_an_evaluator_ends_when_its_parent_is_killed(arguments: tuple[str, ...]) -> None:
    started, child, evaluator = parent(*arguments)
    with started:
        if arguments[0] == "evaluates":
            until(is_evaluating(evaluator))
        started.kill()
    until(lambda: not runs(evaluator))
    if child:
        assert runs(child)
        os.kill(child, signal.SIGKILL)


def test_a_process_that_ends_leaves_no_evaluator() -> None:
    started, _, evaluator = parent("ends")
    with started:
        assert started.wait(timeout=20) == 0
    until(lambda: not runs(evaluator))


def test_limits_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="pool_size must be above zero"):
        pool.configure(pool_size=0)
