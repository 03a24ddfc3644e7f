"""Decides what may be a cancellation token, the same for every form of an expression."""

from __future__ import annotations

import math
import re
from typing import Final

from automations.expressions.errors import ExpressionError, Kind
from automations.expressions.scope import JSON, MISSING

SUSPICIOUS: Final = re.compile(r"undefined|null|NaN|Infinity|\[object |\[native code\]")
"""What a value that was not there leaves in a text; the same pattern as in prelude.js."""

_NOBODY: Final = frozenset(
    ("", "undefined", "null", "nan", "infinity", "+infinity", "-infinity", "[object object]")
)
_BLANKS: Final = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\ufeff"
_UNSTORABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def is_blank(text: str) -> bool:
    """Whether nothing of a text is visible: what JavaScript's trim() would leave empty."""
    return not text.strip(_BLANKS)


def is_nobody(text: str) -> bool:
    """Whether a text, blanks around it aside, is empty or a word such as `undefined`: many would share it."""
    return text.strip(_BLANKS).lower() in _NOBODY


def check_token(text: str, *, longest: int, source: str = "", paths: tuple[str, ...] = ()) -> str:
    """Give the text back unchanged if it may be a token: it identifies somebody and can be stored and found.

    Never trimmed, folded or normalised: two different texts are two tokens. Raises ExpressionError, with
    `source` and, where it identifies nobody, the `paths` the text came from.
    """
    if is_nobody(text):
        message = f'the token is "{text.strip(_BLANKS)}", which identifies nobody'
        raise ExpressionError("unresolved", message, source=source, paths=paths)
    if len(text) > longest:
        message = f"the token has {len(text)} characters, more than {longest}"
        raise ExpressionError("too_long", message, source=source)
    if _UNSTORABLE.search(text):
        message = "the token holds a control character or half a character"
        raise ExpressionError("invalid_text", message, source=source)
    return text


def number_text(value: float) -> str:
    """Write a number as JavaScript's String() does (ECMA-262, Number::toString): 1.0 is `1`, 1e21 `1e+21`."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    sign, digits, exponent = _shortest_digits(abs(value), "-" if value < 0 else "")
    count = len(digits)
    if count <= exponent <= 21:
        return sign + digits + "0" * (exponent - count)
    if 0 < exponent <= 21:
        return f"{sign}{digits[:exponent]}.{digits[exponent:]}"
    if -6 < exponent <= 0:
        return f"{sign}0.{'0' * -exponent}{digits}"
    fraction = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{exponent - 1:+d}"


def _shortest_digits(value: float, sign: str) -> tuple[str, str, int]:
    """Give sign, digits and n such that the value is 0.digits times ten to the n; repr() is shortest too."""
    mantissa, _, power = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    exponent = len(whole) + int(power or 0)
    if whole == "0":
        exponent -= 1 + len(fraction) - len(fraction.lstrip("0"))
    return sign, digits.rstrip("0"), exponent


def token_text(value: JSON, *, source: str, path: str) -> str:
    """Write a value of the data as a token's text: text and finite numbers only. Raises ExpressionError."""
    if isinstance(value, str):
        return value
    kind: Kind = "unresolved"
    if value is MISSING:
        problem = "the value is missing"
    elif value is None:
        problem = "the value is null"
    elif isinstance(value, bool):
        kind, problem = "unsupported_type", "the value is true or false"
    elif not isinstance(value, int | float):
        shape = "a list" if isinstance(value, list) else "an object"
        kind, problem = "unsupported_type", f"the value is {shape}"
    elif isinstance(value, float) and not math.isfinite(value):
        problem = "the value is not a finite number"
    elif isinstance(value, int) and value.bit_length() > 2048:
        kind, problem = "too_long", "the number is too long"
    else:
        return number_text(value)
    raise ExpressionError(kind, problem, source=source, paths=(path,))
