"""What an invoke asks for, and what it is prepared into: plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from automations import machine
from automations.definition import Definition
from automations.expressions import Scope
from automations.models import Automation, Cancellation, Environment, Event, EventKind, Run
from automations.models.statements import New

MOST_RECIPIENTS = 1_000
LARGEST_PROFILES = 10 * 1024 * 1024  # bytes of the profiles of all runs, each of which is stored with one
LISTED = 100
KEY_KEPT = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """Whom a run is for: an id, or None, and the profile that came with it, which is stored as well."""

    id: str | None = None
    profile: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class InvokeRequest:
    """A request to run an automation by name (`by_alias`: also by alias), or the steps it brought itself.

    `strict` says how a brought definition is read. `data` and profiles are JSON objects; `profile` is for the runs
    alone, laid over what is stored of their recipients. `performer` is who did what the runs are about, an id like a
    recipient's; `acquaintances` are others of whom the request tells, stored as recipients are; `addresses` are pairs
    of a recipient and an address of theirs, to find the recipient by; `request_id` is what a repeated request is told;
    with `skips_delays` its runs pass over their delays.
    """

    environment: Environment
    actor: str
    source: str
    dialect: str
    automation: str | None = None
    by_alias: bool = False
    definition: object = None
    strict: bool = True
    recipients: Sequence[Recipient] = (Recipient(),)
    data: Mapping[str, Any] = field(default_factory=dict)
    profile: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    tags: Sequence[str] = ()
    tenant: str | None = None
    performer: str | None = None
    acquaintances: Sequence[Recipient] = ()
    addresses: Sequence[tuple[str, str]] = ()
    request_id: str | None = None
    skips_delays: bool = False
    idempotency_key: str | None = None
    fingerprint: str | None = None
    key_kept: timedelta = KEY_KEPT

    @property
    def owner(self) -> str:
        """Whose expressions these are: one caller's endless script neither blocks nor breaks another's."""
        return f"{self.environment.pk}/{self.actor}"


@dataclass(frozen=True, kw_only=True)
class RunDraft:
    """A run before it is stored, its token resolved for good. `held_by` calls it off where it is born."""

    uid: UUID
    recipient: str | None
    scope: Scope
    token: str | None
    token_error: str = ""
    concurrency_key: str | None = None
    held_by: Cancellation | None = None

    @property
    def exclusive_key(self) -> str | None:
        """The key by which it makes others give way; one that is called off where it is born makes nobody."""
        return None if self.held_by is not None else self.concurrency_key


@dataclass(frozen=True, kw_only=True)
class Replay:
    """The finished run that another one repeats from `start` on, and what came of its steps before that:
    `carried` gives by name their outcome (completed, skipped or failed), output and error."""

    run: Run
    start: str = machine.START
    carried: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def events(self, run: New, *, actor: str, now: datetime) -> list[Event]:
        """What both logs say of it, beside the `invoked` event of the new `run`."""
        carried = [
            Event(
                run_id=run.pk,
                at=now,
                kind=EventKind.CARRIED,
                step=step,
                data={**data, "run": str(self.run.uid)},
            )
            for step, data in self.carried.items()
        ]
        told = {"run": str(run.uid), "from_step": int(self.start), "actor": actor}
        return [*carried, Event(run=self.run, at=now, kind=EventKind.REPLAYED, data=told)]


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A request checked and ready to be stored. `now` is the clock (UTC) it was prepared by; `identified` gives, by
    recipient, what the request says of them that is not stored yet. `presumes_no_profiles` says that nothing was
    looked up of them, since nothing was stored of anybody. `parent_id` is the run whose step asks for it."""

    request: InvokeRequest
    automation: Automation | None
    definition: Definition
    runs: tuple[RunDraft, ...]
    now: datetime
    replay: Replay | None = None
    parent_id: int | None = None
    identified: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    presumes_no_profiles: bool = False

    @property
    def version_id(self) -> int | None:
        if self.replay is not None:
            return self.replay.run.version_id
        return self.automation.published_id if self.automation is not None else None

    @property
    def start(self) -> str:
        """The position of the first step."""
        return machine.START if self.replay is None else self.replay.start
