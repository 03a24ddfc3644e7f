"""Holds over the native API: `hold_for` beside a cancel, what it refuses, and how it is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automations.api.moments import stamp
from automations.models import Cancellation, Run
from tests.api.conftest import Caller, decoded, refused
from tests.scenes import DELAY, invoke, status

pytestmark = pytest.mark.django_db
PATH = "/api/v1/cancellations"
INVOKE: dict[str, Any] = {"definition": {"cancellation_token": "t", "steps": [DELAY]}}


def test_runs_accepted_later_are_answered_as_cancelled_and_counted(api: Caller) -> None:
    answer = decoded(api.post(PATH, {"filter": {"token": "t"}, "hold_for": "10 minutes"}))
    row = Cancellation.objects.get()
    assert (answer["matched"], answer["cancelled"], answer["settled"]) == (0, 0, True)
    assert row.hold_until == row.as_of + timedelta(minutes=10)
    told = decoded(api.post("/api/v1/invocations", {**INVOKE, "recipients": ["a", "b"]}), 201)
    assert [run["status"] for run in told["runs"]] == ["cancelled", "cancelled"]
    hold = {"until": stamp(row.hold_until), "held": 2}
    assert api.get(f"{PATH}/{row.pk}") == {**answer, "hold": hold}
    run = api.get(f"/api/v1/runs/{told['runs'][0]['id']}")
    assert (run["status"], run["status_reason"], run["cancellation"]["id"], run["finished_at"]) == (
        "cancelled", "held_by_cancellation", str(row.pk), run["created_at"],
    )  # fmt: skip
    rolled_up = api.get(f"/api/v1/invocations/{told['id']}")
    assert (rolled_up["status"], rolled_up["counts"]) == ("cancelled", {"cancelled": 2})
    why = api.get(f"/api/v1/runs/{run['id']}/explain-cancel?cancellation={row.pk}")
    assert "while it held" in str(why)


def test_repeating_it_gives_the_same_receipt_and_hold(api: Caller) -> None:
    body = {"filter": {"token": "t"}, "hold_for": "1 hour"}
    first, again = (api.post(PATH, body, Idempotency_Key="k") for _ in range(2))
    assert (again["Idempotent-Replayed"], decoded(first)) == ("true", decoded(again))
    assert Cancellation.objects.count() == 1
    other = api.post(PATH, {**body, "hold_for": "2 hours"}, Idempotency_Key="k")
    assert refused(other) == (422, "idempotency_key_reused", [("", "idempotency_key_reused")])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        *(
            ({"filter": {"token": "t"}, "hold_for": given}, (422, code, [("/hold_for", code)]))
            for given, code in [
                ("25 hours", "invalid_duration"),
                ("0 seconds", "invalid_duration"),
                ("soon", "invalid_duration"),
                ("P1M", "invalid_duration"),
                ("", "invalid"),
                (600, "invalid"),
                ({}, "invalid"),
            ]
        ),
        *(
            (
                {"filter": {"token": "t", name: given}, "hold_for": "1 hour"},
                (422, "cannot_hold", [(f"/filter/{name}", "cannot_hold")]),
            )
            for name, given in {
                "run_ids": ["0193f1c2-0000-7000-8000-000000000001"],
                "invocation": "0193f1c2-0000-7000-8000-000000000001",
                "idempotency_key": "i",
                "created_before": "2027-01-01",
                "due_before": "2027-01-01",
                "due_after": "2026-01-01",
            }.items()
        ),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_what_cannot_be_held(api: Caller, body: Any, expected: Any, dry_run: bool) -> None:
    run = invoke(DELAY, token="t")
    assert refused(api.post(PATH, {**body, "dry_run": dry_run})) == expected
    assert Cancellation.objects.count() == 0
    assert status(Run.objects.get(uid=run.runs[0]["id"])) == "waiting"


def test_a_dry_run_and_its_plan_may_hold(api: Caller) -> None:
    invoke(DELAY, token="t")
    body = {"filter": {"token": "t"}, "hold_for": "1 hour"}
    plan = decoded(api.post(PATH, {**body, "dry_run": True}))["plan"]
    assert Cancellation.objects.count() == 0
    assert decoded(api.post(PATH, {"plan": plan, "hold_for": "1 hour"}))["cancelled"] == 1
    assert decoded(api.post("/api/v1/invocations", INVOKE), 201)["runs"][0]["status"] == "cancelled"


def test_a_cancel_step_is_refused_with_pointers_when_it_is_published(api: Caller) -> None:
    step = {"action": "cancel", "filter": {"tags": [], "due_before": "soon"}, "hold_for": "2 days"}
    api.post("/api/v1/automations", {"key": "k", "name": "n", "definition": {"steps": [step]}})
    code, _, problems = refused(api.post("/api/v1/automations/k/publish", {}))
    assert (code, [pointer.rpartition("/steps/0/")[2] for pointer, _ in problems]) == (
        422, ["filter/due_before", "filter/tags", "hold_for"],
    )  # fmt: skip
