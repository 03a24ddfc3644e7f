"""How holds are found: by an index, whatever else was ever cancelled."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from automations.definition import CANNOT_HOLD
from automations.models import Cancellation, CancellationFilter, Newborn, database_now
from automations.models.gate import HOLDS, gate
from tests.models.crowd import analyse, bars
from tests.scenes import cancel_runs, production

pytestmark = pytest.mark.django_db


@pytest.fixture
def history() -> None:
    """Many a cancellation that held nothing."""
    bars(production(), standing=0, swept=2_000, now=database_now())
    analyse()


def plan_of(statement: str, *given: Any) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' if connection.vendor == 'sqlite' else ''}{statement}", given)
        return " ".join(str(part) for row in cursor.fetchall() for part in row)


def test_whether_any_stand_is_asked_of_an_index(history: None) -> None:
    assert "cancellation_holds" in plan_of(f"SELECT {HOLDS}", 1)


def test_those_over_a_run_are_found_by_an_index(history: None) -> None:
    run = Newborn("t", "k", "r", 7, "s", "acme", ["x"], database_now())
    assert run.bars == {
        "all", "label:t", "label:k", "key:k", "recipient:r", "automation:7", "source:s", "tenant:acme",
    }  # fmt: skip
    asked = Cancellation.objects.filter(
        environment=1, hold_until__gte=run.created_at, undone_at=None, bar__in=sorted(run.bars)
    )
    statement, given = asked.query.sql_with_params()
    plan = asked.explain() if connection.vendor == "sqlite" else plan_of(statement, *given)
    assert "cancellation_holds" in plan
    assert "SCAN automations_cancellation" not in plan


def test_only_what_bears_runs_is_told_of_holds() -> None:
    environment = production().pk
    for hold_for, told in ((None, False), (timedelta(hours=1), True)):
        cancel_runs(token="t", hold_for=hold_for)
        with (
            gate(environment_id=environment, bears=True) as bearing,
            gate(environment_id=environment) as other,
        ):
            assert (bearing.holds, other.holds) == (told, False)


def test_every_field_of_a_filter_is_asked_of_what_a_run_is_born_with_or_cannot_hold() -> None:
    now = database_now()
    run = Newborn("t", "k", "r", 7, "s", "acme", ["x"], now)
    mine: dict[str, Any] = {
        "token": "t", "key": "k", "recipients": ("r",), "automation": "a", "automation_id": 7, "source": "s",
        "tenant": "acme", "tags": ("x",), "created_after": now, "everything": True, "not_invocation_id": 5,
    }  # fmt: skip
    assert CancellationFilter(**mine).matches(run)
    assert {CancellationFilter(**{name: value}).bar for name, value in mine.items()} <= run.bars
    looked_up = {"run_pks", "invocation_pks", "up_to"}
    assert {field.name for field in fields(CancellationFilter)} == {*mine, *CANNOT_HOLD, *looked_up}
    others = {"token": "u", "key": "u", "recipients": ("u",), "automation_id": 8, "source": "u", "tenant": "u",
              "tags": ("u",), "created_after": now + timedelta(seconds=1)}  # fmt: skip
    for name, other in others.items():
        assert not CancellationFilter(**{**mine, name: other}).matches(run)
