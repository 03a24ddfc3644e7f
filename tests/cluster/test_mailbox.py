"""Tasks get from one process to another, whoever of them is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from automations.cluster.broker import PUMP
from automations.cluster.mailbox import LARGEST_BYTES, STOP, Mailbox

pytestmark = pytest.mark.pure
fork = multiprocessing.get_context("fork")


@pytest.fixture
def mailbox() -> Iterator[Callable[..., Mailbox]]:
    """Makes mailboxes that are closed after the test."""
    made: list[Mailbox] = []

    def make(maxsize: int = 0) -> Mailbox:
        made.append(Mailbox(maxsize))
        return made[-1]

    yield make
    for box in made:
        box._reader.close()
        box._writer.close()


def forked(target: Callable[..., Any], *given: Any) -> Any:
    process = fork.Process(target=target, args=given, daemon=True)
    process.start()
    return process


def wait_until_asleep(pid: int) -> None:
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="sees in /proc who waits")
def test_one_killed_while_it_waits_for_a_task_keeps_no_other_from_it(
    mailbox: Callable[..., Mailbox],
) -> None:
    box, answers = mailbox(), mailbox()
    victim = forked(box.get)
    wait_until_asleep(victim.pid)
    other = forked(lambda: answers.put(box.get()))
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    box.put({"func": "other"})
    other.join(10)
    assert other.exitcode == 0
    assert answers.get() == {"func": "other"}


def test_every_item_is_read_whole_and_in_order(mailbox: Callable[..., Mailbox]) -> None:
    box = mailbox()
    for item in ({"n": 1}, {"n": "x" * 100_000}, STOP):
        box.put(item)
        assert (box.empty(), box.qsize()) == (False, 1)
        assert box.get() == item
    assert (box.empty(), box.qsize()) == (True, 0)


def test_a_full_one_is_waited_for_except_with_the_order_to_stop(mailbox: Callable[..., Mailbox]) -> None:
    box = mailbox(1)
    box.put("one")
    waiting = forked(box.put, "two")
    waiting.join(0.3)
    assert waiting.is_alive()
    box.put(STOP)
    assert [box.get(), box.get()] == ["one", STOP]
    assert box.get() == "two"
    waiting.join(10)
    assert waiting.exitcode == 0


def test_what_a_pump_came_to_is_passed_on_only_if_it_failed(mailbox: Callable[..., Mailbox]) -> None:
    box = mailbox()
    box.put({"func": PUMP, "success": True, "result": None})
    assert box.empty()
    box.put({"func": PUMP, "success": False, "result": "why"})
    assert box.get()["result"] == "why"


def test_what_does_not_fit_is_told_in_words_or_dropped(
    mailbox: Callable[..., Mailbox], caplog: pytest.LogCaptureFixture
) -> None:
    box = mailbox()
    box.put({"func": "f", "success": True, "result": "x" * LARGEST_BYTES})
    assert box.get()["result"].endswith("bytes, too large to keep")
    box.put({"func": "f", "args": ("x" * LARGEST_BYTES,)})
    assert box.empty()
    assert "it is dropped" in caplog.text
