"""Says in one sentence why a run was, or was not, hit by a cancellation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

from automations.models import Automation, Cancellation, CancellationFilter, Run
from automations.nearness import difference

MOMENT = timedelta(seconds=5)  # what lies closer together than this may have been under way at the same time
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
    """Why the cancellation hit the run, or did not; the run is read `with_state()`.

    The filter comes first, then time: what it did not ask for, it would not have hit at any time.
    """
    missed = list(_missed(run, cancellation))
    called_off_by = run.called_off_by
    if called_off_by is not None and called_off_by.pk == cancellation.pk:
        return _hit(run, cancellation, by_filter=not missed)
    if missed:
        first, *others = missed
        return _missing(
            first.reason, first.sentence, **first.details, **_also([other.reason for other in others])
        )
    return _by_time(run, cancellation)


def _missed(run: Run, cancellation: Cancellation) -> Iterator[Explanation]:
    scope = CancellationFilter.from_json(cancellation.filter)
    for one in fields(scope):
        if (found := FIELDS[one.name](scope, run)) is not None:
            yield found


def _hit(run: Run, cancellation: Cancellation, *, by_filter: bool) -> Explanation:
    asked = " and ".join(f"{name} {_quoted(value)}" for name, value in _asked(cancellation).items())
    sentence = f"hit: the run matches {asked}" if asked else "hit: the run matches what was asked for"
    if not by_filter:
        sentence = "hit: it was called off together with the run that invoked it"
    at = {"as_of": cancellation.as_of, "actor": cancellation.actor}
    return Explanation(hit=True, reason="hit", sentence=f"{sentence}, and had not ended", details=at)


def _asked(cancellation: Cancellation) -> dict[str, Any]:
    """What the filter names that is good to read."""
    wanted = {name: cancellation.filter.get(name) for name in ("token", "key")}
    return {name: value for name, value in wanted.items() if value is not None}


def _by_time(run: Run, cancellation: Cancellation) -> Explanation:
    """Why it did not hit a run that its filter names."""
    as_of = cancellation.as_of
    until = max(as_of, cancellation.hold_until or as_of)
    if run.created_at > until:
        late = run.created_at - until
        return _missing(
            "accepted_later", f"accepted {_length(late)} after the cancellation, which hits what was there before",
            created_at=run.created_at, as_of=until, seconds=late.total_seconds(),
        )  # fmt: skip
    # What an undone cancellation had hit may have ended at once afterwards.
    latest = as_of + (MOMENT if cancellation.undone_at is None else timedelta())
    other, ended_at = run.called_off_by, run.ended_at
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
    if cancellation.undone_at is not None:
        return _missing("undone", f"the cancellation was undone at {_moment(cancellation.undone_at)}",
                        undone_at=cancellation.undone_at)  # fmt: skip
    if as_of - run.created_at <= MOMENT:
        return _missing(
            "accepted_meanwhile", "the run was being accepted while the cancellation was carried out, behind it",
            created_at=run.created_at, as_of=as_of,
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


def _among(name: str, *, column: str, words: str) -> Explainer:
    """A list of values, one of which a column of the run must equal; `words` introduce what the run has."""

    def explained(scope: CancellationFilter, run: Run) -> Explanation | None:
        asked, own = getattr(scope, name, None), getattr(run, column)
        listed = asked if isinstance(asked, tuple | list) else (asked,)
        if asked is None or asked == () or own in listed:
            return None
        some = ", ".join(_quoted(value) for value in listed[:SHOWN]) + (", …" if len(listed) > SHOWN else "")
        sentence = f"{words} differs: the run has {_quoted(own)}, the cancellation asked for {some}"
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
    return _missing(
        "not_among_run_ids", f"the run {run.uid} is not among the {count:,} runs that the cancellation named",
        run=str(run.uid), named=count,
    )  # fmt: skip


def _automation(scope: CancellationFilter, run: Run) -> Explanation | None:
    if scope.automation_id is None or run.automation_id == scope.automation_id:
        return None
    asked = Automation.objects.filter(pk=scope.automation_id).values_list("key", flat=True).first()
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


FIELDS: dict[str, Explainer] = {
    "token": _label("token", of=("token", "key")),
    "key": _label("key", of=("key",)),
    "run_ids": _run_ids,
    "run_pks": _run_pks,
    "automation_id": _automation,
    "not_invocation_id": _own_invocation,
    "recipients": _among("recipients", column="recipient", words="recipient"),
    "source": _among("source", column="source", words="source"),
}


# -- words -------------------------------------------------------------------------------------------------


def _missing(reason: str, sentence: str, **details: Any) -> Explanation:
    return Explanation(hit=False, reason=reason, sentence=sentence, details=details)


def _also(reasons: list[str]) -> dict[str, Any]:
    return {"also": reasons} if reasons else {}


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, str | int) else str(value)


def _quoted(value: object) -> str:
    """A value in quotes, so that blanks at its ends can be seen."""
    return "none" if value is None else json.dumps(str(value), ensure_ascii=False)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _length(time: timedelta) -> str:
    """`0.4 s`, `12 min`, `3 h`, `5 d`."""
    seconds = time.total_seconds()
    if seconds < 60:
        return f"{seconds:.3g} s"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or unit == "min":
            return f"{int(seconds // size)} {unit}"
    raise AssertionError(time)
