"""Everything there is to check: the protocols that hold, and the variants that must fall, with the rule and the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.model import bars, tokens, trees, variants
from tests.model.checker import System
from tests.model.protocol import AsBuilt

Make = Callable[[], System[Any]]

HOLD: dict[str, Make] = {
    "one-run": lambda: AsBuilt(workers=3),
    "two-runs": lambda: AsBuilt(scopes=((0, 1), (1,)), tries=1),
    "two-runs-retried": lambda: AsBuilt(scopes=((0, 1),), steps=1),
    "bar": lambda: bars.Barred(scopes=((0,),)),
    "two-bars": lambda: bars.Barred(scopes=((0, 1), (1,)), steps=1, tries=1),
    "token": tokens.OneTransaction,
    "token-in-batches": tokens.InBatches,
    "cancel-the-previous": tokens.Serialised,
    "tree": trees.OneByOne,
    "waits-for-a-child": trees.WakesAtTheEnd,
}
# Half a minute: only by `python -m tests.model --wide`.
WIDE: dict[str, Make] = {
    "three-cancels": lambda: AsBuilt(scopes=((0,), (0,), (0,))),
    "one-run-wide": lambda: AsBuilt(workers=3, tries=3),
    "two-runs-wide": lambda: AsBuilt(scopes=((0, 1), (1,)), steps=1),
}


@dataclass(frozen=True)
class Fall:
    """A variant, the rule that falls for it, and the number of actions within which it does."""

    make: Make
    rule: str
    within: int


FALL: dict[str, Fall] = {
    "N1": Fall(variants.CancelReadsFirst, "I5", 5),
    "N2": Fall(variants.StartReadsFirst, "I1", 5),
    "N3": Fall(variants.SeparateQueue, "I1", 5),
    "N3b": Fall(variants.SeparateQueueReread, "I1", 6),
    "N3c": Fall(variants.QueuedAfterwards, "I2", 2),
    "N4": Fall(variants.UnguardedFinish, "I4", 4),
    "N5": Fall(variants.EffectBeforeStart, "I1b", 5),
    "N6": Fall(variants.ListedByLease, "I1b", 6),
    "N7": Fall(variants.UnguardedRetry, "I4", 4),
    "N8": Fall(variants.KeyOfTheAttempt, "I3", 6),
    "N9": Fall(variants.ReapFromSnapshot, "I4", 6),
    "reap-by-state-alone": Fall(variants.ReapByStateAlone, "I1b", 10),
    "reap-forgets": Fall(variants.ReapForgets, "I1b", 7),
    "reap-revives": Fall(variants.ReapRevives, "I4", 5),
    "start-keeps-fence": Fall(variants.StartKeepsFence, "I1b", 11),
    "let-go-ignores-unsettled": Fall(variants.LetGoIgnoresUnsettled, "I1c", 9),
    "settle-ignores-fence": Fall(variants.SettleIgnoresFence, "I1c", 11),
    "waiting-is-always-idle": Fall(variants.WaitingIsAlwaysIdle, "I1b", 7),
    "cancel-in-two": Fall(variants.CancelInTwo, "C1", 6),
    "cancel-in-two-reversed": Fall(variants.CancelInTwoReversed, "C1", 5),
    "finish-looks-first": Fall(variants.FinishLooksFirst, "I4", 5),
    "archives-cancelling": Fall(variants.ArchivesCancelling, "I1c", 6),
    "settles-the-frozen": Fall(variants.SettlesTheFrozen, "I1b", 8),
    "settles-the-frozen-listed": Fall(variants.SettlesTheFrozen, "I1c", 8),
    "F1": Fall(tokens.Blind, "C1", 4),
    "F2": Fall(tokens.MarkUnread, "C1", 4),
    "F3": Fall(tokens.MarkUnlocked, "C1", 5),
    "F4": Fall(tokens.ByIdList, "I1b", 6),
    "bar-starts": Fall(bars.StartsUnderABar, "I1", 9),
    "bar-ends": Fall(lambda: bars.EndsUnderABar(steps=1), "I4", 9),
    "bar-reaps": Fall(lambda: bars.ReapsUnderABar(tries=1), "I4", 9),
    "bar-newest-first": Fall(bars.SweepsTheNewestFirst, "I5", 9),
    "bar-lists-first": Fall(bars.ListsBeforeItStands, "I1b", 9),
    "bar-half-way": Fall(bars.StartsHalfWay, "I1", 9),
    "bar-archives-unlisted": Fall(bars.ArchivesTheUnlisted, "I5", 12),
    "unserialised": Fall(tokens.Unserialised, "C6", 4),
    "tree-bears-whatever": Fall(trees.BearsWhateverBecame, "C7", 7),
    "tree-one-snapshot": Fall(trees.OneSnapshot, "C7", 7),
    "tree-looks-once": Fall(trees.LooksOnce, "C7", 11),
    "tree-cut-by-the-finished": Fall(trees.CutByTheFinished, "C7", 10),
    "tree-rests-afterwards": Fall(trees.RestsAfterwards, "I2", 4),
}
