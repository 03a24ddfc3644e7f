"""Automations as people edit them: drafts created, saved, and applied from documents."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction

from automations.definition import Problem, in_our_words
from automations.models import (
    DEFAULT_ENVIRONMENT,
    KEY_PATTERN,
    RESERVED_KEYS,
    AuditEntry,
    Automation,
    Environment,
    No,
    Refusal,
    audit,
    database_now,
    retried,
)
from automations.publication.publishing import check_revision, locked, publish
from automations.publication.reading import read_definition

SAMPLES = Path(__file__).parent.parent / "samples"
LARGEST_DEFINITION = 256 * 1024
SITTING = timedelta(minutes=15)
LOOKED_BACK = 500  # entries of the audit log


def find(*, environment: Environment, key: str) -> Automation:
    """The environment's automation of that key, with its published version. Refusal when there is none."""
    automation = Automation.objects.within(environment).select_related("published").filter(key=key).first()
    if automation is None:
        raise Refusal(No.NOT_FOUND, "automation_not_found", f"there is no automation “{key[:100]}”")
    return automation


def create(
    *,
    environment: Environment,
    key: str,
    name: str,
    definition: Mapping[str, Any],
    by: str,
    alias: str | None = None,
    description: str = "",
) -> Automation:
    """A stored draft. Refusal for a key or alias that is malformed, reserved or taken."""
    _check_names(key=key, alias=alias, name=name, description=description)
    draft = _storable(definition)
    try:
        with transaction.atomic():
            _alone(environment)
            _check_free(environment, own=key, key=key, alias=alias)
            automation = Automation.objects.create(
                environment=environment, key=key, alias=alias, name=name, description=description,
                draft=draft, updated_by=by,
            )  # fmt: skip
            _note("made", automation, after={"name": name, "alias": alias})
            return automation
    except IntegrityError as error:
        raise _taken(environment, key, alias) from error


@retried
def save_draft(
    *,
    environment: Environment,
    key: str,
    definition: Mapping[str, Any],
    by: str,
    revision: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Automation:
    """Replaces the draft, and with `settings` the name, alias and description.

    A `revision` other than the draft's own is refused as stale: somebody saved in between.
    """
    draft = _storable(definition)
    changes = dict(settings or {})
    try:
        with transaction.atomic():
            if changes.get("alias") is not None:
                _alone(environment)  # before the automation, as whoever creates one
            automation = locked(environment, key)
            check_revision(automation, revision)
            before = {name: getattr(automation, name) for name in changes}
            for name, value in changes.items():
                setattr(automation, name, value)
            _check_names(
                key=key, alias=automation.alias, name=automation.name, description=automation.description
            )
            if "alias" in before and automation.alias != before["alias"]:
                _check_free(environment, own=key, alias=automation.alias)
            automation.draft = draft
            automation.draft_revision += 1
            automation.updated_by = by
            automation.save()
            _note_draft(automation, now=database_now())
            _note("changed", automation, before=before, after=changes)
            return automation
    except IntegrityError as error:
        raise _taken(environment, key, changes.get("alias")) from error


def apply(*, environment: Environment, document: object, by: str) -> tuple[Automation, str]:
    """Creates or updates the automation of `{key, alias?, name, definition}` and publishes what changed.

    Gives it with one of: created, updated, unchanged. Refusal with pointers into the document.
    """
    if not isinstance(document, dict):
        raise Refusal.at("", "invalid", "an automation must be an object", kind=No.MALFORMED)
    unknown = set(document) - {"key", "alias", "name", "description", "definition"}
    if unknown:
        raise Refusal.at(f"/{min(unknown)}", "unknown_field", f"“{min(unknown)}” is not known here")
    key, definition = document.get("key"), document.get("definition")
    if not isinstance(key, str) or not isinstance(definition, dict):
        missing = "key" if not isinstance(key, str) else "definition"
        raise Refusal.at(f"/{missing}", "required", f"“{missing}” is required")
    settings: dict[str, Any] = {
        "name": document.get("name") or key,
        "alias": document.get("alias"),
        "description": document.get("description") or "",
    }
    read_definition(definition)  # refused before anything is stored
    automation = Automation.objects.within(environment).filter(key=key).first()
    if automation is None:
        automation = create(environment=environment, key=key, definition=definition, by=by, **settings)
        done = "created"
    elif automation.draft != in_our_words(definition) or any(
        getattr(automation, name) != value for name, value in settings.items()
    ):
        automation = save_draft(
            environment=environment, key=key, definition=definition, by=by, settings=settings
        )
        done = "updated"
    else:
        done = "unchanged"
    publish(environment=environment, key=key, by=by, revision=automation.draft_revision)
    return find(environment=environment, key=key), done


def load_samples() -> list[str]:
    """On a first start, the sample automations, published; their keys. Nothing where automations exist."""
    environment = Environment.objects.get(key=DEFAULT_ENVIRONMENT)
    if Automation.objects.exists():
        return []
    return [apply(environment=environment, document=document, by="samples")[0].key for document in samples()]


def samples() -> list[dict[str, Any]]:
    """The sample automations as `apply` takes them."""
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(SAMPLES.glob("*.json"))]


