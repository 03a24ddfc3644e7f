"""Carries out `send-list`: the same message to every member of a list, within one step."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db import DatabaseError, InterfaceError

from automations import expressions
from automations.channels import DeliveryError
from automations.definition import SendList
from automations.models import About, Question
from automations.steps.base import Attempt, Outcome
from automations.steps.letter import Addressee, Letter
from automations.testpoints import testpoint

READ_AT_ONCE = 50  # profiles, each of which may have 256 KiB
_ANSWER = 100

log = logging.getLogger(__name__)


def perform(step: SendList, attempt: Attempt) -> Outcome:
    """Delivers to one member after the other, except those that an earlier attempt is known to have reached.

    A member who is refused for good is recorded as failed and holds nobody up. While one is left who may yet be
    reached the attempt has failed, and its error names who was reached; so has one that reached nobody.
    """
    try:
        letter = Letter(step, attempt)
        key = expressions.resolve_token(step.list_key, attempt.scope, owner=attempt.owner)
        members: Sequence[str] | None = attempt.look_up(About.LIST, key)
        if members is None:
            raise DeliveryError(f"there is no list “{key[:100]}”", retryable=False)
    except DeliveryError as error:
        return Outcome.failed("delivery", error.message, retryable=error.retryable, **error.detail)
    reached = _reached_before(step, attempt)
    waiting = [member for member in members if member not in reached]
    return _outcome(key, members, reached, _deliveries(letter, waiting), letter)


def _reached_before(step: SendList, attempt: Attempt) -> set[str]:
    if attempt.number == 1:
        return set()
    reached: set[str] = attempt.look_up(About.DELIVERED, f"{attempt.run_id}/{step.name}")
    return reached


def _deliveries(letter: Letter, members: Sequence[str]) -> list[dict[str, Any]]:
    """What came of each; of all of them, whatever happens meanwhile, so that nobody is forgotten who was reached."""
    done: list[dict[str, Any]] = []
    try:
        for addressee in _addressees(members, letter.attempt):
            done.append(_delivery(letter, addressee))
    except (DatabaseError, InterfaceError, TimeoutError):
        left = members[len(done) :]
        return done + [
            {"recipient": member, "error": "the database did not answer", "again": True} for member in left
        ]
    return done


def _addressees(members: Sequence[str], attempt: Attempt) -> Iterator[Addressee]:
    for start in range(0, len(members), READ_AT_ONCE):
        asked = {
            member: Question(About.PROFILE, attempt.environment_id, member)
            for member in members[start : start + READ_AT_ONCE]
        }
        profiles = attempt.ask(list(asked.values()))
        for member, question in asked.items():
            yield Addressee(id=member, profile=profiles[question], member=member)


def _delivery(letter: Letter, addressee: Addressee) -> dict[str, Any]:
    """What is recorded of one member: where it went and what the provider said, or why it did not go."""
    testpoint("effect.sends")
    try:
        said = letter.deliver(addressee)
    except DeliveryError as error:
        return {
            "recipient": addressee.id,
            "error": error.message,
            "again": error.retryable,
            **_short(error.detail),
        }
    except expressions.ExpressionError as error:
        return {"recipient": addressee.id, "error": error.message, "again": error.retryable}
    except (DatabaseError, InterfaceError, TimeoutError):
        raise
    except Exception as error:  # a fault of ours with one member must not have the others sent to twice
        log.exception("step %s of run %s", letter.step.name, letter.attempt.run)
        return {"recipient": addressee.id, "error": f"{type(error).__name__}: {error}"[:300], "again": True}
    kept = {name: said[name] for name in said if name not in ("title", "body", "template", "recipient")}
    return {"recipient": addressee.id, **_short(kept)}


def _short(detail: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value[:_ANSWER] if name == "answer" and isinstance(value, str) else value
        for name, value in detail.items()
    }


def _outcome(
    key: str, members: Sequence[str], before: set[str], deliveries: list[dict[str, Any]], letter: Letter
) -> Outcome:
    failed = [entry for entry in deliveries if "error" in entry]
    again = [entry.pop("again") for entry in failed]
    worth_it = any(again)
    reached = [
        *(m for m in members if m in before),
        *(e["recipient"] for e in deliveries if "error" not in e),
    ]
    counts = {"list": key, "members": len(members), "reached": len(reached)}
    if worth_it or (members and not reached):
        message = f"{len(failed)} of {len(members)} members were not reached: {failed[0]['error']}"
        return Outcome.failed(
            "delivery", message, retryable=worth_it, **counts, delivered=reached, deliveries=deliveries
        )
    output: dict[str, Any] = {**counts, "failed": len(failed), "deliveries": deliveries}
    if letter.template is not None:
        output["template"] = letter.template.key
    warnings = dict.fromkeys(warning.message for warning in letter.warnings)
    return Outcome(status="completed", output=output, warnings=list(warnings)[:_ANSWER])
