"""Says in one sentence why a run was, or was not, hit by a cancellation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from automations.models import HELD, Automation, Cancellation, CancellationFilter, Event, EventKind, Run
from automations.nearness import difference

MOMENT = timedelta(seconds=5)  # what lies closer together than this may have been under way at the same time
READABLE = (
    "token", "key", "recipients", "automation", "invocation", "idempotency_key", "source", "tenant", "tags",
)  # fmt: skip
SHOWN = 3  # entries of a list in a sentence


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """`reason` is a word to compare, `sentence` for people, `details` the values that both rest on."""

    hit: bool
    reason: str
    sentence: str
    details: Mapping[str, Any] = field(default_factory=dict)


Explainer = Callable[[CancellationFilter, Run], Explanation | None]
"""Why one field of a filter leaves the run out; None when it does not."""


def explain(run: Run, cancellation: Cancellation) -> Explanation:
    """Why the cancellation hit the run, or did not; the run is read as `explained()` or `with_state()`.

    The filter comes first, then time: what it did not ask for, it would not have hit at any time.
    """
    if not cancellation.is_carried_out:
        return _scheduled(cancellation)
    missed = list(_missed(run, cancellation))
    called_off_by = run.called_off_by
    if called_off_by is not None and called_off_by.pk == cancellation.pk:
        return (
            _held(run, cancellation) if run.reason == HELD else _hit(run, cancellation, by_filter=not missed)
        )
    if [miss.reason for miss in missed] == ["accepted_later"] and run.created_at > cancellation.as_of:
        return _by_time(run, cancellation)  # which says by how much
    if missed:
        first, *others = missed
        return _missing(
            first.reason, first.sentence, **first.details, **_also([other.reason for other in others])
        )
    return _by_time(run, cancellation)


def explain_undone(run: Run) -> Explanation | None:
    """Of a run that nobody calls off now: who had done so last and was undone; None where nobody had."""
    undone = _undone_for(run)
    if not undone:
        return None
    last = undone[-1]
    sentence = f"cancellation {last.by} had called the run off, at {_moment(last.since)}"
    sentence = f"{sentence}, and was undone at {_moment(last.until)}; the run is {run.public_status}"
    return _missing("undone", sentence, by=last.by, at=last.since, undone_at=last.until)


class Undone(NamedTuple):
    """That a cancellation had called a run off, from its `as_of` until it was undone."""

    by: str
    since: datetime
    until: datetime


def _undone_for(run: Run) -> Sequence[Undone]:
    """What the run's log tells of that, oldest first."""
    restored = Event.objects.filter(run=run.pk, kind=EventKind.RESTORED).values_list("at", "data")
    return [Undone(data["cancellation"], datetime.fromisoformat(data["as_of"]), at) for at, data in restored]


def _scheduled(cancellation: Cancellation) -> Explanation:
    """It was asked for a later time, and has hit nothing."""
    as_of, undone_at = cancellation.as_of, cancellation.undone_at
    if undone_at is None:
        return _missing("scheduled", f"the cancellation will be carried out at {_moment(as_of)}", at=as_of)
    sentence = f"the cancellation was undone at {_moment(undone_at)}, before it was carried out"
    return _missing("undone", sentence, undone_at=undone_at)


def _missed(run: Run, cancellation: Cancellation) -> Iterator[Explanation]:
    scope = cancellation.scope
    for one in fields(scope):
        if (found := FIELDS[one.name](scope, run)) is not None:
            yield found


def _hit(run: Run, cancellation: Cancellation, *, by_filter: bool) -> Explanation:
    asked = " and ".join(f"{name} {_shown(value)}" for name, value in _asked(cancellation).items())
    sentence = f"hit: the run matches {asked}" if asked else "hit: the run matches what was asked for"
    if not by_filter:
        sentence = "hit: it was called off together with the run that invoked it"
    at = {"as_of": cancellation.as_of, "actor": cancellation.actor}
    return Explanation(hit=True, reason="hit", sentence=f"{sentence}, and had not ended", details=at)


