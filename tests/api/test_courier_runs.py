"""Courier's lists of runs and of their steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from automations.api.moments import stamp
from automations.models import LiveRun, Run
from automations.models.uid import first_uid
from tests.api.conftest import Caller, courier_refused, decoded
from tests.scenes import DELAY, SEND, cancel_runs, invoke, publish, run_of, start, work_off

pytestmark = pytest.mark.django_db
PATH = "/automations/runs"


def found(api: Caller, query: str) -> list[str]:
    return [run["run_id"] for run in api.get(f"{PATH}?{query}")["runs"]]


def test_a_run_is_listed_in_couriers_words(api: Caller) -> None:
    publish("trial", {"steps": [DELAY]}, alias="tmpl-1")
    uid = decoded(api.post("/automations/tmpl-1/invoke", {"recipient": None}))["runId"]
    response = api.send("GET", PATH)
    assert response["Content-Type"] == "application/json"
    assert decoded(response) == {
        "runs": [
            {
                "run_id": uid, "status": "WAITING", "source": ["invoke/tmpl-1"], "template_id": "trial",
                "created_at": stamp(Run.objects.get().created_at),
            }
        ]
    }  # fmt: skip


def test_a_run_without_a_template_names_none(api: Caller) -> None:
    run = run_of(invoke(DELAY))
    assert api.get(PATH)["runs"] == [
        {
            "run_id": str(run.uid),
            "status": "WAITING",
            "source": ["api/test"],
            "created_at": stamp(run.created_at),
        }
    ]


@pytest.fixture
def runs() -> dict[str, str]:
    """One run of every status, by Courier's word."""
    made = {
        "PROCESSED": run_of(invoke(SEND)),
        "ERROR": run_of(invoke({"action": "delay", "duration": "${1}"})),
        "THROTTLED": run_of(invoke(SEND)),
        "NOT PROCESSED": run_of(invoke(SEND)),
    }
    work_off()
    for word, reason in (("THROTTLED", "throttled"), ("NOT PROCESSED", "conditions_not_met")):
        Run.objects.filter(pk=made[word].pk).update(status="skipped", status_reason=reason)
    made["PROCESSING"] = run_of(invoke(SEND))
    start()
    made["WAITING"], made["CANCELED"] = run_of(invoke(DELAY)), run_of(invoke(DELAY))
    cancel_runs(run_ids=(made["CANCELED"].uid,))
    return {word: str(run.uid) for word, run in made.items()}


def test_every_status_has_couriers_word(api: Caller, runs: dict[str, str]) -> None:
    assert {run["run_id"]: run["status"] for run in api.get(PATH)["runs"]} == {
        uid: word for word, uid in runs.items()
    }


def test_runs_are_found_by_couriers_words(api: Caller, runs: dict[str, str]) -> None:
    for word in ("WAITING", "PROCESSING", "PROCESSED", "ERROR", "CANCELED"):
        assert found(api, f"status={word}") == [runs[word]]
    assert found(api, "status=THROTTLED") == [runs["NOT PROCESSED"], runs["THROTTLED"]]
    assert found(api, "status=PROCESSED%2C CANCELED ,WAITING") == [
        runs["CANCELED"],
        runs["WAITING"],
        runs["PROCESSED"],
    ]
    assert found(api, "status=BRAND NEW") == []
    assert found(api, "status=BRAND NEW,ERROR") == [runs["ERROR"]]
    assert len(found(api, "status=")) == len(runs)


def test_runs_are_found_by_template(api: Caller) -> None:
    ids = {}
    for key in ("a", "b", "c"):
        publish(key, {"steps": [DELAY]}, alias=f"Alias-{key}")
        ids[key] = decoded(api.post(f"/automations/{key}/invoke", {}))["runId"]
    assert found(api, "template_id=a") == [ids["a"]]
    assert found(api, "template_id=Alias-c,a") == [ids["c"], ids["a"]]
    assert found(api, "template_id=nobody") == []


def test_runs_are_found_by_inclusive_dates(api: Caller) -> None:
    at = datetime(2026, 11, 20, 14, 2, 11, 204_567, UTC)
    ids = []
    for moment in (at, at + timedelta(days=1)):
        run = run_of(invoke(DELAY))
        ids.append(UUID(int=first_uid(moment).int + run.pk))
        Run.objects.filter(pk=run.pk).update(created_at=moment, uid=ids[-1])
    first, second = map(str, ids)
    assert found(api, "start_date=2026-11-20") == [second, first]
    assert found(api, "start_date=2026-11-21") == [second]
    assert found(api, "end_date=2026-11-20") == [first]
    assert found(api, "end_date=2026-11-19") == []
    assert found(api, "start_date=2026-11-20T14:02:11.204Z&end_date=2026-11-20T14:02:11.204Z") == [first]
    assert found(api, "start_date=2026-11-20T15:02:11.205%2B01:00&end_date=2026-11-20") == []


