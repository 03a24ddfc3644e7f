"""Prepares a database for a chaos run and reads at the end what the run left in it; runs beside the product."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import django

# Every change of a run's state, in the order of the writes. `finish`: a worker wrote back what it had done.
AUDIT = {
    "postgresql": [
        """
CREATE TABLE chaos_audit (
    id bigserial PRIMARY KEY, run text, kind text, old text, new text, at double precision, finish boolean
)""",
        """
CREATE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb := to_jsonb(OLD);
    after jsonb := to_jsonb(NEW);
    old_state text := before->>TG_ARGV[1];
    new_state text := after->>TG_ARGV[1];
BEGIN
    IF old_state IS DISTINCT FROM new_state THEN
        INSERT INTO chaos_audit (run, kind, old, new, at, finish) VALUES (
            coalesce(after, before)->>'uid', TG_ARGV[0], old_state, new_state,
            extract(epoch from clock_timestamp()),
            coalesce(old_state = 'running' AND (new_state IS NULL OR new_state = 'waiting'
                AND after->'unsettled' IS NOT DISTINCT FROM before->'unsettled'), false)
        );
    END IF;
    RETURN NULL;
END $$""",
        """
CREATE TRIGGER chaos_note AFTER INSERT OR UPDATE OR DELETE ON automations_liverun
FOR EACH ROW EXECUTE FUNCTION chaos_note('live', 'state')""",
        """
CREATE TRIGGER chaos_note AFTER UPDATE ON automations_run
FOR EACH ROW EXECUTE FUNCTION chaos_note('run', 'status')""",
    ],
    "sqlite": [
        """
CREATE TABLE chaos_audit (
    id integer PRIMARY KEY, run text, kind text, old text, new text, finish integer,
    at real DEFAULT ((julianday('now') - 2440587.5) * 86400.0)
)""",
        """
CREATE TRIGGER chaos_born AFTER INSERT ON automations_liverun BEGIN
    INSERT INTO chaos_audit (run, kind, old, new, finish) VALUES (NEW.uid, 'live', NULL, NEW.state, 0);
END""",
        """
CREATE TRIGGER chaos_moved AFTER UPDATE OF state ON automations_liverun WHEN OLD.state <> NEW.state BEGIN
    INSERT INTO chaos_audit (run, kind, old, new, finish) VALUES (
        NEW.uid, 'live', OLD.state, NEW.state,
        OLD.state = 'running' AND NEW.state = 'waiting' AND OLD.unsettled IS NEW.unsettled
    );
END""",
        """
CREATE TRIGGER chaos_gone AFTER DELETE ON automations_liverun BEGIN
    INSERT INTO chaos_audit (run, kind, old, new, finish)
    VALUES (OLD.uid, 'live', OLD.state, NULL, OLD.state = 'running');
END""",
        """
CREATE TRIGGER chaos_status AFTER UPDATE OF status ON automations_run WHEN OLD.status IS NOT NEW.status BEGIN
    INSERT INTO chaos_audit (run, kind, old, new, finish)
    VALUES (NEW.uid, 'run', OLD.status, NEW.status, 0);
END""",
    ],
}


def prepare() -> None:
    """Tables, the audit, and an API key, which is printed."""
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0, interactive=False)
    with connection.cursor() as cursor:
        for statement in AUDIT[connection.vendor]:
            cursor.execute(statement)
    call_command("create_api_key", "chaos", "--scopes", "read,invoke,cancel,write,admin")


def collect(file: Path, *, patience: float) -> None:
    """Waits until no run is left to carry on, at most `patience` seconds, and writes what the checker reads."""
    from django.db import connection, transaction

    from automations.models import Cancellation, LiveRun

    until = time.monotonic() + patience
    undone = Cancellation.objects.exclude(undone_at=None).filter(restored_at=None)
    while (LiveRun.objects.exists() or undone.exists()) and time.monotonic() < until:
        time.sleep(0.1)
    drained = time.monotonic()
    with transaction.atomic():  # one look at all tables, should anything still move
        if connection.vendor == "postgresql":
            connection.cursor().execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        file.write_text(json.dumps({"drained": drained, **_rows()}))


def _rows() -> dict[str, list[dict[str, Any]]]:
    from django.db import connection

    from automations.models import Cancellation, Run

    fields = (
        "uid", "token", "key", "source", "status", "status_reason", "created_at", "finished_at",
        "cancellation_id", "live__state", "automation__key", "parent__uid",
    )  # fmt: skip
    told = (
        "id", "token", "key", "source", "status", "reason", "created", "finished", "cancellation", "live", "automation",
        "parent",
    )  # fmt: skip
    runs = [dict(zip(told, row, strict=True)) for row in Run.objects.values_list(*fields)]
    for run in runs:
        run |= {
            "id": str(run["id"]),
            "created": _seconds(run["created"]),
            "finished": _seconds(run["finished"]),
        }
        run |= {name: run[name] and str(run[name]) for name in ("cancellation", "parent")}
    cancellations = [
        {
            "id": str(row.pk), "actor": row.actor, "runs": row.cancelled_run_ids, "in_flight": row.in_flight,
            "filter": row.filter, "as_of": _seconds(row.as_of), "until": _seconds(row.hold_until),
            "undone": row.undone_at is not None, "bar": row.as_of_run is not None,
        }
        for row in Cancellation.objects.all()
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SELECT run, kind, old, new, at, finish FROM chaos_audit ORDER BY id")
        names = ("run", "table", "old", "new", "at", "finish")
        audit = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    for row in audit:
        row["run"] = str(UUID(row["run"]))
    return {"runs": runs, "cancellations": cancellations, "audit": audit}


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


if __name__ == "__main__":
    django.setup()
    if sys.argv[1] == "prepare":
        prepare()
    else:
        collect(Path(sys.argv[1]), patience=float(sys.argv[2]))
