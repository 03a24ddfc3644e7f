"""Makes a million waiting runs in a minute: rows by one statement for each table, as invokes would leave them."""

from __future__ import annotations

from django.db import connection

from automations.models import Environment, Invocation, Run, database_now

ROWS = {
    "postgresql": "SELECT n, ('018f0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS uid, {token} AS token,"
    " now() AS created_at, now() + interval '1 day' + n * interval '1 second' AS due_at"
    " FROM generate_series(0, {last}) AS n",
    "sqlite": "WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < {last})"
    " SELECT n, printf('018f0000000070008000%%012x', n) AS uid, {token} AS token, datetime('now') AS created_at,"
    " datetime('now', '+1 day', '+' || n || ' seconds') AS due_at FROM number",
}
RUNS = """
INSERT INTO automations_run (id, uid, environment_id, invocation_id, recipient, profile, source, token, token_error,
                             status_reason, has_errors, created_at)
SELECT %s + n, uid, %s, %s, 'r' || n, '{{}}', 'bench', token, '', '', false, created_at FROM ({rows}) made
"""
LIVE = """
INSERT INTO automations_liverun (run_id, uid, environment_id, invocation_id, recipient, source, token, created_at,
                                 due_at, state, position, attempt, fence)
SELECT %s + n, uid, %s, %s, 'r' || n, 'bench', token, created_at, due_at, 'waiting', '1', 0, 0 FROM ({rows}) made
"""


def fill(amount: int, *, token: str) -> int:
    """So many runs of one invocation that wait for a day; `token` is an SQL expression of n, which counts from 0.
    The primary key of the first."""
    environment = Environment.objects.get(key="production")
    invocation = Invocation.objects.create(
        environment=environment, source="bench", dialect="native", actor="bench", run_count=amount,
        definition={"steps": [{"action": "delay", "duration": "1 day"}]}, created_at=database_now(), answer=[],
    )  # fmt: skip
    first = Run.objects.newest_pk() + 1
    rows = ROWS[connection.vendor].format(token=token, last=amount - 1)
    with connection.cursor() as cursor:
        for statement in (RUNS, LIVE):
            cursor.execute(statement.format(rows=rows), [first, environment.pk, invocation.pk])
        if connection.vendor == "postgresql":
            cursor.execute("SELECT setval('automations_run_id_seq', %s)", [first + amount])
    return first


def vacuum() -> None:
    """Leaves PostgreSQL's tables as compact as they were, and its planner with the truth."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