@pytest.mark.parametrize(
    "date",
    [
        "yesterday",
        "2026-13-01",
        "20-11-2026",
        "1763647331",
        "%00",
        "x" * 200,
        "20261120",
        "2026-W47-5",
        "2026-W47",
    ],
)
def test_any_other_date_is_a_400(api: Caller, date: str) -> None:
    for name in ("start_date", "end_date"):
        status, kind, message = courier_refused(api.send("GET", f"{PATH}?{name}={date}"))
        assert (status, kind, message[-len(name) - 3 :]) == (400, "invalid_request_error", f"(/{name})")


def test_the_limit_is_clamped_and_the_last_page_has_no_cursor(api: Caller) -> None:
    invoke(DELAY, recipients=[f"u{n}" for n in range(52)])
    counts = {
        "": 20,
        "limit=": 20,
        "limit=ten": 20,
        "limit=1.5": 20,
        "limit=0": 1,
        "limit=-5": 1,
        "limit=51": 50,
        "limit=99999999999": 50,
        "limit=7": 7,
    }
    for query, count in counts.items():
        assert (query, len(found(api, query))) == (query, count)
    first = api.get(f"{PATH}?limit=50")
    last = api.get(f"{PATH}?limit=50&cursor={first['next_cursor']}")
    assert (len(last["runs"]), "next_cursor" in last) == (2, False)
    assert not {run["run_id"] for run in first["runs"]} & {run["run_id"] for run in last["runs"]}


def test_a_cursor_from_elsewhere_is_a_400(api: Caller) -> None:
    assert courier_refused(api.send("GET", f"{PATH}?cursor=!"))[0] == 400


def test_a_parameter_that_is_not_known_is_ignored(api: Caller) -> None:
    assert api.get(f"{PATH}?shiny=1") == {"runs": []}


@pytest.mark.parametrize("count", [1, 3])
def test_a_list_of_any_length_costs_three_statements(
    api: Caller, count: int, django_assert_num_queries: Any
) -> None:
    publish("trial", {"steps": [DELAY]})
    for _ in range(count):
        decoded(api.post("/automations/trial/invoke", {}))
    with django_assert_num_queries(3):
        assert len(found(api, "status=WAITING,ERROR&template_id=trial")) == count


def test_the_steps_reached_are_listed_in_couriers_words(api: Caller) -> None:
    steps = [{"id": "hello", **SEND}, {**SEND, "if": "false"}, DELAY, SEND]
    run = run_of(invoke(*steps))
    work_off()
    listed = api.get(f"{PATH}/{run.uid}/steps")["steps"]
    assert [(step["action"], step["status"], step["step_id"]) for step in listed] == [
        ("send", "PROCESSED", "hello"), ("send", "SKIPPED", "1"), ("delay", "WAITING", "2"),
    ]  # fmt: skip
    assert all(step["created_at"] <= step["updated_at"] for step in listed)
    cancel_runs(run_ids=(run.uid,))
    listed = api.get(f"{PATH}/{run.uid}/steps")["steps"]
    assert [step["status"] for step in listed] == ["PROCESSED", "SKIPPED", "CANCELED", "CANCELED"]
    assert set(listed[3]) == {"action", "status", "step_id"}


def test_a_step_that_runs_or_failed_says_so(api: Caller) -> None:
    broken = run_of(invoke({"action": "delay", "duration": "${1}"}))
    assert [step["status"] for step in api.get(f"{PATH}/{broken.uid}/steps")["steps"]] == ["ERROR"]
    run = run_of(invoke(SEND))
    start()
    assert LiveRun.objects.get(pk=run.pk).state == "running"
    assert [step["status"] for step in api.get(f"{PATH}/{run.uid}/steps")["steps"]] == ["PROCESSING"]


@pytest.mark.parametrize(
    "uid", ["1-65f240a0-47a6a120c8374de9bcf9f22c", "0199d3f2-0000-7000-8000-000000000001", "%00", "x" * 300]
)
def test_a_run_that_is_not_there_is_not_found(api: Caller, uid: str) -> None:
    expected = (404, "invalid_request_error", "Run not found")
    assert courier_refused(api.send("GET", f"{PATH}/{uid}/steps")) == expected
