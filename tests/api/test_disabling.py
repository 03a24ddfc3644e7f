"""Disabling, enabling and publishing over the native API: counted first, and answered with what was done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from automations.models import Automation, Cancellation, LiveRun
from tests.api.conftest import Caller, decoded, refused
from tests.pages import read
from tests.people import client
from tests.scenes import DELAY, SEND, invoke, make_due, publish, run_of, start, work_off

pytestmark = pytest.mark.django_db

PATH = "/api/v1/automations/trial"


@pytest.fixture(autouse=True)
def _published() -> None:
    publish("trial", {"steps": [SEND, DELAY, SEND]})


def runs(amount: int = 1) -> list[str]:
    return [str(run_of(invoke(definition=None, automation="trial")).uid) for _ in range(amount)]


def disable(api: Caller, mode: str, **given: Any) -> dict[str, Any]:
    answer: dict[str, Any] = decoded(api.post(f"{PATH}/disable", {"mode": mode, **given}))
    return answer


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("disable", {}),
        ("disable", {"mode": "hold"}),
        ("disable", {"mode": "cancel"}),
        ("enable", {}),
        ("publish", {}),
        ("publish", {"running": "cancel"}),
    ],
)
def test_a_dry_run_counts_and_changes_nothing(api: Caller, path: str, mode: dict[str, Any]) -> None:
    runs(3)
    start(room=1)
    answer = decoded(api.post(f"{PATH}/{path}", {**mode, "dry_run": True}))
    version = {"version": 1} if path == "publish" else {}
    assert answer == {
        **version, "dry_run": True, "waiting": 2, "running": 1, "overdue": 2, "beneath": 0, "counted": True,
        "by_version": [{"version": 1, "unfinished": 3}],
    }  # fmt: skip
    assert (Automation.objects.get().mode, Cancellation.objects.count()) == (None, 0)


def test_cancelling_with_it_is_answered_with_the_receipt(api: Caller) -> None:
    first, second = runs(2)
    start(room=1)
    answer = disable(api, "cancel", reason="wrong text")
    assert (answer["disabled"], answer["disable_mode"], answer["disable_reason"]) == (
        True,
        "cancel",
        "wrong text",
    )
    receipt = answer["cancellation"]
    assert (receipt["cancelled"], receipt["cancelled_run_ids"], receipt["settled"]) == (
        2,
        [first, second],
        False,
    )
    assert (receipt["filter"], receipt["reason"]) == ({"automation": "trial"}, "wrong text")
    assert [entry["run"] for entry in receipt["in_flight"]] == [first]
    run = api.get(f"/api/v1/runs/{second}")
    assert (run["status"], run["status_reason"], run["held"]) == ("cancelled", "template_disabled", False)
    assert run["cancellation"]["origin"] == "disable"
    assert api.get(f"/api/v1/cancellations/{receipt['id']}")["cancelled"] == 2


def test_a_held_run_says_so_wherever_it_is_shown(api: Caller) -> None:
    (run,) = runs()
    due_at = api.get(f"/api/v1/runs/{run}")["due_at"]
    answer = disable(api, "hold", reason="a look first")
    assert (answer["disable_mode"], answer["in_flight"], "cancellation" in answer) == ("hold", [], False)
    assert start() == []
    shown = api.get(f"/api/v1/runs/{run}")
    assert (shown["status"], shown["held"], shown["due_at"]) == ("waiting", True, due_at)
    assert shown["steps"][0]["due_at"] == due_at
    (listed,) = api.get("/api/v1/runs?status=waiting&due_before=2100-01-01T00:00:00Z")["items"]
    assert (listed["id"], listed["held"], listed["due_at"]) == (run, True, due_at)
    assert api.get("/api/v1/runs?due_before=2020-01-01T00:00:00Z")["items"] == []
    assert decoded(api.post(f"{PATH}/enable", {}))["disable_mode"] is None
    assert api.get(f"/api/v1/runs/{run}")["held"] is False
    assert work_off() == 1


def test_what_is_in_flight_when_it_is_held_is_named(api: Caller) -> None:
    (run,) = runs()
    start()
    (entry,) = disable(api, "hold")["in_flight"]
    assert set(entry) == {"run", "step", "action", "attempt", "started_at"}
    assert (entry["run"], entry["step"], entry["action"], entry["attempt"]) == (run, "0", "send", 1)


def test_a_held_run_is_moved_and_not_run_now(api: Caller) -> None:
    (run,) = runs()
    disable(api, "hold")
    start()
    response = api.post(f"/api/v1/runs/{run}/run-now", {})
    assert refused(response) == (422, "held", [("", "held")])
    moved = decoded(api.post(f"/api/v1/runs/{run}/reschedule", {"in": "2 hours"}))
    assert (moved["held"], moved["due_at"] > moved["created_at"]) == (True, True)


@pytest.mark.parametrize("rule", ["fire_now", "shift", "skip"])
def test_it_is_enabled_by_every_rule(api: Caller, rule: str) -> None:
    runs()
    disable(api, "hold")
    start()
    assert LiveRun.objects.get().parked_due_at is not None
    assert decoded(api.post(f"{PATH}/enable", {"overdue": rule}))["disabled"] is False
    assert LiveRun.objects.get().parked_due_at is None
    assert LiveRun.objects.get().position == ("1" if rule == "skip" else "0")


@pytest.mark.parametrize(
    ("path", "body", "pointer", "code"),
    [
        ("enable", {"overdue": "later"}, "/overdue", "invalid"),
        ("enable", {"mode": "hold"}, "/mode", "unknown_field"),
        ("enable", {"dry_run": "yes"}, "/dry_run", "invalid"),
        ("disable", {"reason": "x" * 501}, "/reason", "too_long"),
        ("disable", {"overdue": "skip"}, "/overdue", "unknown_field"),
        ("disable", {"dry_run": 1}, "/dry_run", "invalid"),
        ("publish", {"running": "drain"}, "/running", "invalid"),
        ("publish", {"running": ["cancel"]}, "/running", "invalid"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    api: Caller, path: str, body: object, pointer: str, code: str
) -> None:
    runs()
    assert refused(api.post(f"{PATH}/{path}", body)) == (422, code, [(pointer, code)])
    assert (Automation.objects.get().mode, Cancellation.objects.count()) == (None, 0)


@pytest.mark.parametrize(
    ("path", "body"), [("disable", {"mode": "cancel"}), ("publish", {"running": "cancel"})]
)
def test_only_a_key_that_may_cancel_calls_runs_off(
    make_key: Callable[..., str], path: str, body: dict[str, Any]
) -> None:
    runs()
    caller = Caller(make_key("write", "read"))
    assert refused(caller.post(f"{PATH}/{path}", body))[:2] == (403, "missing_scope")
    assert Cancellation.objects.count() == 0
    assert decoded(caller.post(f"{PATH}/{path}", {**body, "dry_run": True}))["waiting"] == 1


def test_publishing_calls_off_what_follows_earlier_versions(api: Caller) -> None:
    (old,) = runs()
    assert decoded(api.post(f"{PATH}/publish", {"running": "cancel"})) == {"version": 1, "cancellation": None}
    decoded(api.put(f"{PATH}/draft", {"definition": {"steps": [SEND]}}))
    assert decoded(api.post(f"{PATH}/publish", {"running": "cancel", "dry_run": True}))["version"] == 2
    answer = decoded(api.post(f"{PATH}/publish", {"running": "cancel"}))
    assert (answer["version"], answer["cancellation"]["cancelled_run_ids"]) == (2, [old])
    assert api.get(f"/api/v1/runs/{old}")["status_reason"] == "template_unpublished"
    decoded(api.put(f"{PATH}/draft", {"definition": {"steps": [DELAY]}}))
    (kept,) = runs()
    assert decoded(api.post(f"{PATH}/publish", {"running": "keep"})) == {"version": 3}
    assert api.get(f"/api/v1/runs/{kept}")["status"] == "waiting"


def test_the_run_page_says_why_it_does_not_go_on(api: Caller) -> None:
    (uid,) = runs()
    make_due(*[run.run for run in LiveRun.objects.all()])
    disable(api, "hold", reason="a look first")
    start()
    page = read(client("viewer").get(f"/logs/{uid}/"))
    assert "a look first" in page.one("#held").text
    decoded(api.post(f"{PATH}/enable", {}))
    assert read(client("viewer").get(f"/logs/{uid}/")).all("#held") == []