def _held(run: Run, cancellation: Cancellation) -> Explanation:
    """Of a run that was called off where it was born."""
    late, until = run.created_at - cancellation.as_of, cancellation.hold_until or cancellation.as_of
    sentence = f"hit: accepted {_length(late)} after the cancellation, while it held (until {_moment(until)})"
    return Explanation(
        hit=True, reason="held", sentence=sentence,
        details={"as_of": cancellation.as_of, "actor": cancellation.actor, "created_at": run.created_at,
                 "hold_until": until, "seconds": late.total_seconds()},
    )  # fmt: skip


def _asked(cancellation: Cancellation) -> dict[str, Any]:
    """What the filter names that is good to read."""
    return {name: cancellation.filter[name] for name in READABLE if name in cancellation.filter}


def _by_time(run: Run, cancellation: Cancellation) -> Explanation:
    """Why it did not hit a run that its filter names."""
    as_of = cancellation.as_of
    until = max(as_of, cancellation.hold_until or as_of)
    if run.created_at > until:
        late = run.created_at - until
        what = "the cancellation, which hits what was there before"
        if cancellation.hold_until is not None:
            what = f"the cancellation had ceased to hold, at {_moment(until)}"
        return _missing(
            "accepted_later", f"accepted {_length(late)} after {what}",
            created_at=run.created_at, as_of=until, seconds=late.total_seconds(),
        )  # fmt: skip
    # What an undone cancellation had hit may have ended at once afterwards.
    latest = as_of + (MOMENT if cancellation.undone_at is None else timedelta())
    other, ended_at = run.called_off_by, run.ended_at
    if (ended_at is None or ended_at > as_of) and (found := _called_off_then(run, cancellation)) is not None:
        return found
    if other is not None and run.reason == HELD:
        return _missing(
            "held_before", f"an older cancellation that held, {other.pk}, called the run off where it was born",
            by=str(other.pk), at=run.created_at,
        )  # fmt: skip
    if other is not None and other.as_of <= latest:
        return _missing(
            "called_off_before", f"cancellation {other.pk} had called the run off before, at {_moment(other.as_of)}",
            by=str(other.pk), at=other.as_of,
        )  # fmt: skip
    if run.is_finished and other is None and ended_at is not None and ended_at <= latest:
        before = max(as_of - ended_at, timedelta())
        return _missing(
            "already_finished",
            f"the run had already finished: {run.public_status} at {_moment(ended_at)}, {_length(before)} before",
            status=run.public_status, finished_at=ended_at, as_of=as_of, seconds=before.total_seconds(),
        )  # fmt: skip
    return _otherwise(run, cancellation)


def _called_off_then(run: Run, cancellation: Cancellation) -> Explanation | None:
    """That another one, undone since, had called the run off when this was carried out."""
    for one in _undone_for(run):
        if one.since <= cancellation.as_of <= one.until and one.by != str(cancellation.pk):
            sentence = f"cancellation {one.by} had called the run off before, at {_moment(one.since)}"
            return _missing(
                "called_off_before", f"{sentence}, and was undone later, at {_moment(one.until)}",
                by=one.by, at=one.since, undone_at=one.until,
            )  # fmt: skip
    return None


def _otherwise(run: Run, cancellation: Cancellation) -> Explanation:
    """Why it did not hit a run that it names, that was there before it and had not ended."""
    if cancellation.undone_at is not None:
        return _missing("undone", f"the cancellation was undone at {_moment(cancellation.undone_at)}",
                        undone_at=cancellation.undone_at)  # fmt: skip
    if cancellation.scope.states == ("waiting",):
        return _missing(
            "not_due", "the run did not wait within the due times that the cancellation asked for"
        )
    if cancellation.as_of - run.created_at <= MOMENT:
        return _missing(
            "accepted_meanwhile", "the run was being accepted while the cancellation was carried out, behind it",
            created_at=run.created_at, as_of=cancellation.as_of,
        )  # fmt: skip
    return _missing("unknown", "the run matches, and nothing on record says why it was not hit")


# -- the fields of a filter --------------------------------------------------------------------------------


