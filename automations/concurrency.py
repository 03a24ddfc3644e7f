"""Makes way for runs with a concurrency key: earlier ones of the same key are superseded, or stand in the way."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime

from automations import cancellation
from automations.cancellation import CancelRequest
from automations.invocation import Draft
from automations.models import UNFINISHED, CancellationFilter, Invocation, LiveRun, No, Origin, Refusal

AT_ONCE = 1_000
LOCKS = (
    64  # keys share so many locks, so that an invocation of a thousand recipients does not take a thousand
)
LISTED = 10
REASON = "superseded"


def words(draft: Draft) -> list[str]:
    """What invokes that compare the same keys must serialise by, or each would miss the other's run.

    Control characters keep them apart from tokens and keys, which have none.
    """
    if not _is_exclusive(draft):
        return []
    numbers = {zlib.crc32(key.encode()) % LOCKS for key in _keys(draft)}
    automation = draft.automation.pk if draft.automation is not None else ""
    return [f"\0{automation}\0{number}" for number in sorted(numbers)]


def make_way(draft: Draft, invocation: Invocation, *, now: datetime, barred: bool) -> None:
    """Before the draft's runs are stored, inside their transaction and under those locks: by the definition's
    policy, cancels the unfinished runs of the same automation that have one of their keys, and notes that on the
    invocation's answer; or refuses the invoke. Where bars stand (`barred`), their runs are called off already."""
    concurrency = draft.definition.concurrency
    if concurrency is None or not _is_exclusive(draft):
        return
    earlier = LiveRun.objects.within(draft.request.environment.pk).filter(
        automation=draft.automation, concurrency_key__in=_keys(draft), state__in=UNFINISHED
    )
    found = list(earlier.order_by("pk").values_list("pk", "uid", "concurrency_key"))
    if barred and (gone := LiveRun.objects.give_to_bars([row[0] for row in found])):
        found = [row for row in found if row[0] not in gone]
    if not found:
        return
    if concurrency.policy == "reject_new":
        raise _refusal(draft, {key: str(uid) for _, uid, key in found})
    superseded: dict[str | None, str] = {}
    for start in range(0, len(found), AT_ONCE):
        chunk = found[start : start + AT_ONCE]
        scope = CancellationFilter(
            run_ids=tuple(row[1] for row in chunk), run_pks=tuple(row[0] for row in chunk)
        )
        request = CancelRequest(
            environment=draft.request.environment, filter=scope, actor=f"invocation/{invocation.uid}",
            origin=Origin.RULE, reason=REASON,
        )  # fmt: skip
        done = cancellation.carry_out(request, now=now, barred=False)
        superseded |= {key: str(done.pk) for _, _, key in chunk}
    for run, told in zip(draft.runs, invocation.answer or (), strict=False):
        if run.exclusive_key in superseded:
            told["supersedes"] = superseded[run.exclusive_key]


def _is_exclusive(draft: Draft) -> bool:
    concurrency = draft.definition.concurrency
    return concurrency is not None and concurrency.policy != "allow"


def _keys(draft: Draft) -> Sequence[str]:
    return sorted({run.exclusive_key for run in draft.runs if run.exclusive_key is not None})


def _refusal(draft: Draft, standing: dict[str | None, str]) -> Refusal:
    """Names, for the first recipients concerned, the run that has not finished."""
    refusal: Refusal | None = None
    for index, run in enumerate(draft.runs):
        if run.exclusive_key not in standing:
            continue
        uid = standing[run.exclusive_key]
        pointer = f"/recipients/{index}" if len(draft.runs) > 1 else "/recipient" if run.recipient else ""
        if draft.replay is not None:  # which names no recipient
            pointer = ""
        message = f"the run {uid} of the same concurrency key has not finished"
        here = Refusal.at(pointer, "already_running", message)
        if refusal is None:
            refusal = Refusal(No.INVALID, "already_running", message, here.problems, run=uid)
        elif len(refusal.problems) < LISTED:
            refusal.problems += here.problems
    assert refusal is not None
    return refusal
