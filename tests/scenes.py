"""Short ways to bring about the situations that tests of the protocol start from; only real calls, no fakes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from automations import execution, publication
from automations.cancellation import CancelRequest, cancel
from automations.execution import Accepted, Done, Task
from automations.invocation import InvokeRequest, Recipient
from automations.models import (
    Cancellation,
    CancellationFilter,
    Environment,
    LiveRun,
    Origin,
    Run,
    database_now,
)

SEND: dict[str, Any] = {
    "action": "send",
    "message": {"content": {"title": "Hi", "body": "Hello {{data.user_id}}"}},
}
DELAY: dict[str, Any] = {"action": "delay", "duration": "1 hour"}


def production() -> Environment:
    return Environment.objects.get(key="production")


def invoke(*steps: dict[str, Any], token: str | None = None, **given: Any) -> Accepted:
    """An accepted ad hoc invocation of these steps; `token` is the definition's expression."""
    definition: dict[str, Any] = {"steps": list(steps)}
    if token is not None:
        definition["cancellation_token"] = token
    recipients = [Recipient(id=name) for name in given.pop("recipients", [])] or [Recipient()]
    request = {
        "environment": production(), "actor": "key/test", "source": "api/test", "dialect": "native",
        "definition": definition, "recipients": recipients, "data": {"user_id": "u1"}, **given,
    }  # fmt: skip
    return execution.accept(InvokeRequest(**request))


def run_of(accepted: Accepted, index: int = 0) -> Run:
    """The invocation's run, as a page reads it."""
    return Run.objects.with_state().get(uid=accepted.runs[index]["id"])


def run_of_uid(uid: str) -> Run:
    """The run of that public id, as a page reads it."""
    return Run.objects.with_state().get(uid=uid)


def read(run: Run) -> Run:
    """The run as a page reads it now."""
    return Run.objects.with_state().get(pk=run.pk)


def status(run: Run) -> str:
    """The run's public status, read anew."""
    return read(run).public_status


def statuses() -> list[str]:
    """The public statuses of all runs, in order."""
    return sorted(run.public_status for run in Run.objects.with_state())


def publish(key: str, definition: dict[str, Any], **given: Any) -> None:
    publication.create(
        environment=production(),
        key=key,
        name=given.pop("name", key),
        definition=definition,
        by="test",
        **given,
    )
    publication.publish(environment=production(), key=key, by="test")


def start(room: int = 64, environment: Environment | None = None) -> list[Task]:
    """Starts what is due."""
    return execution.turn(environment=environment or production(), done=[], room=room)


def finish(*done: Done, room: int = 0) -> list[Task]:
    return execution.turn(environment=production(), done=done, room=room)


def work_off() -> int:
    """Starts, performs and finishes until nothing is due; how many tasks there were."""
    count = 0
    while tasks := start():
        finish(*[execution.perform(task) for task in tasks])
        count += len(tasks)
    return count


def make_due(*runs: Run) -> datetime:
    """Moves the due time of waiting runs to now: tests move due times, never the clock."""
    now = database_now() - timedelta(milliseconds=1)
    LiveRun.objects.filter(pk__in=[run.pk for run in runs]).update(due_at=now)
    return now


def keep_house() -> None:
    """Rounds of housekeeping until it says that there is no more to do: a round has a twentieth of a second."""
    while execution.keep_house(production()):
        pass


def expire_leases() -> None:
    """As if every lease had run out a second ago."""
    LiveRun.objects.filter(lease_until__isnull=False).update(
        lease_until=database_now() - timedelta(seconds=1)
    )


def cancel_runs(
    *,
    reason: str = "",
    origin: Origin = Origin.API,
    hold_for: timedelta | None = None,
    undo_for: timedelta | None = None,
    actor: str = "user/ana",
    **fields: Any,
) -> Cancellation:
    """The cancellation of a filter."""
    scope = CancellationFilter(**fields)
    request = CancelRequest(
        environment=production(), filter=scope, actor=actor, origin=origin, reason=reason,
        hold_for=hold_for, undo_for=undo_for,
    )  # fmt: skip
    return cancel(request)[0]


def archive_all() -> None:
    """Housekeeping until every cancelled run is history."""
    while Cancellation.objects.filter(archived_at__isnull=True).exists():
        execution.keep_house(production())
