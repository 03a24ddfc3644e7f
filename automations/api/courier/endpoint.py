"""What all of Courier's addresses share: how a key is sent, and what makes repeating a POST harmless."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from automations.api import idempotency
from automations.api.courier.authentication import CourierAuthentication
from automations.api.endpoint import Endpoint
from automations.api.reading import is_one_line
from automations.definition import Problem, parse_duration, parse_moment
from automations.invocation import KEY_KEPT
from automations.models import No, Refusal

LONGEST_KEPT = timedelta(days=366)
LONGEST_ID = 255
_EPOCH = re.compile(r"\d{1,11}(?:\.\d{1,9})?", re.ASCII)


class CourierEndpoint(Endpoint):
    """An address of Courier's."""

    authentication_classes: Sequence[type[BaseAuthentication]] = (CourierAuthentication,)

    def repeatable(self, *, address: str, body: object) -> dict[str, Any]:
        """Idempotency-Key, the request's fingerprint and how long the key is in force, as the verbs take them;
        empty without a key."""
        key = idempotency.key_of(self.request)
        if key is None:
            return {}
        return {
            "idempotency_key": key,
            "fingerprint": idempotency.fingerprint(address=address, body=body),
            "key_kept": _kept(self.request, timezone.now()),
        }


def checked(template_id: str) -> str:
    """The id or alias of a path; the Refusal of an unknown one for what no template can be called."""
    if len(template_id) > LONGEST_ID or not is_one_line(template_id):
        raise Refusal(No.NOT_FOUND, "automation_not_found", "there is no such automation")
    return template_id


def respelt(refusal: Refusal, *, at: str) -> Refusal:
    """The refusal with pointers into Courier's body, where the definition stands at `at`."""
    problems = [
        in_spelling(
            replace(problem, pointer=_OURS.sub(lambda found: at + _THEIRS[found[1]], problem.pointer))
        )
        for problem in refusal.problems
    ]
    return Refusal(refusal.kind, refusal.code, refusal.message, problems)


def in_spelling(problem: Problem) -> Problem:
    """The problem with Courier's name for a token that is missing; one that was given is called as it was."""
    pointer = problem.pointer
    if problem.code == "required" and pointer.endswith("/cancellation_token"):
        pointer = pointer.removesuffix("cancellation_token") + "cancelation_token"
    if not pointer.endswith("/cancelation_token"):
        return problem
    message = problem.message.replace("“cancellation_token”", "“cancelation_token”")
    return replace(problem, pointer=pointer, message=message)


_OURS = re.compile(r"^/definition(/cancellation_token\b)?")
_THEIRS = {None: "", "/cancellation_token": "/cancelation_token"}


def _kept(request: Request, now: datetime) -> timedelta:
    """How long `x-idempotency-expiration` says: epoch seconds, ISO 8601, or a duration such as `1 Day`; else 24 h.

    A moment that has passed cannot have been meant; then it is 24 h, too.
    """
    text = request.META.get("HTTP_X_IDEMPOTENCY_EXPIRATION", "").strip()
    kept = _until(text, now) - now if text else KEY_KEPT
    return min(kept, LONGEST_KEPT) if kept > timedelta(0) else KEY_KEPT


def _until(text: str, now: datetime) -> datetime:
    try:
        if _EPOCH.fullmatch(text):
            return datetime.fromtimestamp(float(text), UTC)
        with suppress(ValueError):
            return now + parse_duration(text)
        return parse_moment(text)
    except (ValueError, OverflowError) as error:
        message = "x-idempotency-expiration must be epoch seconds or an ISO 8601 timestamp"
        raise Refusal.at("", "invalid_expiration", message) from error
