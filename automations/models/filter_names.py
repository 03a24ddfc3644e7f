"""What a filter names otherwise than the records do, looked up: of runs and invocations their primary keys."""

from __future__ import annotations

from django.db import connection

from automations.models.cancellation import uid_parameter
from automations.models.cancellation_filter import CancellationFilter
from automations.models.kept import ANY_OF, Kept, text_array
from automations.models.statements import fetch

# Written out, since cancels wait for it (docs/decisions/0003-raw-statements.md).
RUNS = "SELECT id FROM automations_run WHERE environment_id = %s AND uid {any_of} ORDER BY id"
INVOCATIONS = "SELECT id FROM automations_invocation WHERE environment_id = %s AND {named} ORDER BY id"


def keys_named(scope: CancellationFilter, *, environment_id: int) -> dict[str, tuple[int, ...]]:
    """What `run_pks` and `invocation_pks` have to be, where the scope names runs or invocations; what is unknown in
    the environment names none. One round trip, none where there is nothing to look up."""
    wanted: dict[str, Kept] = {}
    if scope.run_ids and scope.run_pks is None:
        uids = [str(uid_parameter(uid)) for uid in scope.run_ids]
        text = RUNS.format(any_of=ANY_OF[connection.vendor])
        wanted["run_pks"] = Kept(text, [environment_id, text_array(uids)])
    named = {
        "uid = %s": scope.invocation and uid_parameter(scope.invocation),
        "idempotency_key = %s": scope.idempotency_key,
    }
    given = {text: value for text, value in named.items() if value is not None}
    if given:
        text = INVOCATIONS.format(named=" AND ".join(given))
        wanted["invocation_pks"] = Kept(text, [environment_id, *given.values()])
    found = fetch(list(wanted.values())) if wanted else []
    return {name: tuple(pk for (pk,) in rows) for name, rows in zip(wanted, found, strict=True)}
