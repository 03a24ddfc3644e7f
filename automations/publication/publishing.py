"""Publishing: a draft becomes the version that later invokes follow; runs before keep theirs, or are called off."""

from __future__ import annotations

from django.db import transaction

from automations.cancellation import CancelRequest, carry_out_any_size, complete
from automations.definition import Definition
from automations.models import (
    Automation,
    Cancellation,
    CancellationFilter,
    Environment,
    No,
    Origin,
    Refusal,
    Version,
    audit,
    database_now,
    gate,
    insert,
    listeners_of,
    retried,
)
from automations.publication.reading import read_definition
from automations.testpoints import testpoint

LONGEST_NOTE = 500


@retried
def publish(
    *,
    environment: Environment,
    key: str,
    by: str,
    note: str = "",
    revision: int | None = None,
    again: int | None = None,
) -> Version:
    """The draft, or what the version of number `again` says, as a new version, which every later invoke follows; runs
    under way keep theirs.

    What equals the published version gives that version again. Refusal with pointers for a definition
    that cannot be run, and for a `revision` other than the draft's own: somebody saved in between.
    """
    with transaction.atomic():
        automation = locked(environment, key)
        check_revision(automation, revision)
        return _published(automation, by=by, note=note, again=again)[0]


def publish_and_cancel(
    *,
    environment: Environment,
    key: str,
    by: str,
    note: str = "",
    request_id: str = "",
    revision: int | None = None,
) -> tuple[Version, Cancellation | None]:
    """The same, and every unfinished run of an earlier version is called off by the same commit: with the version
    the cancellation, its receipt whole. Where there is nothing to publish, nothing is called off (None)."""
    for draft in Automation.objects.within(environment).filter(key=key).values_list("draft", flat=True):
        read_definition(draft)  # before the gate closes: an evaluator may keep one waiting, and remembers
    version, cancellation = _publish_and_cancel(
        environment, key, by=by, note=note, request_id=request_id, revision=revision
    )
    if cancellation is not None:
        testpoint("cancel.committed")
        complete(cancellation)
    return version, cancellation


@retried
def _publish_and_cancel(
    environment: Environment, key: str, *, by: str, note: str, request_id: str, revision: int | None
) -> tuple[Version, Cancellation | None]:
    """Behind the exclusive gate, no invoke is half-way: every run there is follows an earlier version, and none of
    those to come does."""
    with gate(environment_id=environment.pk, exclusive=True) as (now, barred, *_):
        automation = locked(environment, key)
        check_revision(automation, revision)
        version, is_new = _published(automation, by=by, note=note)
        if not is_new:
            return version, None
        request = CancelRequest(
            environment=environment,
            filter=CancellationFilter(automation=automation.key, automation_id=automation.pk),
            actor=by, origin=Origin.PUBLISH, request_id=request_id,
        )  # fmt: skip
        return version, carry_out_any_size(request, now=now, barred=barred)


def would_publish(automation: Automation) -> int:
    """The number of the version that publishing the draft would give. Refusal as for publishing."""
    return _next(automation, read_definition(automation.draft))


def _published(
    automation: Automation, *, by: str, note: str, again: int | None = None
) -> tuple[Version, bool]:
    """The locked automation's version, and whether it is new."""
    if len(note) > LONGEST_NOTE:
        raise Refusal.at("/note", "too_long", f"a note may have at most {LONGEST_NOTE} characters")
    definition = read_definition(automation.draft if again is None else _said(automation, again))
    number = _next(automation, definition)
    if (current := automation.published) is not None and current.number == number:
        return current, False
    version = Version.objects.create(
        automation=automation, number=number, definition=dict(definition.source), note=note,
        published_at=database_now(), published_by=by,
    )  # fmt: skip
    environment = automation.environment
    audit(
        "automation.published", of=f"automation/{automation.key}", by=by, environment_id=environment.pk,
        before={"version": current.number if current else None}, after={"version": number, "note": note or None},
    )  # fmt: skip
    insert(listeners_of(definition, environment=environment, automation=automation, version=version))
    automation.published = version
    automation.updated_by = by
    automation.save()
    return version, True


def _said(automation: Automation, number: int) -> object:
    """What that version of it says."""
    version = automation.versions.filter(number=number).first()
    if version is None:
        raise Refusal(No.NOT_FOUND, "version_not_found", f"“{automation.key}” has no version {number}")
    return version.definition


def _next(automation: Automation, definition: Definition) -> int:
    current = automation.published
    if current is None:
        return 1
    return current.number if current.definition == dict(definition.source) else current.number + 1


def locked(environment: Environment, key: str) -> Automation:
    """The automation, locked until the transaction ends."""
    automation = Automation.objects.within(environment).select_for_update().filter(key=key).first()
    if automation is None:
        raise Refusal(No.NOT_FOUND, "automation_not_found", f"there is no automation “{key[:100]}”")
    return automation


def check_revision(automation: Automation, revision: int | None) -> None:
    """Refusal when it is given and not the draft's own: somebody saved in between."""
    if revision is not None and revision != automation.draft_revision:
        message = f"the draft is at revision {automation.draft_revision}, not {revision}"
        raise Refusal(No.STALE, "stale_draft", message)
