"""A run given another time, let go on at once, and repeated, from its page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from automations.models import Event, EventKind, LiveRun, Run, database_now
from tests.pages import read
from tests.people import client
from tests.scenes import DELAY, SEND, cancel_runs, invoke, run_of, work_off

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def waiting() -> Run:
    run = run_of(invoke(DELAY, SEND, data={"n": 1}, token="t"))
    work_off()
    return run


def due(run: Run) -> datetime:
    return LiveRun.objects.get(pk=run.pk).due_at


def test_a_waiting_run_gets_another_time() -> None:
    run, browser = waiting(), client("operator")
    answer = browser.post(f"/logs/{run.uid}/time/", {"delay": "3 hours"})
    assert (answer.status_code, answer["Location"]) == (302, f"/logs/{run.uid}/")
    assert abs(due(run) - database_now() - timedelta(hours=3)) < timedelta(seconds=30)
    browser.post(f"/logs/{run.uid}/time/", {"due_at": "2027-02-03T04:05"})
    assert due(run) == datetime(2027, 2, 3, 4, 5, tzinfo=UTC)
    event = Event.objects.filter(run=run, kind=EventKind.RESCHEDULED).latest("pk")
    assert event.data["actor"] == "user/otto"
    said = read(browser.get(f"/logs/{run.uid}/")).one("#toast").text.replace(" 2027", "")
    assert said.endswith("The run goes on at 3 Feb 04:05:00.000 UTC.")


def test_a_waiting_run_goes_on_at_once() -> None:
    run, browser = waiting(), client("operator")
    assert browser.post(f"/logs/{run.uid}/time/", {"now": "1"}).status_code == 302
    assert due(run) <= database_now()
    assert read(browser.get(f"/logs/{run.uid}/")).one("#toast").text == "The run goes on at once."


@pytest.mark.parametrize(
    ("given", "name", "said"),
    [
        ({}, "time", "Give either how long from now, or a moment."),
        (
            {"delay": "1 hour", "due_at": "2027-02-03T04:05"},
            "time",
            "Give either how long from now, or a moment.",
        ),
        ({"due_at": "soon"}, "due_at", "Write a date and a time, such as 2026-11-20T14:00."),
        (
            {"due_at": "2020-01-01T00:00"},
            "due_at",
            "This moment has passed. “Run now” lets the run go on at once.",
        ),
        ({"delay": "367 days"}, "delay", None),
        ({"due_at": "2029-01-01T00:00"}, "time", "A run may wait for at most 366 days."),
    ],
)
def test_a_time_that_cannot_be_is_refused_at_its_field(
    given: dict[str, str], name: str, said: str | None
) -> None:
    run = waiting()
    before = due(run)
    answer = client("operator").post(f"/logs/{run.uid}/time/", given)
    assert answer.status_code == 422
    text = read(answer).one(f"#{name}-errors").text
    assert text == said if said else text.endswith(".")
    assert due(run) == before


def test_a_run_that_was_cancelled_meanwhile_is_told() -> None:
    run, browser = waiting(), client("operator")
    cancel_runs(token="t")
    answer = browser.post(f"/logs/{run.uid}/time/", {"now": "1"})
    assert answer.status_code == 422
    assert "The run is cancelled; only a run that waits" in read(answer).one("#reschedule").text


def test_a_finished_run_is_repeated_from_a_step_on_with_other_data() -> None:
    run, browser = waiting(), client("operator")
    cancel_runs(token="t")
    form = read(browser.get(f"/logs/{run.uid}/replay/"))
    assert form.one("#from_step").texts("option") == ["Step 1 Delay", "Step 2 Send"]
    assert form.one("#replay-data").text == '{ "n": 1 }'
    answer = browser.post(f"/logs/{run.uid}/replay/", {"from_step": "1", "new_data": '{"n": 2}'})
    new = Run.objects.latest("pk")
    assert (answer.status_code, answer["Location"]) == (302, f"/logs/{new.uid}/")
    assert (new.replay_of, new.token, new.invocation.data) == (run.uid, "t", {"n": 2})
    assert LiveRun.objects.get(pk=new.pk).position == "1"


@pytest.mark.parametrize(
    ("given", "name"),
    [({"new_data": "["}, "new_data"), ({"new_data": "[]"}, "new_data"), ({"from_step": "9"}, None)],
)
def test_a_replay_that_cannot_be_starts_nothing(given: dict[str, str], name: str | None) -> None:
    run = waiting()
    cancel_runs(token="t")
    answer = client("operator").post(f"/logs/{run.uid}/replay/", given)
    assert answer.status_code == 422
    assert name is None or read(answer).one(f"#{name}-errors").text
    assert Run.objects.count() == 1


def test_an_unfinished_run_is_not_repeated() -> None:
    run = waiting()
    answer = client("operator").post(f"/logs/{run.uid}/replay/", {"new_data": "{}"})
    assert answer.status_code == 422
    assert "only a finished run can be replayed" in read(answer).one("#replay").text
    assert Run.objects.count() == 1


def test_the_page_offers_what_the_run_and_the_role_allow() -> None:
    run = waiting()

    def offered(role: str) -> list[Any]:
        page = read(client(role).get(f"/logs/{run.uid}/"))
        return [name for name in ("to-reschedule", "to-replay", "cancel-run") if page.all(f"#{name}")]

    assert [offered(role) for role in ("viewer", "operator")] == [[], ["to-reschedule", "cancel-run"]]
    cancel_runs(token="t")
    assert [offered(role) for role in ("viewer", "operator")] == [[], ["to-replay"]]


def test_under_htmx_the_forms_come_as_dialogs_and_refusals_go_into_them() -> None:
    run, browser = waiting(), client("operator")
    dialog = browser.get(f"/logs/{run.uid}/time/", headers=HTMX)
    assert read(dialog).all("main") == []
    refused = browser.post(f"/logs/{run.uid}/time/", {}, headers=HTMX)
    assert (refused.status_code, refused["HX-Retarget"]) == (422, "#dialog")
    done = browser.post(f"/logs/{run.uid}/time/", {"now": "1"}, headers=HTMX)
    assert done["HX-Redirect"] == f"/logs/{run.uid}/"
