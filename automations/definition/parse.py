"""Reads JSON into a Definition, or says with pointers everything that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from automations.definition.cancel_step import read_cancel
from automations.definition.fields import DefinitionError, Fields, Notes, is_expression
from automations.definition.invoke_step import read_invoke
from automations.definition.rules import read_cancel_on, read_concurrency
from automations.definition.sends import read_send, read_send_list
from automations.definition.shape import DEFAULT_TIMEOUT, Definition, Delay, Retry, Step
from automations.definition.times import parse_duration, parse_moment
from automations.definition.update_profile_step import read_update_profile

MOST_STEPS = 100
LONGEST_TIMEOUT = 3600.0
LATER_ACTIONS = frozenset({
    "fetch-data", "add-to-batch", "add-to-digest", "throttle",
    "branch", "wait-for", "exit", "webhook", "for-each", "uncancel",
})  # fmt: skip
LATER_SETTINGS = frozenset({"max_duration", "data_schema", "on_disable", "tags"})
SPELLINGS = ("cancellation_token", "cancelation_token")  # ours, and Courier's
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_AUTOMATION_KEY = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")


def parse(raw: object, *, strict: bool = True) -> Definition:
    """The definition that `raw` (decoded JSON) describes. DefinitionError carries all problems.

    `strict` refuses unknown members; a vendor's wire is read leniently (SEMANTICS: a newer SDK may add some).
    """
    notes = Notes(strict=strict)
    if not isinstance(raw, dict):
        fields = Fields({}, "", notes)
        fields.refuse("", "invalid", "a definition must be an object with “steps”")
        raise DefinitionError(notes.problems)
    fields = Fields(raw, "", notes)
    token = _token(fields)
    on_unresolved = fields.choice("on_unresolved_token", ("reject", "run_without_token"), "reject")
    on_cancel = _on_cancel(fields)
    fields.text("name", longest=200)
    fields.text("description", longest=2000)
    # What the trigger node of a Courier journey says: kept for those who read it, and nothing here follows it.
    fields.object("trigger")
    steps = _steps(fields)
    cancel_on, concurrency = read_cancel_on(fields), read_concurrency(fields)
    fields.close(later=LATER_SETTINGS)
    if notes.problems:
        raise DefinitionError(notes.problems)
    return Definition(
        steps=tuple(steps),
        cancellation_token=token,
        on_unresolved_token=on_unresolved,
        cancel_on=cancel_on,
        concurrency=concurrency,
        on_cancel=on_cancel,
        source={**in_our_words(raw), "steps": _with_actions(raw["steps"], steps)},
        warnings=tuple(notes.warnings),
    )


def parse_kept(raw: object) -> Definition:
    """The definition of an automation or a run as it is kept; raises nothing. One that cannot be read any more, since
    a release that took more accepted it, says so in `fault`: the runs that follow it fail, and nobody else."""
    try:
        return parse(raw, strict=False)
    except DefinitionError as error:
        return Definition(steps=(), fault=str(error))


def _on_cancel(fields: Fields) -> str | None:
    """The key of the automation to invoke when a run is cancelled."""
    members = fields.object("on_cancel")
    if members is None:
        return None
    key = members.text("invoke", longest=100, required=True)
    if key is not None and not _AUTOMATION_KEY.fullmatch(key):
        members.refuse("invoke", "invalid", "“invoke” must be the key of an automation")
    members.close()
    return key


def _token(fields: Fields) -> str | None:
    """`cancellation_token`, or Courier's spelling of it."""
    if "cancelation_token" not in fields.value:
        return fields.expression("cancellation_token")
    if "cancellation_token" in fields.value:
        fields.refuse("cancelation_token", "duplicate", "give “cancellation_token” once")
    fields.read.add("cancellation_token")
    return fields.expression("cancelation_token")


def _steps(fields: Fields) -> list[Step]:
    raw = fields.take("steps")
    if not isinstance(raw, list) or not raw:
        fields.refuse("steps", "required", "“steps” must be a list with at least one step")
        return []
    if len(raw) > MOST_STEPS:
        fields.refuse("steps", "too_many", f"a definition may have at most {MOST_STEPS} steps")
        return []
    steps: list[Step] = []
    seen: set[str] = set()
    for index, member in enumerate(raw):
        pointer = f"{fields.pointer}/steps/{index}"
        if not isinstance(member, dict):
            Fields({}, pointer, fields.notes).refuse("", "invalid", "a step must be an object")
            continue
        step = _step(Fields(member, pointer, fields.notes), str(index), seen)
        if step is not None:
            steps.append(step)
    return steps