def _storable(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The draft as given, in our spelling: it may be unfinished, but not unbounded."""
    if len(json.dumps(definition)) > LARGEST_DEFINITION:
        raise Refusal.at("/definition", "too_large", "a definition may have at most 256 KiB")
    return in_our_words(definition)


def _note(what: str, automation: Automation, **said: Mapping[str, Any]) -> None:
    audit(
        f"automation.{what}", of=f"automation/{automation.key}", by=automation.updated_by,
        environment_id=automation.environment_id, **said,
    )  # fmt: skip


def _note_draft(automation: Automation, *, now: datetime) -> None:
    """Once for a sitting, since the editor saves field by field: not where the last that was noted of the automation
    is its draft, saved by the same person within a quarter of an hour. What was changed, the versions tell."""
    actions = ("automation.draft_saved", "automation.published")
    latest = AuditEntry.objects.filter(action__in=actions).order_by("-pk")[:LOOKED_BACK]
    mine = AuditEntry.objects.filter(
        pk__in=latest.values("pk"),
        environment=automation.environment_id,
        object=f"automation/{automation.key}",
    )
    last = mine.order_by("-pk").first()
    same = last is not None and (last.action, last.actor) == (actions[0], automation.updated_by)
    if last is None or not same or now - last.at >= SITTING:
        _note("draft_saved", automation, after={"revision": automation.draft_revision})


def _check_names(*, key: str, alias: str | None, name: str, description: str) -> None:
    problems = []
    if not re.match(KEY_PATTERN, key) or key in RESERVED_KEYS:
        problems.append(
            (
                "/key",
                "a key has up to 100 of a-z 0-9 _ . -, begins with a letter or digit, and is not reserved",
            )
        )
    if alias is not None and (
        not alias.strip() or len(alias) > 255 or alias in RESERVED_KEYS or alias.endswith("/")
    ):
        rule = "an alias is a text of up to 255 characters that does not end in “/” and is not reserved"
        problems.append(("/alias", rule))
    if not name.strip() or len(name) > 200:
        problems.append(("/name", "a name is a text of up to 200 characters"))
    if len(description) > 2000:
        problems.append(("/description", "a description may have at most 2,000 characters"))
    if problems:
        noted = [Problem(pointer=pointer, code="invalid", message=message) for pointer, message in problems]
        raise Refusal(No.INVALID, "invalid", noted[0].message, noted)


def _alone(environment: Environment) -> None:
    """Until the transaction ends, nobody else gives a name in it: no constraint compares keys with aliases."""
    Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)


def _check_free(environment: Environment, *, own: str, key: str | None = None, alias: str | None) -> None:
    """Refusal where a new key is another's alias, which could then no longer be found by it, or a new alias is
    another's key, which could never be. `own` is the key of whose they are to be."""
    others = Automation.objects.within(environment).exclude(key=own)
    if key is not None and others.filter(alias=key).exists():
        raise Refusal.at("/key", "taken", f"another automation has the alias “{key}”")
    if alias is not None and others.filter(key=alias).exists():
        raise Refusal.at("/alias", "taken", f"another automation has the key “{alias}”")


def _taken(environment: Environment, key: str, alias: str | None) -> Refusal:
    by_alias = alias is not None and Automation.objects.within(environment).filter(alias=alias).exclude(
        key=key
    )
    if by_alias:
        return Refusal.at("/alias", "taken", f"another automation has the alias “{alias}”")
    return Refusal.at("/key", "taken", f"there is already an automation “{key}”")
