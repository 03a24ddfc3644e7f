"""Courier's lists of journeys' runs and of their nodes, and what the surface of automations does not show."""

from __future__ import annotations

from typing import Any

import pytest

from automations.api.moments import stamp
from automations.models import Run, run_search
from tests.api.conftest import Caller, courier_refused, decoded
from tests.scenes import (
    DELAY,
    SEND,
    cancel_runs,
    invoke,
    make_due,
    publish,
    read,
    run_of,
    run_of_uid,
    work_off,
)

pytestmark = pytest.mark.django_db
PATH = "/journeys/runs"
NOT_FOUND = (404, "invalid_request_error", "Run not found")


@pytest.fixture(autouse=True)
def _journey(api: Caller) -> None:
    publish("welcome", {"steps": [{"id": "nap", **DELAY}, {"id": "hello", **SEND}]})


def journey(api: Caller) -> Run:
    return run_of_uid(decoded(api.post("/journeys/welcome/invoke", {"user_id": "u"}), 202)["runId"])


def automation(api: Caller) -> Run:
    return run_of_uid(decoded(api.post("/automations/welcome/invoke", {}))["runId"])


def found(api: Caller, query: str = "") -> list[str]:
    return [run["run_id"] for run in api.get(f"{PATH}?{query}")["runs"]]


def test_a_run_is_shown_in_couriers_words(api: Caller) -> None:
    run = journey(api)
    item = {
        "run_id": str(run.uid), "status": "WAITING", "source": ["invoke/welcome"], "template_id": "welcome",
        "created_at": stamp(run.created_at),
    }  # fmt: skip
    assert api.get(PATH) == {"runs": [item]}
    assert api.get(f"{PATH}/{run.uid}") == {"run": {**item, "updated_at": stamp(run.created_at)}}
    cancellation = cancel_runs(run_ids=(run.uid,))
    ended = {**item, "status": "CANCELED", "updated_at": stamp(cancellation.as_of)}
    assert api.get(f"{PATH}/{run.uid}") == {"run": ended}


def test_a_run_has_changed_when_a_step_of_it_ended(api: Caller) -> None:
    run = journey(api)
    make_due(run)
    work_off()
    assert api.get(f"{PATH}/{run.uid}")["run"]["updated_at"] == stamp(read(run).finished_at)


def test_neither_surface_shows_the_others_runs(api: Caller) -> None:
    of_journey, of_automation, ours = journey(api), automation(api), run_of(invoke(DELAY))
    assert found(api) == [str(of_journey.uid)]
    listed = [run["run_id"] for run in api.get("/automations/runs")["runs"]]
    assert listed == [str(ours.uid), str(of_automation.uid)]
    for path in (f"/automations/runs/{of_journey.uid}", f"/automations/runs/{of_journey.uid}/steps"):
        assert courier_refused(api.send("GET", path)) == NOT_FOUND
    for run in (of_automation, ours):
        for path in (f"{PATH}/{run.uid}", f"{PATH}/{run.uid}/steps"):
            assert courier_refused(api.send("GET", path)) == NOT_FOUND


def test_a_cancel_reaches_both(api: Caller) -> None:
    runs = [journey(api), automation(api), run_of(invoke(DELAY))]
    for run in runs:
        answer = decoded(api.post("/journeys/cancel", {"run_id": str(run.uid)}), 202)
        assert answer == {"run_id": str(run.uid), "status": "CANCELED"}
    assert {read(run).public_status for run in runs} == {"cancelled"}


def test_runs_are_found_by_couriers_words(api: Caller) -> None:
    publish("other", {"steps": [DELAY]})
    waiting, called_off = journey(api), journey(api)
    other = run_of_uid(decoded(api.post("/journeys/other/invoke", {}), 202)["runId"])
    cancel_runs(run_ids=(called_off.uid,))
    automation(api)
    assert found(api, "status=CANCELED") == [str(called_off.uid)]
    assert found(api, "status=WAITING,CANCELED&template_id=welcome") == [
        str(called_off.uid),
        str(waiting.uid),
    ]
    assert found(api, "template_id=other&start_date=2026-01-01") == [str(other.uid)]
    assert found(api, "end_date=2026-01-01") == []
    assert courier_refused(api.send("GET", f"{PATH}?start_date=soon"))[0] == 400


