"""What is handed to one reader arrives, and the reader waits no longer than asked."""

from __future__ import annotations

import threading
import time
from queue import Empty

import pytest

from automations.cluster.inbox import Inbox

WRITERS, EACH = 8, 2_000


def test_all_that_is_handed_in_arrives_in_the_order_of_each_writer() -> None:
    inbox = Inbox[tuple[int, int]]()

    def write(writer: int) -> None:
        for number in range(EACH):
            inbox.put((writer, number))

    for writer in range(WRITERS):
        threading.Thread(target=write, args=[writer], daemon=True).start()
    found = [inbox.get(timeout=10) for _ in range(WRITERS * EACH)]
    for writer in range(WRITERS):
        assert [number for one, number in found if one == writer] == list(range(EACH))
    assert len(inbox) == 0


def test_a_reader_waits_for_what_comes_and_no_longer_than_asked() -> None:
    inbox = Inbox[str]()
    begun = time.monotonic()
    with pytest.raises(Empty):
        inbox.get(timeout=0.05)
    assert time.monotonic() - begun >= 0.05
    threading.Timer(0.05, inbox.put, ["it"]).start()
    assert inbox.get(timeout=10) == "it"
    inbox.put("a")
    inbox.put("b")
    assert [inbox.get(timeout=0), inbox.get(timeout=-1)] == ["a", "b"]
    for timeout in (0, -1, 0.01):  # it has rung, and what it rang for is gone
        with pytest.raises(Empty):
            inbox.get(timeout=timeout)


def test_a_reader_whose_time_is_over_before_it_waits_does_not_wait_for_ever() -> None:
    """queue.SimpleQueue does: with others that compute, one of the first thousand of these never came back."""
    done = threading.Event()

    def compute() -> None:
        while not done.is_set():
            sum(range(1_000))

    def read() -> None:
        for _ in range(2_000):
            inbox = Inbox[str]()
            inbox.put("rings")
            inbox.get(timeout=0)
            with pytest.raises(Empty):
                inbox.get(timeout=1e-6)

    reader = threading.Thread(target=read, daemon=True)
    for thread in (threading.Thread(target=compute, daemon=True), reader):
        thread.start()
    reader.join(timeout=60)
    done.set()
    assert not reader.is_alive()
