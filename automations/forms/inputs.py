"""Shows the members of a step, or of a definition, as fields of a form, and writes back only what was changed there."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError

from automations.definition import Problem
from automations.definition.inputs import ACTION_INPUTS, ANY_ACTION, Input, Look
from automations.expressions import Advice, misread
from automations.forms.json_field import check_storable, parse_json
from automations.forms.layout import laid_out

_ABSENT: Any = object()
_WHOLE = re.compile(r"-?\d{1,9}", re.ASCII)
_ONE_LINE = frozenset[Look](("text", "condition", "choice", "number"))


@dataclass(kw_only=True)
class Field:
    """An input and what stands in it. `foreign`: the member has a shape that the field cannot write, so it shows it
    and leaves it alone. `errors` were not saved, `problems` are, and stand against publishing; `advice` does not."""

    input: Input
    value: str
    foreign: bool = False
    errors: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    advice: Advice | None = None

    @property
    def id(self) -> str:
        return "f-" + self.input.name.replace(".", "-").replace("_", "-")

    @property
    def is_long(self) -> bool:
        """Whether it takes more than one line."""
        return self.input.look not in _ONE_LINE | {"flag"} or "\n" in self.value

    @property
    def is_code(self) -> bool:
        """Whether what stands there is rather for programs."""
        return self.input.look not in ("long", "choice", "flag", "number")

    @property
    def choices(self) -> Sequence[str]:
        """With what is stored, even if it is none of them."""
        known = self.input.choices
        return known if not self.value or self.value in known else (*known, self.value)


def inputs_of(step: Any) -> Sequence[Input]:
    """The fields of a step by its action; of an action without a form those that every step has."""
    action = step.get("action") if isinstance(step, dict) else None
    known = ACTION_INPUTS.get(action) if isinstance(action, str) else None
    return known.inputs if known else ANY_ACTION


def fields_of(members: Mapping[str, Any], inputs: Iterable[Input]) -> list[Field]:
    """Each input with what the members say there."""
    return [_field(members, one)[0] for one in inputs]


def written(
    members: Mapping[str, Any], inputs: Iterable[Input], given: Mapping[str, str]
) -> tuple[dict[str, Any], list[Field]]:
    """The members with what was typed, and the fields as they were typed, with errors at those that were not
    understood, which are left as they were. What is not among the inputs, or was not changed, stays untouched."""
    result = copy.deepcopy(dict(members))
    fields = []
    for one in inputs:
        shown, path = _field(members, one)
        fields.append(shown)
        text = given.get(one.name)
        if text is None or shown.foreign or _is_same(shown, text):
            continue
        shown.value = text
        try:
            _put(result, path, _value(one.look, text))
        except ValidationError as error:
            shown.errors += error.messages
    return result, fields


def point_out(fields: Sequence[Field], problems: Iterable[Problem], *, below: str) -> list[Problem]:
    """Puts each problem below that pointer at the field it is about; gives those that have none."""
    left = []
    for problem in problems:
        if not f"{problem.pointer}/".startswith(f"{below}/"):
            continue
        parts = _parts(problem.pointer.removeprefix(below))
        found = _nearest(fields, parts)
        if found is None:
            left.append(problem)
        else:
            found.problems.append(problem.message)
    return left


def advise(fields: Iterable[Field]) -> None:
    """Says at each text what was probably meant, where it is no expression and would be sent as it stands."""
    for one in fields:
        if one.input.look in ("text", "long") and not (one.foreign or one.problems):
            one.advice = misread(one.value)


def _field(members: Mapping[str, Any], one: Input) -> tuple[Field, tuple[str, ...]]:
    """The field, and the path it writes to: where the member stands, else where it belongs."""
    places = [(path, *_found(members, path)) for path in (one.path, *one.others)]
    path, value, blocked = next((place for place in places if place[1] is not None), places[0])
    if blocked:
        return Field(input=one, value="", foreign=True), path
    if value is None:
        return Field(input=one, value=""), path
    text = _text(one.look, value)
    if text is None:
        return Field(input=one, value=laid_out(value), foreign=True), path
    return Field(input=one, value=text), path


def _found(members: Any, path: tuple[str, ...]) -> tuple[Any, bool]:
    """What stands there, None when nothing does; and whether something on the way is no object."""
    for name in path:
        if not isinstance(members, dict):
            return None, members is not None
        members = members.get(name)
    return members, False


def _text(look: Look, value: Any) -> str | None:
    """The value as it is typed; None when this look cannot show it."""
    if look == "flag":
        return {True: "on", False: ""}.get(value) if isinstance(value, bool) else None
    if look in ("object", "list"):
        return laid_out(value) if isinstance(value, dict if look == "object" else list) else None
    if look == "lines":
        is_plain = isinstance(value, list) and all(isinstance(line, str) and _is_line(line) for line in value)
        return "\n".join(value) if is_plain else None
    if look == "values" and isinstance(value, dict):
        return laid_out(value)
    if look == "condition" and isinstance(value, bool):
        return "true" if value else "false"
    if look == "number" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _is_line(text: str) -> bool:
    return bool(text) and text == text.strip() and text.splitlines() == [text]


def _value(look: Look, text: str) -> Any:
    """What was typed as a value, `_ABSENT` for nothing. ValidationError says what is wrong with it."""
    check_storable(text)
    if not text.strip():
        return _ABSENT
    if look == "flag":
        return True
    if look == "number":
        return int(text) if _WHOLE.fullmatch(text.strip()) else text
    if look == "lines":
        return [line.strip() for line in text.splitlines() if line.strip()]
    begins = text.lstrip()
    if look in ("object", "list") or (look == "values" and begins[:1] == "{" and begins[:2] != "{{"):
        value = parse_json(text)
        if not isinstance(value, list if look == "list" else dict):
            raise ValidationError(f"This must be {'a list: [ … ]' if look == 'list' else 'an object: { … }'}")
        return value
    return _lines(text)


def _is_same(shown: Field, text: str) -> bool:
    """Whether it is what the browser was given: a browser ends lines in its own way, and where there is but one
    line it takes the ends away."""
    if shown.input.look == "flag":
        return bool(text) == bool(shown.value)
    was, given = _lines(shown.value), _lines(text)
    return was == given or (not shown.is_long and was.replace("\n", "") == given.replace("\n", ""))


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _put(members: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Sets the member, or takes it away with the objects that this leaves empty."""
    name, *rest = path
    if not rest:
        if value is _ABSENT:
            members.pop(name, None)
        else:
            members[name] = value
        return
    inner = members.get(name)
    inner = inner if isinstance(inner, dict) else {}
    _put(inner, tuple(rest), value)
    if inner:
        members[name] = inner
    else:
        members.pop(name, None)


def _parts(pointer: str) -> tuple[str, ...]:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def _nearest(fields: Sequence[Field], parts: tuple[str, ...]) -> Field | None:
    """The field of that member; else the one whose member holds it; else the first within it."""
    paths = [(path, one) for one in fields for path in (one.input.path, *one.input.others)]
    exact = [one for path, one in paths if path == parts]
    around = [one for path, one in paths if parts[: len(path)] == path]
    within = [one for path, one in paths if parts and path[: len(parts)] == parts]
    return next(iter([*exact, *around, *within]), None)
