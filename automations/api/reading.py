"""Reads the members of a request's body or query, and notes with pointers whatever does not fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import QueryDict

from automations.definition import Problem
from automations.definition.fields import Fields, Notes
from automations.definition.times import parse_bound
from automations.expressions import MAX_DOCUMENT, size_of
from automations.models import No, Refusal, RunStatus

UUID_PATTERN = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
# What an ordinary parser of numbers would let pass, such as "1_000" or Arabic digits, is not one here.
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def is_one_line(text: str) -> bool:
    """Whether the text is free of control characters."""
    return not _CONTROL.search(text)


class Body(Fields):
    """The members of an object in a request. A reader that is not strict ignores members it does not know."""

    def __init__(
        self, value: Mapping[str, Any], pointer: str = "", notes: Notes | None = None, *, strict: bool = True
    ) -> None:
        super().__init__(value, pointer, notes or Notes(strict=strict))

    def label(self, name: str, *, longest: int, required: bool = False) -> str | None:
        """A non-empty text on one line, as ids, tokens, keys and sources are."""
        text = self.text(name, longest=longest, required=required)
        if text is not None and not is_one_line(text):
            self.refuse(name, "invalid", f"“{name}” may not contain control characters")
            return None
        return text

    def remark(self, name: str, *, longest: int) -> str:
        """A text for people, which may be empty: so it is answered where there is none."""
        if self.value.get(name) == "":
            self.read.add(name)
            return ""
        return self.text(name, longest=longest) or ""

    def matching(self, name: str, pattern: str) -> str | None:
        """A text that must be there and match the pattern."""
        text = self.label(name, longest=100, required=True)
        if text is not None and not re.fullmatch(pattern, text):
            self.refuse(name, "invalid", f"“{name}” must match {pattern}")
            return None
        return text

    def labels(self, name: str, *, most: int, longest: int) -> list[str]:
        """A list of such texts; absent is empty."""
        value = self.entries(name, most=most)
        listed = self.listed(name, value)
        read = [listed.label(str(place), longest=longest, required=True) for place in range(len(value))]
        return [label for label in read if label is not None]

    def moment(self, name: str) -> datetime | None:
        """A moment in ISO 8601, UTC where it names no zone; within the time that runs can have."""
        return _moment(self, name, self.label(name, longest=100))

    def entries(self, name: str, *, most: int) -> list[Any]:
        """A list of anything; absent is empty."""
        value = self.take(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.refuse(name, "invalid", f"“{name}” must be a list")
            return []
        if len(value) > most:
            self.refuse(name, "too_many", f"“{name}” may have at most {most:,} entries")
            return []
        return value

    def document(self, name: str, *, required: bool = False) -> dict[str, Any]:
        """An object kept as it stands, of at most 256 KiB as compact JSON; absent is empty."""
        value = self.take(name)
        if value is None:
            if required:
                self.refuse(name, "required", f"“{name}” is required")
            return {}
        if not isinstance(value, dict):
            self.refuse(name, "invalid", f"“{name}” must be an object")
            return {}
        if size_of(value) > MAX_DOCUMENT:
            self.refuse(name, "data_too_large", f"“{name}” may have at most 256 KiB")
            return {}
        return value

    def members(self, name: str) -> Body | None:
        """A nested object whose members are read one by one."""
        fields = self.object(name)
        return None if fields is None else Body(fields.value, fields.pointer, fields.notes)

    def finish(self, *, malformed: frozenset[str] = frozenset()) -> None:
        """Refuses members nobody read, then the whole request if anything was wrong with it.

        With a problem whose code is in `malformed` it is a 400.
        """
        self.close()
        if problems := self.notes.problems:
            kind = No.MALFORMED if any(problem.code in malformed for problem in problems) else No.INVALID
            raise Refusal(kind, problems[0].code, problems[0].message, problems)


class Query:
    """The parameters behind the question mark. What is wrong with them is a 400; empty ones are absent."""

    def __init__(self, parameters: QueryDict) -> None:
        self.parameters = parameters
        self.problems: list[Problem] = []
        self.read: set[str] = set()

    def refuse(self, name: str, code: str, message: str) -> None:
        """Notes a problem with a parameter."""
        self.problems.append(Problem(pointer=f"/{name}", code=code, message=message))

    def text(self, name: str, *, longest: int = 512) -> str | None:
        """A text on one line."""
        self.read.add(name)
        text = self.parameters.get(name) or None
        if text is None:
            return None
        if len(text) > longest or not is_one_line(text):
            self.refuse(name, "invalid", f"“{name}” is a text of up to {longest} characters on one line")
            return None
        return text

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        """A plain decimal number within bounds."""
        text = self.text(name)
        if text is None:
            return default
        if not _NUMBER.fullmatch(text) or not least <= float(text) <= most:
            self.refuse(name, "invalid", f"“{name}” must be a number from {least:,.15g} to {most:,.15g}")
            return default
        return float(text)

    def moment(self, name: str) -> datetime | None:
        """A moment in ISO 8601, UTC where it names no zone; within the time that runs can have."""
        return _moment(self, name, self.text(name, longest=100))

    def uuid(self, name: str) -> UUID | None:
        """A whole id."""
        text = self.text(name)
        if text is None:
            return None
        if not re.fullmatch(UUID_PATTERN, text):
            self.refuse(name, "invalid", f"“{name}” must be an id")
            return None
        return UUID(text)

    def status(self, name: str) -> str | None:
        """A run's public status."""
        text = self.text(name)
        if text is not None and text not in RunStatus.values:
            self.refuse(name, "invalid", f"“{name}” must be one of: {', '.join(RunStatus.values)}")
            return None
        return text

    def finish(self, *, strict: bool = True) -> None:
        """Refuses the request if anything was wrong; if `strict`, also for parameters nobody read, or given twice:
        ignoring a filter would answer with more, or something else, than was asked for."""
        if strict:
            for name, values in self.parameters.lists():
                if name not in self.read:
                    self.refuse(name[:100], "unknown_parameter", f"“{name[:100]}” is not known here")
                elif len(values) > 1:
                    self.refuse(name, "duplicate", f"give “{name}” once")
        if self.problems:
            raise Refusal(No.MALFORMED, self.problems[0].code, self.problems[0].message, self.problems)


def _moment(reader: Body | Query, name: str, text: str | None) -> datetime | None:
    """The text as a moment, which the reader refuses where it is none."""
    if text is None:
        return None
    try:
        return parse_bound(text)
    except ValueError as error:
        reader.refuse(name, "invalid", str(error))
        return None