def _label(name: str, *, of: tuple[str, ...]) -> Explainer:
    """A text that one of these columns of the run must equal."""

    def explained(scope: CancellationFilter, run: Run) -> Explanation | None:
        asked: str | None = getattr(scope, name)
        held = [value for column in of if (value := getattr(run, column)) is not None]
        if asked is None or asked in held:
            return None
        details: dict[str, Any] = {"asked": asked, "run": {column: getattr(run, column) for column in of}}
        if not held:
            none = " or ".join(of)
            sentence = f"{name} differs: the run has no {none}, the cancellation asked for {_quoted(asked)}"
            return _missing(f"{name}_differs", sentence, **details)
        near = {value: difference(value, asked) for value in held}
        own = next((value for value in held if near[value]), held[0])
        ways = near[own]
        sentence = f"{name} differs: the run has {_quoted(own)}, the cancellation asked for {_quoted(asked)}"
        if ways and not {"prefix", "suffix"} & set(ways):  # hard to see
            sentence += f" (they differ in {' and '.join(ways)} alone)"
        return _missing(f"{name}_differs", sentence, **details, differs_by=list(ways))

    return explained


def _among(name: str, *, held: Callable[[Run], Any], words: str) -> Explainer:
    """One or many values, one of which must be among those `held` by the run; `words` introduce them."""

    def explained(scope: CancellationFilter, run: Run) -> Explanation | None:
        asked, own = getattr(scope, name), held(run)
        listed = asked if isinstance(asked, tuple) else (asked,)
        has = own if isinstance(own, list) else [own]
        if asked is None or asked == () or not set(listed).isdisjoint(has):
            return None
        sentence = f"{words} differs: the run has {_shown(own)}, the cancellation asked for {_shown(listed)}"
        details = {"run": _plain(own), "asked": [_plain(value) for value in listed[:SHOWN]]}
        return _missing(f"{words.replace(' ', '_')}_differs", sentence, **details)

    return explained


def _run_ids(scope: CancellationFilter, run: Run) -> Explanation | None:
    if not scope.run_ids or run.uid in scope.run_ids:
        return None
    return _not_listed(run, len(scope.run_ids))


def _run_pks(scope: CancellationFilter, run: Run) -> Explanation | None:
    """The same runs looked up, so this speaks only where no ids were given."""
    if scope.run_pks is None or run.pk in scope.run_pks or scope.run_ids:
        return None
    return _not_listed(run, len(scope.run_pks))


def _not_listed(run: Run, count: int) -> Explanation:
    named = "the run" if count == 1 else f"among the {count:,} runs"
    sentence = f"the run {run.uid} is not {named} that the cancellation named"
    return _missing("not_among_run_ids", sentence, run=str(run.uid), named=count)


def _automation(scope: CancellationFilter, run: Run) -> Explanation | None:
    """A cancellation keeps the automation's key beside what it stands for; one of a step or a page may not."""
    if scope.automation_id is None or run.automation_id == scope.automation_id:
        return None
    asked = scope.automation
    if asked is None:
        asked = Automation.objects.filter(pk=scope.automation_id).values_list("key", flat=True).first()
    return _differing_automation(run, asked)


def _differing_automation(run: Run, asked: str | None) -> Explanation:
    own = run.automation.key if run.automation is not None else None
    follows = f"the run follows {_quoted(own)}" if own else "the run brought its own steps"
    sentence = f"automation differs: {follows}, the cancellation asked for {_quoted(asked)}"
    return _missing("automation_differs", sentence, run=own, asked=asked)


def _own_invocation(scope: CancellationFilter, run: Run) -> Explanation | None:
    if scope.not_invocation_id is None or run.invocation_id != scope.not_invocation_id:
        return None
    sentence = (
        "a cancel step spares its own invocation, to which the run belongs, unless it says include_self"
    )
    return _missing("own_invocation", sentence, invocation=str(run.invocation.uid))


def _automation_key(scope: CancellationFilter, run: Run) -> Explanation | None:
    """Speaks only where the key was not looked up."""
    key = run.automation.key if run.automation is not None else None
    if scope.automation is None or scope.automation_id is not None or scope.automation == key:
        return None
    return _differing_automation(run, scope.automation)


def _invocation_pks(scope: CancellationFilter, run: Run) -> Explanation | None:
    """Speaks only where it is not told by what was looked up."""
    named = scope.invocation is not None or scope.idempotency_key is not None
    if scope.invocation_pks is None or run.invocation_id in scope.invocation_pks or named:
        return None
    sentence = "the run's invocation is not among those that the cancellation named"
    return _missing("invocation_differs", sentence, run=str(run.invocation.uid))


