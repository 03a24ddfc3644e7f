"""What a refusal looks like in each dialect, and which dialect a path belongs to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from automations.definition import Problem

NATIVE, COURIER, KNOCK, SUPRSEND = "native", "courier", "knock", "suprsend"
VENDORS = (COURIER, KNOCK, SUPRSEND)
# Also what is not served: an SDK must be able to read that there is nothing.
ROOTS = {
    **dict.fromkeys(("api", "compat", "healthz", "readyz", "metrics"), NATIVE),
    **dict.fromkeys(
        (
            "automations", "journeys", "audiences", "audit-events", "auth", "brands", "broadcasts", "digests",
            "inbound", "lists", "notifications", "previews", "profiles", "requests", "routing-strategies", "send",
            "tenants", "translations",
        ),
        COURIER,
    ),
    "v1": KNOCK,
    **dict.fromkeys(("trigger", "event", "v2"), SUPRSEND),
}  # fmt: skip
SHARED = frozenset({"bulk", "messages", "preferences", "providers", "users"})  # Courier's, and pages'
OF_SUPRSEND = frozenset({  # below /v1/, where Knock's are plural
    "brand", "bulk", "message", "object", "subscriber_list", "tenant", "user", "workflow_run",
})  # fmt: skip
PAGES = ("templates", "logs", "static")  # below which something may be called “trigger”


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A refusal on its way out, not yet in anybody's words."""

    status: int
    code: str
    message: str
    problems: Sequence[Problem] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


def dialect_of(path: str, *, keyed: bool = False) -> str | None:
    """Whose path it is, known or not; None for a page's. Each vendor's also stand below `/compat/<vendor>/`. What
    Courier has where we have pages is Courier's for a `keyed` request."""
    first, *rest = path.removeprefix("/").split("/")
    if first == "compat" and rest and rest[0] in VENDORS:
        return rest[0]
    if first == "v1" and rest and rest[0] in OF_SUPRSEND:
        return SUPRSEND
    if first in SHARED and keyed:
        return COURIER
    if first in ROOTS:
        return ROOTS[first]
    # `/<workspace>/trigger/`, whatever the workspace: an SDK with a wrong key must be able to read its answer.
    return SUPRSEND if rest in (["trigger"], ["trigger", ""]) and first not in PAGES else None


def problem_document(answer: Answer, identifier: str) -> dict[str, Any]:
    """RFC 9457."""
    problems = answer.problems or [Problem(pointer="", code=answer.code, message=answer.message)]
    return {
        **answer.facts,
        "type": f"urn:countermand:problem:{answer.code}",
        "title": answer.code.replace("_", " ").capitalize(),
        "status": answer.status,
        "detail": answer.message,
        "instance": identifier,
        "errors": [
            {"pointer": problem.pointer, "code": problem.code, "message": problem.message}
            for problem in problems
        ],
    }


Shaped = tuple[int, dict[str, Any]]
_COURIER_TYPES = {401: "authentication_error", 403: "authorization_error", 429: "rate_limit_error"}
_COURIER_TEXTS = {"automation_not_found": "Automation not found"}


def courier(answer: Answer) -> Shaped:
    """Courier's shape; where several members are wrong, the message names them all."""
    kind = "api_error" if answer.status >= 500 else _COURIER_TYPES.get(answer.status, "invalid_request_error")
    message = _named(answer) or _COURIER_TEXTS.get(answer.code, answer.message)
    # Courier knows no 422; but a key that came with another body stays one: its SDKs must not retry that.
    invalid = answer.status == 422 and answer.code != "idempotency_key_reused"
    return (400 if invalid else answer.status), {"message": message, "type": kind}


def _of_a_workflow(message: str) -> str:
    """What a verb says of an automation, in the words of those to whom it is a workflow."""
    return re.sub(r"^(there is no|the) automation\b", r"\1 workflow", message)


def _in_workflows(answer: Answer) -> Answer:
    problems = [replace(problem, message=_of_a_workflow(problem.message)) for problem in answer.problems]
    return replace(answer, message=_of_a_workflow(answer.message), problems=problems)


_KNOCK_CODES = {
    "automation_not_found": "workflow_missing", "unpublished": "workflow_inactive", "disabled": "workflow_inactive",
    "invalid_key": "api_key_missing",
}  # fmt: skip


def knock(answer: Answer) -> Shaped:
    """Knock's shape: its codes, and a list of `errors` with every 422, which its older SDKs walk through unasked."""
    answer = _in_workflows(answer)
    kind = "api_error" if answer.status >= 500 else _COURIER_TYPES.get(answer.status, "invalid_request_error")
    code = _KNOCK_CODES.get(answer.code, "invalid_params" if answer.status == 422 else answer.code)
    document = {"code": code, "message": answer.message, "status": answer.status, "type": kind}
    if answer.status == 422:
        problems = answer.problems or [Problem(pointer="", code=answer.code, message=answer.message)]
        errors = [
            {"type": problem.code, "field": _dotted(problem.pointer), "message": problem.message}
            for problem in problems
        ]
        return 422, {**document, "errors": errors}
    return answer.status, document


_SUPRSEND_TYPES = {
    400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    413: "request_too_large", 415: "unsupported_media_type", 429: "too_many_requests",
}  # fmt: skip
NO_FILTER = "at least one filter is required: execution_id, recipients, idempotency_key"


def suprsend(answer: Answer) -> Shaped:
    """What all of SuprSend's documented shapes have in common, so that whoever reads one of them finds it."""
    if answer.code == "empty_filter":  # documented with exactly these members
        return 400, {"code": 400, "message": NO_FILTER}
    answer = _in_workflows(answer)
    status = 400 if answer.status == 422 else answer.status
    kind = "internal_error" if status >= 500 else _SUPRSEND_TYPES.get(status, "bad_request")
    message = _named(answer) or answer.message
    error = {"message": message, "type": kind}
    return status, {"code": status, "status": "error", "message": message, "error": error}


SHAPES: Mapping[str, Callable[[Answer], Shaped]] = {COURIER: courier, KNOCK: knock, SUPRSEND: suprsend}


def _named(answer: Answer) -> str:
    """Every member that is wrong, where members are."""
    located = [problem for problem in answer.problems if problem.pointer]
    return "; ".join(f"{problem.message} ({problem.pointer})" for problem in located)


def _dotted(pointer: str) -> str:
    """`recipients.0.id`."""
    return pointer.removeprefix("/").replace("/", ".").replace("~1", "/").replace("~0", "~")