def _step(fields: Fields, position: str, seen: set[str]) -> Step | None:
    action = fields.take("action")
    if action is None and not fields.notes.strict:
        action = _guessed_action(fields)
    if action is None:
        fields.refuse("action", "required", "“action” is required")
        return None
    if not isinstance(action, str) or action not in _ACTIONS:
        known = isinstance(action, str) and action in LATER_ACTIONS
        code, words = (
            ("not_supported", "is not supported yet") if known else ("unknown_action", "is not known")
        )
        shown = str(action)[:40]
        fields.refuse("action", code, f"action “{shown}” {words}; known are: {', '.join(sorted(_ACTIONS))}")
        return None
    common = {
        "position": position,
        "id": _id(fields, seen),
        "ref": fields.text("ref", longest=64),
        "condition": fields.condition("if"),
        "timeout": fields.seconds("timeout", DEFAULT_TIMEOUT, most=LONGEST_TIMEOUT),
        "retry": _retry(fields),
        "on_crash": fields.choice("on_crash", ("retry", "fail"), "retry"),
    }
    fields.text("name", longest=200)
    return _ACTIONS[action](fields, common)


def _guessed_action(fields: Fields) -> str | None:
    """Courier's Python SDK 6 sends typed steps without their action."""
    if "duration" in fields.value or "until" in fields.value:
        return "delay"
    if set(fields.value) == {"cancelation_token"}:
        return "cancel"
    return None


def _id(fields: Fields, seen: set[str]) -> str | None:
    text = fields.text("id", longest=64)
    if text is None:
        return None
    if not _ID.fullmatch(text) or text.isdigit():
        fields.refuse("id", "invalid", "an id has up to 64 of A-Z a-z 0-9 _ . - and is not all digits")
    elif text in seen:
        fields.refuse("id", "duplicate", f"another step has the id “{text}”")
    seen.add(text)
    return text


def _retry(fields: Fields) -> Retry:
    members = fields.object("retry")
    if members is None:
        return Retry()
    standard = Retry()
    retry = Retry(
        max_attempts=members.number("max_attempts", standard.max_attempts, least=1, most=50),
        backoff=members.choice("backoff", ("fixed", "exponential"), standard.backoff),
        interval=members.seconds("interval", standard.interval, most=3600),
    )
    members.close()
    return retry


def _delay(fields: Fields, common: Mapping[str, Any]) -> Step:
    duration, until = fields.expression("duration"), fields.expression("until")
    if ("duration" in fields.value) == ("until" in fields.value):
        fields.refuse("duration", "required", "a delay needs either “duration” or “until”")
    _check_literal(fields, "duration", duration, parse_duration)
    _check_literal(fields, "until", until, parse_moment)
    fields.close(later=frozenset({"timezone", "window", "on_past"}))
    return Delay(duration=duration, until=until, **common)


def _check_literal(fields: Fields, name: str, text: str | None, read: Callable[[str], object]) -> None:
    if text is None or is_expression(text):
        return
    try:
        read(text)
    except ValueError as error:
        fields.refuse(name, f"invalid_{name}", str(error))


def _cancel(fields: Fields, common: Mapping[str, Any]) -> Step:
    return read_cancel(fields, common, _token(fields))


_ACTIONS: dict[str, Callable[[Fields, Mapping[str, Any]], Step]] = {
    "send": read_send,
    "send-list": read_send_list,
    "delay": _delay,
    "cancel": _cancel,
    "invoke": read_invoke,
    "update-profile": read_update_profile,
}
ACTIONS = frozenset(_ACTIONS)


def in_our_words(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The same definition, finished or not, in our spelling; where both spellings say something, with both."""
    steps = raw.get("steps")
    if isinstance(steps, list):
        raw = {**raw, "steps": [_respelt(step) if isinstance(step, dict) else step for step in steps]}
    return _respelt(raw)


def _with_actions(raw: Sequence[Mapping[str, Any]], steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The steps in our spelling, each with its action, which may have been guessed."""
    return [{**_respelt(given), "action": read.action} for given, read in zip(raw, steps, strict=True)]


def _respelt(members: Mapping[str, Any]) -> dict[str, Any]:
    """Courier's spelling of one member, replaced where it stands; nulls of either count as absent, as they are read."""
    spelt = {name: value for name, value in members.items() if name not in SPELLINGS or value is not None}
    if all(name in spelt for name in SPELLINGS):
        return spelt
    return {SPELLINGS[0] if name in SPELLINGS else name: value for name, value in spelt.items()}
