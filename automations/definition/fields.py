"""Reads one JSON object field by field and notes, with a JSON pointer, whatever does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from automations.definition.times import parse_duration
from automations.expressions.compile import Literal, compile_expression

EXPRESSION_LENGTH = 2_000
TEXT_LENGTH = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong, where: a JSON pointer (RFC 6901) into the definition, a code, a sentence."""

    pointer: str
    code: str
    message: str


class DefinitionError(Exception):
    """A definition that cannot be run, with every problem found."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{problem.pointer}: {problem.message}" for problem in problems))
        self.problems = problems


def below(pointer: str, name: str) -> str:
    """The JSON pointer (RFC 6901) of the member `name` of what `pointer` is to."""
    return f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"


class Fields:
    """The members of one object. Nulls count as absent, as the vendors' SDKs send them."""

    def __init__(self, value: Mapping[str, Any], pointer: str, notes: Notes) -> None:
        self.value = {name: member for name, member in value.items() if member is not None}
        self.pointer = pointer
        self.notes = notes
        self.read: set[str] = set()
        self.list_name = ""

    def listed(self, name: str, entries: Sequence[Any]) -> Self:
        """The entries of the list `name` as members that are called by their places; said of the third is “name[2]”."""
        members = {str(place): entry for place, entry in enumerate(entries)}
        listed = type(self)(members, below(self.pointer, name), self.notes)
        listed.list_name = name
        return listed

    def refuse(self, name: str, code: str, message: str) -> None:
        """Notes a problem with the member `name` ("" for the object itself)."""
        if self.list_name:
            message = message.replace(f"“{name}”", f"“{self.list_name}[{name}]”", 1)
        where = below(self.pointer, name) if name else self.pointer
        self.notes.problems.append(Problem(pointer=where, code=code, message=message))

    def take(self, name: str) -> Any:
        """The member as it stands, None when absent."""
        self.read.add(name)
        return self.value.get(name)

    def text(self, name: str, *, longest: int = TEXT_LENGTH, required: bool = False) -> str | None:
        """A non-empty string."""
        value = self.take(name)
        if value is None:
            if required:
                self.refuse(name, "required", f"“{name}” is required")
            return None
        if not isinstance(value, str) or not value.strip():
            self.refuse(name, "invalid", f"“{name}” must be a non-empty text")
        elif len(value) > longest:
            self.refuse(name, "too_long", f"“{name}” may have at most {longest:,} characters")
        else:
            return value
        return None

    def expression(self, name: str, *, required: bool = False) -> str | None:
        """Text that may be an expression; Courier's accessor `{"$ref": "data.x"}` is the path `refs.data.x`."""
        value = self.value.get(name)
        if isinstance(value, dict) and len(value) == 1 and isinstance(path := value.get("$ref"), str):
            self.value[name] = f"refs.{path.removeprefix('refs.')}"
        return self.text(name, longest=EXPRESSION_LENGTH, required=required)

    def condition(self, name: str) -> str | None:
        """A condition; a JSON boolean says the same as its text."""
        if isinstance(value := self.value.get(name), bool):
            self.read.add(name)
            return "true" if value else "false"
        return self.expression(name)

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        """One of the given words."""
        value = self.take(name)
        if value is None:
            return default
        if value not in choices:
            self.refuse(name, "invalid", f"“{name}” must be one of: {', '.join(choices)}")
            return default
        return str(value)

    def flag(self, name: str) -> bool:
        """True or false; absent is false."""
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            self.refuse(name, "invalid", f"“{name}” must be true or false")
        return value is True

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number within bounds."""
        value = self.take(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.refuse(name, "invalid", f"“{name}” must be a whole number from {least} to {most}")
            return default
        return value

    def object(self, name: str) -> Fields | None:
        """A nested object."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.refuse(name, "invalid", f"“{name}” must be an object")
            return None
        return Fields(value, f"{self.pointer}/{name}", self.notes)

    def seconds(self, name: str, default: Any, *, most: float) -> Any:
        """A plain duration (no expression) of up to `most` seconds, as a timedelta."""
        text = self.text(name, longest=200)
        if text is None:
            return default
        try:
            duration = parse_duration(text)
        except ValueError as error:
            self.refuse(name, "invalid_duration", str(error))
            return default
        if not 0 < duration.total_seconds() <= most:
            self.refuse(
                name, "invalid_duration", f"“{name}” must be more than 0 and at most {most:g} seconds"
            )
            return default
        return duration

    def close(self, *, later: frozenset[str] = frozenset()) -> None:
        """Refuses what was not read: members of `later` by name, the rest as unknown (or with a warning where
        the reader is lenient, since a vendor's newer SDK may add members)."""
        for name in self.value:
            if name in self.read:
                continue
            if name in later:
                self.refuse(name, "not_supported", f"“{name}” is not supported yet")
            elif self.notes.strict:
                self.refuse(name, "unknown_field", f"“{name}” is not known here")
            else:
                self.notes.warnings.append(f"{self.pointer}/{name} is not known and was ignored")


class Notes:
    """What reading a definition found."""

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.problems: list[Problem] = []
        self.warnings: list[str] = []


def is_expression(text: str) -> bool:
    """Whether the text is anything but a literal."""
    return not isinstance(compile_expression(text), Literal)
