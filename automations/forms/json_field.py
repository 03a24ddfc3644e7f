"""JSON that is typed: what does not fit is said with line and column."""

from __future__ import annotations

import json
import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from automations.expressions import MAX_DEPTH, finite, is_too_deep

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_NOT_STORABLE = "This holds a NUL character or half a surrogate pair, which cannot be stored"


class JsonField(forms.CharField):
    """A text that is JSON of one type; what does not fit is said with line and column."""

    widget = forms.Textarea

    def __init__(self, *, of: type, **kwargs: Any) -> None:
        super().__init__(strip=False, **kwargs)
        self.of = of

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text.strip() and not self.required:
            return self.of()
        parsed = parse_json(text)
        if not isinstance(parsed, self.of):
            wanted = "a list: [ … ]" if self.of is list else "an object: { … }"
            raise ValidationError(f"This must be {wanted}")
        return parsed


def parse_json(text: str) -> Any:
    """The JSON value. ValidationError with line and column, or for what a database could not store."""
    try:
        value = json.loads(
            text, object_pairs_hook=_members, parse_float=finite, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        raise ValidationError(f"Line {error.lineno}, column {error.colno}: {_plain(error)}") from error
    except RecursionError as error:
        raise ValidationError(f"This is nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise ValidationError(str(error)) from error
    if is_too_deep(value):
        raise ValidationError(f"This is nested deeper than {MAX_DEPTH} levels")
    if "\\u0000" in json.dumps(value):
        raise ValidationError(_NOT_STORABLE)
    check_storable(json.dumps(value, ensure_ascii=False))
    return value


def check_storable(text: str) -> None:
    """ValidationError for a text that a database could not store."""
    if _UNSTORABLE.search(text):
        raise ValidationError(_NOT_STORABLE)


def _plain(error: json.JSONDecodeError) -> str:
    """Python's words for it, where the usual slips have clearer ones."""
    return {
        "Expecting property name enclosed in double quotes": "a name in double quotes, or }, is expected here",
        "Illegal trailing comma before end of object": "a comma too many before }",
        "Illegal trailing comma before end of array": "a comma too many before ]",
        "Expecting value": "a value is expected here",
        "Expecting ',' delimiter": "a comma is missing here, or a bracket before it",
        "Extra data": "nothing may follow here",
    }.get(error.msg, error.msg)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"“{twice[:60]}” is given twice in one object")
    return members


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")
