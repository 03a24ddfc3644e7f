"""Reads request bodies as JSON that every later stage can store and show, or says with a pointer why not."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from django.http import HttpRequest
from gunicorn.http.errors import NoMoreData, ParseException

from automations.api.errors import Denied
from automations.definition import Problem, below
from automations.expressions import MAX_DEPTH, finite
from automations.models import No, Refusal

LARGEST_BODY = 1024 * 1024


def read_object(
    request: HttpRequest, *, optional: bool = False, largest: int = LARGEST_BODY
) -> dict[str, Any]:
    """The object in the body, whatever its Content-Type says; with `optional`, {} for an empty body.

    Denied (413, 415) for a body larger than so many bytes or compressed; Refusal (MALFORMED) unless it is a sound
    object.
    """
    body = read_body(request, largest=largest)
    if optional and not body.strip():
        return {}
    value = parse(body)
    if not isinstance(value, dict):
        raise _refusal("not_an_object", "the body must be a JSON object")
    return value


def parse(body: bytes, *, called: str = "the body") -> Any:
    """The JSON value in `body`, integers exact. Refusal (MALFORMED), with a pointer to what is unsound in it; its
    message calls the whole as it is `called`.

    Unsound is what Python's parser lets pass and a database or another parser does not: duplicate keys, NaN,
    infinite numbers, NUL, lone surrogates, more than 64 levels, integers of thousands of digits.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refusal("invalid_utf8", f"{called} is not UTF-8 at byte {error.start:,}") from error
    if not text.strip():
        raise _refusal("empty_body", f"{called} is empty; a JSON object is expected")
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_too_deep(text):
        raise _refusal("json_too_deep", f"{called} is nested deeper than {MAX_DEPTH} levels")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _refusal("invalid_json", f"{called} is not JSON: {error.msg} at {where}") from error
    except ValueError:  # from our hooks, or an integer beyond sys.get_int_max_str_digits()
        _refuse_first_fault(text)
    if _SUSPICIOUS.search(text):
        _refuse_first_fault(text, else_pass=True)
    return value


def read_body(request: HttpRequest, *, largest: int = LARGEST_BODY) -> bytes:
    """The bytes of the body, which can be asked for more than once. Denied as `read_object` says."""
    meta = request.META
    if (known := meta.get("countermand.body")) is not None:
        return bytes(known)
    if meta.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() not in ("", "identity"):
        raise Denied(415, "unsupported_encoding", "send the body without Content-Encoding")
    length = meta.get("CONTENT_LENGTH") or ""
    if length.isdigit() and int(length) > largest:
        raise _too_large(largest)
    # Django takes a chunked body, which has no length, for empty; gunicorn marks a stream that knows its end.
    chunked = not length and meta.get("wsgi.input_terminated")
    body = _read_chunks(meta, largest + 1) if chunked else request.read(largest + 1)
    if len(body) > largest:
        raise _too_large(largest)
    meta["countermand.body"] = body
    return body


def _read_chunks(meta: dict[str, Any], most: int) -> bytes:
    try:
        return bytes(meta["wsgi.input"].read(most))
    except (ParseException, NoMoreData) as error:
        # Nobody can tell where the next request begins.
        meta.get("countermand.hang_up", lambda: None)()
        raise _refusal("invalid_chunks", "the body is not sent in proper chunks") from error


def _too_large(largest: int) -> Denied:
    return Denied(413, "body_too_large", f"a body may have at most {largest:,} bytes")


# Everything possessive: a hostile body must not make the expression try twice.
_STRING = re.compile(r'"[^"\\]*+(?:\\(?:.|\Z)[^"\\]*+)*+"?+', re.DOTALL)
_BRACKET = re.compile(r"[\[{\]}]")
# NUL, and either half of a surrogate pair without the other. Too much may match where a backslash is itself
# escaped, which the slow parser sorts out; never too little.
_SUSPICIOUS = re.compile(
    r"\\u(?:0000"
    r"|[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    r"|[dD][c-fC-F](?<!(?<!\\)\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD].))"
)


def _is_too_deep(text: str) -> bool:
    """Counts brackets outside strings; without recursion, which is what deep JSON attacks."""
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub("", text)):
        if bracket[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        else:
            depth -= 1
    return False


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate key")
    return members


def _not_a_number(word: str) -> NoReturn:
    raise ValueError(word)


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_float=finite, parse_constant=_not_a_number)


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written, duplicate keys included."""


def _whole(digits: str) -> float:
    try:
        return int(digits)
    except ValueError:
        return math.inf


_TRACER = json.JSONDecoder(object_pairs_hook=_Pairs, parse_int=_whole)


def _refuse_first_fault(text: str, *, else_pass: bool = False) -> None:
    """Parses once more, slowly, to say what is unsound and where."""
    fault = next(_faults(_TRACER.decode(text), ""), None)
    if fault is not None:
        raise Refusal(No.MALFORMED, fault.code, fault.message, [fault])
    if not else_pass:
        raise AssertionError("the fast parser saw a fault that the slow one does not see")


def _faults(value: Any, pointer: str) -> Iterator[Problem]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, member in value:
            yield from _faults(name, pointer)  # an unsound name cannot be shown: its object is named
            place = below(pointer, name)
            if name in seen:
                yield Problem(pointer=place, code="duplicate_key", message="a member is given twice")
            seen.add(name)
            yield from _faults(member, place)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, f"{pointer}/{index}")
    elif isinstance(value, float) and not math.isfinite(value):
        yield Problem(pointer=pointer, code="invalid_number", message="a number is not finite, or too long")
    elif isinstance(value, str) and "\0" in value:
        yield Problem(pointer=pointer, code="invalid_text", message="a text holds a NUL character")
    elif isinstance(value, str) and _LONE_SURROGATE.search(value):
        yield Problem(pointer=pointer, code="invalid_text", message="a text holds half of a surrogate pair")


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _refusal(code: str, message: str) -> Refusal:
    return Refusal.at("", code, message, kind=No.MALFORMED)
