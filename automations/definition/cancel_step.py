"""What a cancel step may say, checked where it is written and, where that is an expression, once it is resolved."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from automations.definition.fields import Fields, is_expression
from automations.definition.shape import Cancel
from automations.definition.times import parse_bound

LONGEST_HOLD, LONGEST_UNDO = timedelta(hours=24), timedelta(minutes=10)
LONGEST_REASON = 500
LONGEST_TAG = 128
MOST_EXPRESSIONS = 20  # in one list: each of them may cost an evaluator's time
# What names runs that are there, or what a run is not born with: it can match no run accepted later.
CANNOT_HOLD = ("run_ids", "invocation", "idempotency_key", "created_before", "due_after", "due_before")

Check = Callable[[str], str]
"""Gives a field's text as it is stored; ValueError says what is wrong with it."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def _label(longest: int) -> Check:
    def check(text: str) -> str:
        if not text.strip() or len(text) > longest or _CONTROL.search(text):
            raise ValueError(f"it must be a non-empty text of up to {longest} characters on one line")
        return text

    return check


def _id(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise ValueError("an id is a UUID")
    return str(UUID(text))


def _moment(text: str) -> str:
    return parse_bound(text).isoformat()


# As the API has them (docs: POST /api/v1/cancellations).
ONE: Mapping[str, Check] = {
    "token": _label(512), "key": _label(255), "automation": _label(100), "invocation": _id,
    "idempotency_key": _label(255), "source": _label(255), "created_after": _moment, "created_before": _moment,
    "due_after": _moment, "due_before": _moment,
}  # fmt: skip
MANY: Mapping[str, tuple[Check, int]] = {
    "run_ids": (_id, 1_000), "recipients": (_label(255), 1_000), "tags": (_label(LONGEST_TAG), 20),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sought:
    """Which runs a cancel step is for, its fields resolved, and why; `fields` are names and values of a filter as
    a cancellation stores them."""

    fields: tuple[tuple[str, str | tuple[str, ...]], ...]
    reason: str = ""

    @property
    def label(self) -> str | None:
        """The token or key that all its runs bear, where it asks for one."""
        asked = dict(self.fields)
        label = asked.get("token") or asked.get("key")
        return label if isinstance(label, str) else None


def read_cancel(fields: Fields, common: Mapping[str, Any], token: str | None) -> Cancel:
    """The step; `token` was read already, in either spelling."""
    run_id = _expression(fields, "run_id", _id)
    members = fields.object("filter")
    scope = None if members is None else _filter(members)
    _check_choice(fields)
    hold_for = fields.seconds("hold_for", None, most=LONGEST_HOLD.total_seconds())
    step = Cancel(
        token=token,
        run_id=run_id,
        filter=scope,
        include_self=fields.flag("include_self"),
        reason=_reason(fields),
        hold_for=hold_for,
        undo_for=fields.seconds("undo_for", None, most=LONGEST_UNDO.total_seconds()),
        **common,
    )
    if hold_for is not None:
        for name in CANNOT_HOLD:
            if members is not None and name in members.value:
                members.refuse(name, "cannot_hold", f"“{name}” matches no run accepted later")
        if "run_id" in fields.value:
            fields.refuse("hold_for", "cannot_hold", "“run_id” matches no run accepted later")
    fields.close()
    return step


def _check_choice(fields: Fields) -> None:
    """One of token, run and filter."""
    tokens = [name for name in ("cancellation_token", "cancelation_token") if name in fields.value]
    named = [*tokens[:1], *(name for name in ("run_id", "filter") if name in fields.value)]
    if not named:
        message = "a cancel step needs “cancellation_token”, “run_id” or “filter”"
        fields.refuse("cancellation_token", "required", message)
    for name in named[1:]:
        fields.refuse(name, "ambiguous", f"give either “{named[0]}” or “{name}”")


def _reason(fields: Fields) -> str:
    """As long as an expression may be; a plain text as long as a reason."""
    text = fields.expression("reason") or ""
    if len(text) > LONGEST_REASON and not is_expression(text):
        fields.refuse("reason", "too_long", f"“reason” may have at most {LONGEST_REASON} characters")
    return text


def _expression(fields: Fields, name: str, check: Check) -> str | None:
    """A text that is checked now, unless it is an expression."""
    text = fields.expression(name)
    if text is not None and not is_expression(text):
        try:
            check(text)
        except ValueError as error:
            fields.refuse(name, "invalid", f"“{name}”: {error}")
    return text


def _filter(members: Fields) -> Mapping[str, str | tuple[str, ...]]:
    if not members.value:
        members.refuse("", "empty_filter", "at least one filter is required")
    read: dict[str, str | tuple[str, ...]] = {}
    for name, check in ONE.items():
        if (text := _expression(members, name, check)) is not None:
            read[name] = text
    for name, (check, most) in MANY.items():
        if (texts := _expressions(members, name, check, most)) is not None:
            read[name] = texts
    for name in sorted(
        members.value.keys() - {*ONE, *MANY}
    ):  # also by a lenient reader: ignoring it would hit more runs
        members.refuse(name, "unknown_field", f"“{name}” is not known here")
    return read


def _expressions(members: Fields, name: str, check: Check, most: int) -> tuple[str, ...] | None:
    raw = members.take(name)
    if raw is None:
        return None
    if not isinstance(raw, list):
        members.refuse(name, "invalid", f"“{name}” must be a list")
        return None
    if not raw:
        members.refuse(name, "empty_list", f"“{name}” may not be an empty list")
    if len(raw) > most:
        members.refuse(name, "too_many", f"“{name}” may have at most {most:,} entries")
        return None
    below = members.listed(name, raw)
    for place, entry in enumerate(raw):
        if entry is None:
            below.refuse(str(place), "invalid", "an entry must be a non-empty text")
    texts = tuple(text for index in below.value if (text := _expression(below, index, check)) is not None)
    if sum(map(is_expression, texts)) > MOST_EXPRESSIONS:
        members.refuse(name, "too_many", f"“{name}” may have at most {MOST_EXPRESSIONS} expressions")
    return texts


def sought(resolved: Mapping[str, Any], text_of: Callable[[str, Any], str]) -> Sought:
    """What the resolved fields ask for: the filter's, or `run_id`, and `reason`. `text_of(name, value)` makes a text
    of a resolved value, or raises. ValueError names the field that does not fit."""
    reason = resolved.get("reason") or ""
    fields: dict[str, str | tuple[str, ...]] = {}
    for name, value in resolved.items():
        try:
            if name in MANY:
                check, _ = MANY[name]
                fields[name] = tuple(check(text_of(name, one)) for one in value)
            elif name == "run_id":
                fields["run_ids"] = (_id(text_of(name, value)),)
            elif name != "reason":
                fields[name] = ONE[name](text_of(name, value))
        except ValueError as error:
            raise ValueError(f"“{name}”: {error}") from error
    said = text_of("reason", reason) if reason else ""
    return Sought(fields=tuple(sorted(fields.items())), reason=said)