@pytest.mark.parametrize("few", [0, 2_000])
@pytest.mark.parametrize("status", ["", "&status=WAITING", "&status=WAITING,CANCELED,ERROR"])
def test_pages_are_read_forwards_and_backwards(api: Caller, monkeypatch: Any, few: int, status: str) -> None:
    monkeypatch.setattr(run_search, "FEW", few)
    ids: list[str] = []
    for number in range(5):
        automation(api)
        run = journey(api)
        ids.insert(0, str(run.uid))
        if number in (1, 2) and status != "&status=WAITING":
            cancel_runs(run_ids=(run.uid,))
    pages, query = [], f"limit=2{status}"
    for _ in range(3):
        page = api.get(f"{PATH}?{query}")
        pages.append(page)
        query = f"limit=2{status}&cursor={page.get('next_cursor')}"
    assert [[run["run_id"] for run in page["runs"]] for page in pages] == [ids[:2], ids[2:4], ids[4:]]
    assert [("prev_cursor" in page, "next_cursor" in page) for page in pages] == [
        (False, True), (True, True), (True, False),
    ]  # fmt: skip
    back = api.get(f"{PATH}?limit=2{status}&cursor={pages[2]['prev_cursor']}")
    assert back == pages[1]
    assert api.get(f"{PATH}?limit=2{status}&cursor={back['prev_cursor']}") == pages[0]


def test_an_automations_list_names_no_page_before(api: Caller) -> None:
    for _ in range(3):
        automation(api)
    first = api.get("/automations/runs?limit=1")
    second = api.get(f"/automations/runs?limit=1&cursor={first['next_cursor']}")
    assert set(second) == {"runs", "next_cursor"}


@pytest.mark.parametrize("count", [1, 3])
def test_a_list_of_any_length_costs_three_statements(
    api: Caller, count: int, django_assert_num_queries: Any
) -> None:
    for _ in range(count):
        journey(api)
    with django_assert_num_queries(3):  # the key, how many there are, the runs
        assert len(found(api)) == count


def test_the_nodes_reached_are_listed_by_their_ids(api: Caller) -> None:
    steps = [
        {"id": "hello", **SEND}, {"id": "not-me", "if": "false", **SEND}, {"id": "nap", **DELAY}, SEND,
    ]  # fmt: skip
    publish("long", {"steps": steps})
    uid = decoded(api.post("/journeys/long/invoke", {}), 202)["runId"]
    work_off()
    listed = api.get(f"{PATH}/{uid}/steps")["steps"]
    assert [(step["node_id"], step["action"], step["status"]) for step in listed] == [
        ("hello", "send", "PROCESSED"), ("not-me", "send", "SKIPPED"), ("nap", "delay", "WAITING"),
    ]  # fmt: skip
    assert [step["skip_reason"] for step in listed] == [None, "Node conditions not met", None]
    assert [step["error"] for step in listed] == [None, None, None]
    cancel_runs(run_ids=(run_of_uid(uid).uid,))
    listed = api.get(f"{PATH}/{uid}/steps")["steps"]
    assert [step["status"] for step in listed] == ["PROCESSED", "SKIPPED", "CANCELED", "CANCELED"]


def test_a_node_that_failed_says_why(api: Caller) -> None:
    publish("broken", {"steps": [{"id": "nap", "action": "delay", "duration": "${1}"}]})
    uid = decoded(api.post("/journeys/broken/invoke", {}), 202)["runId"]
    (step,) = api.get(f"{PATH}/{uid}/steps")["steps"]
    assert (step["node_id"], step["status"]) == ("nap", "ERROR")
    assert step["error"] == {"message": "“duration” resolved to 1, which is not a text"}


def test_a_run_of_an_automation_is_shown_with_its_steps(api: Caller) -> None:
    run = automation(api)
    listed = api.get("/automations/runs")["runs"][0]
    steps = api.get(f"/automations/runs/{run.uid}/steps")["steps"]
    assert api.get(f"/automations/runs/{run.uid}") == {
        **listed, "updated_at": stamp(run.created_at), "automation": {"steps": steps},
    }  # fmt: skip
    tokened = run_of(invoke(DELAY, token="refs.data.user_id"))
    shown = api.get(f"/automations/runs/{tokened.uid}")
    assert (shown["automation"]["cancelation_token"], "template_id" in shown) == ("refs.data.user_id", False)


@pytest.mark.parametrize(
    "uid", ["1-65f240a0-47a6a120c8374de9bcf9f22c", "0199d3f2-0000-7000-8000-000000000001", "%00", "x" * 300]
)
@pytest.mark.parametrize("path", [PATH, "/automations/runs"])
def test_a_run_that_is_not_there_is_not_found(api: Caller, path: str, uid: str) -> None:
    assert courier_refused(api.send("GET", f"{path}/{uid}")) == NOT_FOUND


@pytest.mark.parametrize("cursor", ["!", "LQ", "LTE.", "x" * 200])
def test_a_cursor_from_elsewhere_is_a_400(api: Caller, cursor: str) -> None:
    assert courier_refused(api.send("GET", f"{PATH}?cursor={cursor}"))[0] == 400
