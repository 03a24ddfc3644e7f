"""Puts expressions and what they may read into a request, and the replies into values or errors."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, get_args

from automations.expressions import pool
from automations.expressions.errors import ExpressionError, Kind
from automations.expressions.limits import MAX_DEPTH, MAX_REQUEST, MAX_SOURCE
from automations.expressions.scope import JSON, Scope

Mode = Literal["token", "field", "condition", "reads"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS: Final = frozenset(get_args(Kind))
# A text or a list that is nothing in a text; of a list only the beginning is looked at.
_BLANK = re.compile(r'"(?: |\\[tnrf]|\\u(?:000b|00a0|1680|20..|3000|feff))*"|\[(?:\]|\[|null)')
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


class Job(NamedTuple):
    """One expression to evaluate: its JavaScript, what for, and the text its Math.random() follows from."""

    javascript: str
    mode: Mode
    seed: str
    source: str


class Answer(NamedTuple):
    """What an expression gave, and the paths it read and did not find where that shows in the value."""

    value: JSON
    missing: tuple[str, ...]


def evaluate(jobs: Sequence[Job], scope: Scope, *, owner: str) -> list[Answer]:
    """Evaluate expressions in one round trip to an evaluator, each with data of its own.

    Raises ExpressionError for the first that has no value; its `source` says which.
    """
    for job in jobs:
        if len(job.source) > MAX_SOURCE:
            message = f"the expression has {len(job.source)} characters, more than {MAX_SOURCE}"
            raise ExpressionError("too_long", message, source=job.source)
    evaluators = pool.current()
    for job in jobs:
        if evaluators.breaker.refuses((owner, job.source)):
            name = "token expression" if job.mode == "token" else "expression"
            raise ExpressionError("timeout", f"{name} keeps timing out", source=job.source)
    request = _encode(jobs, scope)
    replies: list[bytes] = []
    try:
        evaluators.exchange(request, replies, owner=owner)
    except ExpressionError as error:
        culprit = jobs[min(len(replies), len(jobs) - 1)]
        if error.kind == "timeout":
            evaluators.breaker.timed_out((owner, culprit.source))
        raise ExpressionError(error.kind, error.message, source=culprit.source) from error
    answers = [_settle(job, reply, evaluators, owner) for job, reply in zip(jobs, replies, strict=False)]
    if len(answers) < len(jobs):
        raise ExpressionError("crashed", "a reply is missing", source=jobs[len(answers)].source)
    return answers


def _settle(job: Job, reply: bytes, evaluators: pool.Pool, owner: str) -> Answer:
    try:
        answer = _decode(reply, job.source)
    except ExpressionError as error:
        if error.kind == "timeout":
            evaluators.breaker.timed_out((owner, job.source))
        else:
            evaluators.breaker.ended((owner, job.source))
        raise
    evaluators.breaker.ended((owner, job.source))
    if job.mode == "field":
        _check_field(answer.value, job.source)
    return answer


def _encode(jobs: Sequence[Job], scope: Scope) -> bytes:
    """Write a request: ASCII JSON, since that is all the wrapper passes on unharmed."""
    now = scope.now if scope.now.tzinfo else scope.now.replace(tzinfo=UTC)
    shared = {
        "now": (now - _EPOCH) // timedelta(milliseconds=1),
        "data": scope.data,
        "profile": scope.profile,
        "refs": dict(scope.refs),
    }
    source = jobs[0].source
    try:
        text = json.dumps(shared, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        message = f"the data cannot be written as JSON: {error}"
        raise ExpressionError("unsupported_type", message, source=source) from error
    lines = [text[1:]]
    for job in jobs:
        head = {
            "source": job.javascript,
            "mode": job.mode,
            "seed": zlib.crc32(job.seed.encode("utf-8", "surrogatepass")),
            "blanks": job.mode == "token" and ("join" in job.javascript or _BLANK.search(text) is not None),
        }
        lines.append(json.dumps(head, separators=(",", ":"))[:-1] + ",")
    request = "\n".join(lines).encode("ascii")
    if len(request) > MAX_REQUEST:
        raise ExpressionError("memory", "the data are too large for an expression", source=source)
    return request


def _decode(reply: bytes, source: str) -> Answer:
    kind: Any
    paths: tuple[str, ...] = ()
    try:
        body = json.loads(reply[1:])
        if reply.startswith(b"="):
            return Answer(body["value"], tuple(map(str, body["missing"])))
        kind, message, paths = str(body["kind"]), str(body["message"]), tuple(map(str, body["paths"]))
    except RecursionError:
        kind, message = "unsupported_type", "the result is nested too deeply"
    except (ValueError, LookupError, TypeError) as error:
        long = "integer string conversion" in str(error)  # sys.set_int_max_str_digits
        kind, message = ("too_long", "the number is too long") if long else ("crashed", "no proper reply")
    raise ExpressionError(kind if kind in _KINDS else "crashed", message, source=source, paths=paths)


def _check_field(value: JSON, source: str, depth: int = 0) -> None:
    """Refuse what cannot be stored as JSON on every database."""
    if depth > MAX_DEPTH:
        raise ExpressionError("unsupported_type", "the result is nested too deeply", source=source)
    if isinstance(value, str) and _UNSTORABLE.search(value):
        message = "the result holds a NUL character or half a character"
        raise ExpressionError("invalid_text", message, source=source)
    if isinstance(value, float) and not math.isfinite(value):  # JSON.rawJSON("1e999")
        message = "the result holds a number that is not finite"
        raise ExpressionError("unsupported_type", message, source=source)
    if isinstance(value, list):
        for item in value:
            _check_field(item, source, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_field(key, source, depth + 1)
            _check_field(item, source, depth + 1)