def _moment_within(name: str, *, of: str, words: str, too: str) -> Explainer:
    """A bound on a time of the run; a due time counts only while the run waits."""

    def explained(scope: CancellationFilter, run: Run) -> Explanation | None:
        bound: datetime | None = getattr(scope, name)
        own: datetime | None = getattr(run, of)
        if bound is None or own is None:
            return None
        within = {"created_after": own >= bound, "created_before": own <= bound,
                  "due_after": own >= bound, "due_before": own < bound}  # fmt: skip
        if within[name]:
            return None
        at, asked = _told_apart(own, bound)
        sentence = f"{words} {too}: at {at}, the cancellation asked for {name} {asked}"
        return _missing(f"{words.split()[0]}_{too.replace(' ', '_')}", sentence, run=own, asked=bound)

    return explained


def _up_to(scope: CancellationFilter, run: Run) -> Explanation | None:
    if scope.up_to is None or run.pk <= scope.up_to:
        return None
    return _missing("accepted_later", "accepted after the cancellation, which hits what was there before",
                    created_at=run.created_at)  # fmt: skip


def _nothing(scope: CancellationFilter, run: Run) -> Explanation | None:
    """Of a field that leaves no run out."""


FIELDS: dict[str, Explainer] = {
    "token": _label("token", of=("token", "key")),
    "key": _label("key", of=("key",)),
    "run_ids": _run_ids,
    "run_pks": _run_pks,
    "recipients": _among("recipients", held=lambda run: run.recipient, words="recipient"),
    "automation": _automation_key,
    "automation_id": _automation,
    "invocation": _among("invocation", held=lambda run: run.invocation.uid, words="invocation"),
    "idempotency_key": _among(
        "idempotency_key", held=lambda run: run.invocation.idempotency_key, words="idempotency key"
    ),
    "invocation_pks": _invocation_pks,
    "source": _among("source", held=lambda run: run.source, words="source"),
    "tenant": _among("tenant", held=lambda run: run.invocation.tenant, words="tenant"),
    "tags": _among("tags", held=lambda run: run.invocation.tags, words="tag"),
    "created_after": _moment_within("created_after", of="created_at", words="accepted", too="too early"),
    "created_before": _moment_within("created_before", of="created_at", words="accepted", too="too late"),
    "due_after": _moment_within("due_after", of="due_at", words="due", too="too early"),
    "due_before": _moment_within("due_before", of="due_at", words="due", too="too late"),
    "everything": _nothing,
    "not_invocation_id": _own_invocation,
    "up_to": _up_to,
}


# -- words -------------------------------------------------------------------------------------------------


def _missing(reason: str, sentence: str, **details: Any) -> Explanation:
    return Explanation(hit=False, reason=reason, sentence=sentence, details=details)


def _also(reasons: list[str]) -> dict[str, Any]:
    return {"also": reasons} if reasons else {}


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, str | int | list) else str(value)


def _shown(value: object) -> str:
    """A value in quotes, or the first few of many."""
    if not isinstance(value, list | tuple):
        return _quoted(value)
    return ", ".join(_quoted(one) for one in value[:SHOWN]) + (", …" if len(value) > SHOWN else "") or "none"


def _quoted(value: object) -> str:
    """A value in quotes, so that blanks at its ends can be seen."""
    return "none" if value is None else json.dumps(str(value), ensure_ascii=False)


def _moment(moment: datetime, digits: str = "seconds") -> str:
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(' ', digits)} UTC"


def _told_apart(one: datetime, other: datetime) -> tuple[str, str]:
    """Both, by as few digits of a second as they differ by; by all, where they are the same."""
    digits = "microseconds"
    for fewer in ("milliseconds", "seconds"):
        digits = fewer if _moment(one, fewer) != _moment(other, fewer) else digits
    return _moment(one, digits), _moment(other, digits)


def _length(time: timedelta) -> str:
    """`0.4 s`, `12 min`, `3 h`, `5 d`."""
    seconds = time.total_seconds()
    if seconds < 60:
        return f"{seconds:.3g} s"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or unit == "min":
            return f"{int(seconds // size)} {unit}"
    raise AssertionError(time)
