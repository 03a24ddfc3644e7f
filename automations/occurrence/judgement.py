"""Asks the rules of unfinished runs whether an event cancels them: reads and evaluates, writes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from automations import expressions
from automations.definition import CancelRule, Definition, parse_kept
from automations.expressions import MISSING, ExpressionError, Scope, dig
from automations.models import Invocation, Listener, No, Occurrence, Refusal, Run, definition_of
from automations.testpoints import testpoint

MOST_ASKED = 100_000
LONGEST_SECONDS = 20.0
READ_AT_ONCE = 200
TRIES = 3  # of an evaluation that failed for want of an evaluator


@dataclass(kw_only=True)
class Judgement:
    """The runs to call off, by automation and reason, and the rules that could not be asked: of `failed`, the
    first `listed`."""

    listed: int
    condemned: dict[tuple[int | None, str], list[tuple[int, UUID]]] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    failed: int = 0

    def note(self, row: Mapping[str, Any], index: int, error: ExpressionError) -> None:
        """A condition that cannot be evaluated is neither true nor false: it cancels nothing, and that is told."""
        self.failed += 1
        if len(self.failures) < self.listed:
            self.failures.append({
                "run": str(row["uid"]), "automation": row["automation__key"], "rule": index,
                "code": error.kind, "message": error.message,
            })  # fmt: skip


def judge(occurrence: Occurrence, *, listed: int) -> Judgement:
    """What the rules say about the runs accepted before the event that have not finished.

    Refusal when there are too many to ask in time (nobody would wait for the answer), and when the machine has
    no evaluator left (UNAVAILABLE).
    """
    judgement = Judgement(listed=listed)
    until = time.monotonic() + LONGEST_SECONDS
    asked = Listener.objects.runs_to_ask(
        environment_id=occurrence.environment_id,
        event=occurrence.name,
        recipient=occurrence.recipient,
        as_of_run=occurrence.as_of_run,
        most=MOST_ASKED + 1,
    )
    for start in range(0, len(asked), READ_AT_ONCE):
        if len(asked) > MOST_ASKED or time.monotonic() > until:
            message = f"{len(asked):,} runs listen to this event; give it a recipient, or the rules a “match”"
            raise Refusal.at("/recipient", "too_many_runs", message)
        for row, definition, data in _read(asked[start : start + READ_AT_ONCE]):
            _ask(occurrence, row, definition, data, judgement)
    testpoint("event.judged")
    return judgement


_Row = Mapping[str, Any]


def _read(pks: Sequence[int]) -> Iterator[tuple[_Row, Definition, Any]]:
    """Each run with its definition and its data; what runs of one invocation share is read once."""
    rows = Run.objects.filter(pk__in=pks).order_by("pk").values(
        "pk", "uid", "recipient", "profile", "created_at", "version_id", "invocation_id", "automation_id",
        "automation__key",
    )  # fmt: skip
    found = list(rows)
    invocations = Invocation.objects.only("data", "definition").in_bulk(
        {row["invocation_id"] for row in found}
    )
    brought = {
        pk: parse_kept(invocation.definition)
        for pk, invocation in invocations.items()
        if invocation.definition is not None
    }
    for row in found:
        pk = row["invocation_id"]
        yield (
            row,
            brought[pk] if pk in brought else definition_of(version_id=row["version_id"], invocation_id=pk),
            invocations[pk].data,
        )


def _ask(occurrence: Occurrence, row: _Row, definition: Definition, data: Any, judgement: Judgement) -> None:
    """Notes the run under the first of its rules that holds."""
    for index, rule in enumerate(definition.cancel_on):
        if rule.event != occurrence.name:
            continue
        try:
            if not _holds(rule, occurrence, row, data):
                continue
        except ExpressionError as error:
            judgement.note(row, index, error)
            continue
        runs = judgement.condemned.setdefault((row["automation_id"], rule.reason), [])
        runs.append((row["pk"], row["uid"]))
        return


def _holds(rule: CancelRule, occurrence: Occurrence, row: _Row, data: Any) -> bool:
    if rule.within is not None and occurrence.accepted_at - row["created_at"] > rule.within:
        return False
    if rule.match is not None and not _match(dig(occurrence.data, rule.match), dig(data, rule.match)):
        return False
    if rule.condition is None:
        return True
    event = {"name": occurrence.name, "data": occurrence.data, "recipient": occurrence.recipient}
    refs = {"recipient": row["recipient"], "template": row["automation__key"], "event": event}
    scope = Scope(
        data=data, profile=row["profile"], refs=refs, now=occurrence.accepted_at, seed=str(row["uid"])
    )
    owner = f"{occurrence.environment_id}/rules/{row['automation_id'] or row['invocation_id']}"
    for _ in range(TRIES):
        try:
            return expressions.check_condition(rule.condition, scope, owner=owner)
        except ExpressionError as error:
            if not error.retryable:
                raise
            kind = error.kind
    raise Refusal(No.UNAVAILABLE, kind, "a rule's condition could not be evaluated now; send the event again")


def _match(told: Any, own: Any) -> bool:
    """Equal values of one kind: 1 is not true, and what is missing or null equals nothing."""
    if told is MISSING or told is None:
        return False
    return isinstance(told, bool) is isinstance(own, bool) and bool(told == own)
