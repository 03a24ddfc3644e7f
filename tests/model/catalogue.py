"""Everything there is to check: the protocols that hold, and the variants that must fall, with the rule and the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.model import bars, holds, pairs, parking, tokens, trees, undoing, variants
from tests.model.checker import System
from tests.model.protocol import AsBuilt

Make = Callable[[], System[Any]]
PARENT = ((pairs.PARENT,),)

HOLD: dict[str, Make] = {
    "one-run": lambda: AsBuilt(workers=3),
    "two-runs": lambda: AsBuilt(scopes=((0, 1), (1,)), tries=1),
    "two-runs-retried": lambda: AsBuilt(scopes=((0, 1),), steps=1),
    "bar": lambda: bars.Barred(scopes=((0,),)),
    "two-bars": lambda: bars.Barred(scopes=((0, 1), (1,)), steps=1, tries=1),
    "held": lambda: parking.Held(scopes=((0,),), tries=1),
    "hold": holds.Holding,
    "undo": lambda: undoing.Undoable(scopes=((0,),)),
    "undo-of-two": lambda: undoing.Undoable(scopes=((0,), (0,)), steps=1, tries=1),
    "undo-of-a-bar": lambda: undoing.UndoableBar(scopes=((0,),), tries=1),
    "undo-of-two-bars": lambda: undoing.UndoableBar(scopes=((0,), (0,)), steps=1, tries=1),
    "token": tokens.OneTransaction,
    "token-in-batches": tokens.InBatches,
    "cancel-the-previous": tokens.Serialised,
    "tree": trees.OneByOne,
    "waits-for-a-child": trees.WakesAtTheEnd,
    "undo-of-a-pair": pairs.Reunited,
    "undo-of-a-parent": lambda: pairs.Reunited(scopes=((pairs.PARENT,), (pairs.CHILD,))),
}
# Half a minute: only by `python -m tests.model --wide`.
WIDE: dict[str, Make] = {
    "three-cancels": lambda: AsBuilt(scopes=((0,), (0,), (0,))),
    "undo-of-two-wide": lambda: undoing.Undoable(scopes=((0,), (0,)), tries=1),
    "undo-of-a-bar-wide": lambda: undoing.UndoableBar(scopes=((0,),)),
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
    "held-ignored": Fall(parking.StartsWhileHeld, "H1", 6),
    "held-half-way": Fall(parking.StartsHalfWay, "H1", 7),
    "held-lists-first": Fall(parking.ListsBeforeItStands, "H2", 7),
    "held-never-lifted": Fall(lambda: parking.NeverEnabled(steps=1, tries=1), "I2", 3),
    "hold-shared": Fall(holds.PlacedBehindTheSharedGate, "C1", 8),
    "hold-read-first": Fall(holds.ReadBeforeTheGate, "C1", 8),
    "hold-afterwards": Fall(holds.HeldAfterwards, "C1", 8),
    "hold-reported": Fall(holds.HoldsAreReported, "I5", 8),
    "undo-repeats": Fall(lambda: undoing.Repeats(scopes=((0,),)), "U1", 7),
    "undo-repeats-the-settled": Fall(lambda: undoing.RepeatsTheSettled(scopes=((0,),)), "U1", 10),
    "undo-repeats-what-settled-under-a-bar": Fall(lambda: undoing.SettlesUnderABar(scopes=((0,),)), "U1", 10),
    "undo-without-gate": Fall(lambda: undoing.LooksFirst(scopes=((0, 1),), tries=1, steps=1), "U3", 9),
    "undo-overtaken-by-sweep": Fall(lambda: undoing.SweepsTheUndone(scopes=((0,),)), "U2", 6),
    "undo-forgets-fence": Fall(lambda: undoing.ForgetsTheFence(tries=1), "I1b", 17),
    "undo-restores-twice": Fall(lambda: undoing.RestoresTwice(scopes=((0,),), steps=1), "I4", 11),
    "undo-leaves-the-archived": Fall(lambda: undoing.LeavesTheArchived(scopes=((0,),)), "I2", 6),
    "undo-wakes-behind-the-shared-gate": Fall(lambda: pairs.WakesBehindTheSharedGate(scopes=PARENT), "I2", 7),
    "undo-wakes-who-is-back": Fall(lambda: pairs.WakesWhoIsBack(scopes=PARENT), "I2", 6),
    "undo-wakes-for-the-returning": Fall(pairs.WakesForTheReturning, "W1", 8),
    "archives-in-silence": Fall(pairs.ArchivesInSilence, "I2", 1),
    "unserialised": Fall(tokens.Unserialised, "C6", 4),
    "tree-bears-whatever": Fall(trees.BearsWhateverBecame, "C7", 7),
    "tree-one-snapshot": Fall(trees.OneSnapshot, "C7", 7),
    "tree-looks-once": Fall(trees.LooksOnce, "C7", 11),
    "tree-goes-by-what-it-moved": Fall(trees.GoesByWhatItMoved, "C7", 11),
    "tree-cut-by-the-finished": Fall(trees.CutByTheFinished, "C7", 10),
    "tree-rests-afterwards": Fall(trees.RestsAfterwards, "I2", 4),
}
