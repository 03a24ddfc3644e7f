"""Resolves the documented shapes without JavaScript, or declines: it never defines a meaning."""

from __future__ import annotations

from typing import Final

from automations.expressions.compile import FastTemplate
from automations.expressions.scope import JSON, MISSING, Scope, look_up
from automations.expressions.tokens import SUSPICIOUS, is_blank

_EXACT_BITS: Final = 1024
"""Integers longer than this go to the evaluator, which says what is wrong with them."""
_LONGEST: Final = 65_536
"""Characters of a text beyond which only the evaluator may tell: it refuses them."""


def fast_text(template: FastTemplate, scope: Scope) -> str | None:
    """Give the text JavaScript would give, or None where only JavaScript can tell.

    Every read must find an own key of a dict, and there an integer or a text that is not blank; nothing in
    the result may look like a value that was not there.
    """
    pieces = []
    left = _LONGEST
    for part in template.parts:
        value = part if isinstance(part, str) else look_up(scope, part)
        if type(value) is str and (value is part or not is_blank(value)):
            pieces.append(value)
        elif type(value) is int and value.bit_length() <= _EXACT_BITS:
            pieces.append(str(value))
        else:
            return None
        left -= len(pieces[-1])
        if left < 0:
            return None
    text = "".join(pieces)
    return None if SUSPICIOUS.search(text) else text


def fast_value(template: FastTemplate, scope: Scope) -> JSON:
    """Give the value JavaScript would give for a field, or MISSING where only JavaScript can tell."""
    if template.path is None:
        text = fast_text(template, scope)
        return MISSING if text is None else text
    value = look_up(scope, template.path)
    plain = value is None or type(value) is str or type(value) is bool
    return value if plain or (type(value) is int and value.bit_length() <= _EXACT_BITS) else MISSING
