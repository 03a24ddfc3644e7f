"""Finds what a run follows and how far it has come; definitions are immutable, hence kept once read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from django.db import connection

from automations import timeline
from automations.definition import Definition, parse_kept
from automations.models.automation import Version
from automations.models.invocation import Invocation
from automations.models.kept import ANY_OF, Kept, array
from automations.models.run import Run
from automations.models.statements import fetch

INPUTS_KEPT = 32  # each may have 256 KiB
OWN = "SELECT id, version_id, profile FROM automations_run WHERE id {any_of}"


class Input(NamedTuple):
    """An invocation's data, its own definition if it brought one, and whether its runs pass over delays."""

    data: Any
    definition: Definition | None
    skips_delays: bool


_inputs: dict[int, Input] = {}


def definition_of(*, version_id: int | None, invocation_id: int) -> Definition:
    """What the run follows: its version's definition, else the one its invocation brought."""
    return definition_of_version(version_id) if version_id is not None else _of_invocation(invocation_id)


def inputs_of(invocation_ids: Iterable[int]) -> Mapping[int, Input]:
    """What these invocations brought, by primary key; the last few are kept, since their runs come in crowds."""
    wanted = set(invocation_ids)
    if missing := wanted - _inputs.keys():
        rows = Invocation.objects.filter(pk__in=missing)
        for pk, data, definition, skips in rows.values_list("pk", "data", "definition", "skips_delays"):
            brought = parse_kept(definition) if definition is not None else None
            _inputs[pk] = Input(data, brought, skips)
    found = {pk: _inputs[pk] for pk in wanted}
    while len(_inputs) > INPUTS_KEPT:
        del _inputs[next(iter(_inputs))]
    return found


def own_of(run_ids: Iterable[int]) -> Mapping[int, tuple[int | None, Any]]:
    """What these runs have of their own, by primary key: their version (primary key) and profile."""
    (rows,) = fetch([Kept(OWN.format(any_of=ANY_OF[connection.vendor]), [array(run_ids)])])
    return {pk: (version_id, json.loads(profile)) for pk, version_id, profile in rows}


def definition_of_run(run: Run) -> Definition:
    """What this run follows; costs no statement when read with `with_state()`."""
    if run.version_id is None:
        return parse_kept(run.invocation.definition)
    return parse_kept(run.version.definition) if run.version else definition_of_version(run.version_id)


def steps_of_run(run: Run) -> list[timeline.StepState]:
    """The run's steps as people see them; one statement more than reading the run `with_state()`."""
    return timeline.steps_of(definition=definition_of_run(run), events=run.events.all(), now=_now(run))


def outcomes_of_run(run: Run) -> Mapping[int, str | None]:
    """By fence, what became of the steps that were in flight when the run was called off; at the same cost."""
    return timeline.outcomes_of(run.events.all(), _now(run))


def _now(run: Run) -> timeline.Now:
    live = run.live_run if run.status is None else None
    is_off = live is not None and live.cancellation_id is not None
    return timeline.Now(
        status=run.public_status,
        position=live.position if live else None,
        due_at=run.due_at,
        attempt=live.attempt if live and live.lease_until else 0,
        started_at=live.started_at if live else None,
        ended_at=run.ended_at,
        listed={entry["fence"]: entry["step"] for entry in run.in_flight_at_cancel},
        open=live.open_fences if live is not None and is_off else frozenset(),
    )


@lru_cache(maxsize=512)
def definition_of_version(version_id: int) -> Definition:
    """What was published as that version (primary key), which never changes."""
    return parse_kept(Version.objects.values_list("definition", flat=True).get(pk=version_id))


@lru_cache(maxsize=512)
def _of_invocation(invocation_id: int) -> Definition:
    return parse_kept(Invocation.objects.values_list("definition", flat=True).get(pk=invocation_id))


def forget() -> None:
    """Drops what was kept, for when primary keys begin again (a test that was rolled back)."""
    definition_of_version.cache_clear()
    _of_invocation.cache_clear()
    _inputs.clear()
