"""Environments are made here; none is ever removed."""

from __future__ import annotations

import re

from django.db import IntegrityError, transaction

from automations.models import ENVIRONMENT_KEY, Environment, No, Refusal, audit

MOST_ENVIRONMENTS = 50


def create(*, key: str, by: str) -> Environment:
    """A new environment without anything in it. Refusal for a key that is malformed or taken, and one too many."""
    if not re.match(ENVIRONMENT_KEY, key):
        message = "a key has up to 32 of a-z 0-9 -, and begins with a letter"
        raise Refusal.at("/key", "invalid", message)
    if Environment.objects.count() >= MOST_ENVIRONMENTS:
        message = f"there are at most {MOST_ENVIRONMENTS} environments"
        raise Refusal(No.INVALID, "too_many_environments", message)
    try:
        with transaction.atomic():
            environment = Environment.objects.create(key=key)
            audit(
                "environment.made",
                of=f"environment/{key}",
                by=by,
                environment_id=environment.pk,
                after={"key": key},
            )
    except IntegrityError as error:
        raise Refusal.at("/key", "taken", f"there is an environment “{key}” already") from error
    return environment
