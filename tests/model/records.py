"""What a state of the model is made of: the runs, the attempts in workers' hands, and what cancels were told."""

from __future__ import annotations

from typing import NamedTuple

WAITING, RUNNING, CANCELLING, CANCELLED = "waiting", "running", "cancelling", "cancelled"
HELD, EXPIRED = "held", "expired"
STARTED, SENT = "started", "sent"
READ, COMMITTED, ACKNOWLEDGED = "read", "committed", "acknowledged"


class Row(NamedTuple):
    """A run: LiveRun's columns while it is unfinished, and Run's `status` and cancellation (`by`, 0 for none).

    `state` is empty before the invoke and from the end on. `lease` is empty, held or expired; `unsettled` holds
    fences. `keys` are the idempotency keys seen outside, a set for each step. `is_begun` says of a cancelled run that
    its step was in flight. `is_queued` is for a variant.
    """

    keys: tuple[tuple[str, ...], ...]
    state: str = ""
    step: int = 0
    attempt: int = 0
    fence: int = 0
    lease: str = ""
    unsettled: tuple[int, ...] = ()
    by: int = 0
    status: str = ""
    is_queued: bool = True
    is_begun: bool = False

    @property
    def public(self) -> str:
        """The status that readers see: Run's where it is set, else the live one, cancelling as cancelled."""
        return self.status or (CANCELLED if self.state == CANCELLING else self.state)

    @property
    def open_fences(self) -> tuple[int, ...]:
        """The attempts that `cancellation.outstanding` still waits for."""
        if self.state != CANCELLING:
            return ()
        return (*self.unsettled, self.fence) if self.lease else self.unsettled


class Hand(NamedTuple):
    """An attempt in the hands of a worker that lives, though it may be frozen for as long as it likes.

    `phase` is started (it may send at any moment) or sent; a variant's may have further ones.
    """

    run: int
    fence: int
    step: int
    attempt: int
    phase: str = STARTED

    @property
    def worker(self) -> str:
        return f"worker of {self.fence}" if self.fence else "a worker"


class Receipt(NamedTuple):
    """What a cancel was asked for, `scope`, and what it found: the runs it moved and the attempts in flight, (run,
    fence). `stage` is committed or acknowledged; a variant's may be read before."""

    scope: tuple[int, ...]
    stage: str = READ
    runs: tuple[int, ...] = ()
    in_flight: tuple[tuple[int, int], ...] = ()


class Hold(NamedTuple):
    """A hold of the automation that all runs follow: `stage` is empty before it, read once it is placed, committed once
    what is in flight is listed, acknowledged, and over once it is enabled."""

    stage: str = ""
    in_flight: tuple[tuple[int, int], ...] = ()

    @property
    def stands(self) -> bool:
        return self.stage in (READ, COMMITTED, ACKNOWLEDGED)


class State(NamedTuple):
    """Workers are alike, and so are cancels, so that hands are sorted and receipts stand in their order of birth.
    `bars` are the numbers of the cancels that stand as bars, oldest first; `undone` of those undone. `passed` are
    the steps, (run, step), that were in flight at one of these."""

    rows: tuple[Row, ...]
    hands: tuple[Hand, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    bars: tuple[int, ...] = ()
    hold: Hold = Hold()
    undone: tuple[int, ...] = ()
    passed: tuple[tuple[int, int], ...] = ()

    def write(self, run: int, row: Row) -> State:
        """The state with that run's row written."""
        return self._replace(rows=(*self.rows[:run], row, *self.rows[run + 1 :]))

    def take(self, hand: Hand) -> State:
        """The state with one more hand."""
        return self._replace(hands=tuple(sorted((*self.hands, hand))))

    def drop(self, hand: Hand) -> State:
        """The state without that hand."""
        left = list(self.hands)
        left.remove(hand)
        return self._replace(hands=tuple(left))

    def told(self, number: int, receipt: Receipt) -> State:
        """The state with the receipt of cancel 1, 2, ... written."""
        return self._replace(receipts=(*self.receipts[: number - 1], receipt, *self.receipts[number:]))
