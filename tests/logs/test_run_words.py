"""What the page of one run says of its steps and events where something out of the ordinary became of them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from automations import execution, publication
from automations.api.native.receipts import followed_receipt
from automations.execution import ReplayRequest
from automations.models import Cancellation, Run, database_now, steps_of_run
from automations.timeline import StepState
from logs.run_page import StepLine
from tests.logs.test_run_page import page, steps
from tests.pages import read
from tests.people import client
from tests.races.history import failed
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    expire_leases,
    finish,
    invoke,
    make_due,
    production,
    publish,
    run_of,
    run_of_uid,
    start,
    work_off,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("left", "sentences", "said"),
    [
        (
            "cancel",
            ("Step 1 Invoke has started its child", "The run that it started is cancelled too"),
            "is cancelled too",
        ),
        ("leave", ("Step 1 Invoke has started its child, which goes on",), "goes on"),
    ],
)
def test_a_cancel_of_a_parent_says_what_becomes_of_its_child(
    left: str, sentences: tuple[str, ...], said: str
) -> None:
    publish("child", {"steps": [DELAY]})
    step = {"action": "invoke", "template": "child", "wait": True, "on_parent_cancel": left}
    run = run_of(invoke(step, SEND))
    work_off()
    asked = read(client("operator").get(f"/logs/{run.uid}/cancel/")).one(".prospects").texts("li")
    assert asked == [f"{sentence}." for sentence in ["Step 2 Send will not run", *sentences]]
    cancel_runs(run_ids=(run.uid,))
    invoked, ahead = (words for _, words in steps(run))
    assert invoked.startswith(f"1 Invoke child its child {said}")
    assert ahead == "2 Send Hi prevented"


def outcomes(run: Run, receipt: Cancellation) -> list[tuple[str | None, str]]:
    """Of each step in flight what the receipt says became of it, and what the page of its run says."""
    said = followed_receipt(Cancellation.objects.get(pk=receipt.pk))["in_flight"]
    lines = page(run).one("#called-off").texts("li")
    told = [line.partition(": ")[2].removesuffix(".") for line in lines]
    return list(zip([entry["outcome"] for entry in said], told, strict=True))


def test_what_became_of_an_attempt_that_was_lost_before_another_one_is_told() -> None:
    run = run_of(invoke(SEND, DELAY, token="t"))
    (lost,) = start()
    expire_leases()
    execution.keep_house(production())
    work_off()
    receipt = cancel_runs(token="t")
    assert outcomes(run, receipt) == [(None, "it may still finish; nothing after it starts")]
    finish(execution.perform(lost))
    archive_all()
    assert outcomes(run, receipt) == [("completed_after_cancel", "it finished afterwards")]
    step, _ = steps_of_run(run_of_uid(str(run.uid)))
    assert (step.status, step.attempts, step.outcome_after_cancel) == (
        "completed",
        2,
        "completed_after_cancel",
    )


def test_of_two_attempts_in_flight_each_is_told_by_itself() -> None:
    run = run_of(invoke(SEND, DELAY, token="t"))
    (lost,) = start()
    expire_leases()
    execution.keep_house(production())
    (second,) = start()
    receipt = cancel_runs(token="t")
    finish(failed(second, retryable=False))
    may = (None, "it may still finish; nothing after it starts")
    assert outcomes(run, receipt) == [may, ("failed_after_cancel", "it failed afterwards")]
    finish(execution.perform(lost))
    archive_all()
    finished = ("completed_after_cancel", "it finished afterwards")
    assert outcomes(run, receipt) == [finished, ("failed_after_cancel", "it failed afterwards")]


def test_a_step_that_was_called_off_before_it_did_anything_says_so() -> None:
    run = run_of(invoke(DELAY, {"action": "cancel", "cancellation_token": "x"}, SEND, token="t"))
    make_due(run)
    (task,) = start()
    receipt = cancel_runs(token="t")
    finish(execution.perform(task))
    archive_all()
    assert outcomes(run, receipt) == [("aborted", "it was called off before it did anything")]
    _, step, _ = steps_of_run(run_of_uid(str(run.uid)))
    assert (step.status, step.outcome_after_cancel) == ("cancelled", "aborted")


def test_a_step_that_was_tried_is_not_said_to_have_been_prevented(settings: Any) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = ("127.0.0.1",)
    message = {"content": {"body": "x"}, "to": {"webhook": {"url": "http://127.0.0.1:1/"}}}
    run = run_of(invoke({"action": "send", "message": message, "retry": {"max_attempts": 2}}, SEND))
    work_off()
    asked = read(client("operator").get(f"/logs/{run.uid}/cancel/")).one(".prospects").texts("li")
    assert asked == ["Step 2 Send will not run.", "Step 1 Send was tried once and will not be tried again."]
    cancel_runs(run_ids=(run.uid,))
    tried, ahead = (words for _, words in steps(run))
    assert tried.startswith("1 Send x was tried once, not again ")
    assert ahead == "2 Send Hi prevented"


def test_events_are_told_in_the_order_in_which_they_happened() -> None:
    run = run_of(invoke(SEND, SEND, token="t"))
    (task,) = start()
    row = cancel_runs(token="t")
    finish(execution.perform(task))
    archive_all()
    run.events.filter(kind="step_completed").update(at=row.as_of + timedelta(seconds=1))
    run.events.filter(kind="cancelled").update(at=row.as_of)
    told = [event.text.partition(" ")[2].split(" {")[0] for event in page(run).one(".events").all("li")]
    assert told == ["Invoked", "Cancelled · Step 1 Send", "Completed · Step 1 Send"]


def test_where_the_day_changes_the_steps_and_the_events_say_so() -> None:
    run = run_of(invoke(SEND, SEND, token="t"))
    work_off()
    began = run.created_at - timedelta(days=2)
    Run.objects.filter(pk=run.pk).update(created_at=began)
    run.events.filter(kind="invoked").update(at=began)
    timeline, events = (page(run).one(name) for name in (".timeline", ".events"))
    day = f"{began.day} {began:%b} "
    for moments in ([time.text for time in part.all("time")] for part in (timeline, events)):
        assert moments[0].startswith(day)
        assert re.fullmatch(r"\d+ \w{3} (\d{4} )?[\d:.]+", moments[1])
        assert all(re.fullmatch(r"[\d:.]+", moment) for moment in moments[2:])
        assert len(moments) > 2


def test_a_run_of_a_disabled_automation_is_said_to_be_held_and_not_to_wake() -> None:
    publish("onboarding", {"steps": [DELAY, SEND]})
    run = run_of(invoke(definition=None, automation="onboarding"))
    publication.disable(environment=production(), key="onboarding", by="user/ana", mode="hold")
    assert page(run).one(".standing").text.startswith("Waiting · step 1 Delay held; due ")
    assert ", and then as long as it is held" in steps(run)[0][1]
    listed = read(client("viewer").get("/logs/")).one(f"#row-{run.uid}").texts("td")[2]
    assert listed.startswith("Waiting · step 1 Delay held; due in ")


def test_a_replay_says_of_the_steps_before_it_why_they_are_skipped() -> None:
    run = run_of(invoke(SEND, {"action": "cancel", "cancellation_token": "x"}, SEND))
    work_off()
    accepted = execution.replay(
        ReplayRequest(environment=production(), actor="user/otto", run=run_of_uid(str(run.uid)), from_step=2)
    )
    told = [words.partition("Skipped: ")[2] for _, words in steps(run_of(accepted))[:2]]
    assert told[0] == (
        "this run is a replay that begins behind it, and reads what came of it then Console Hi Hello u1"
    )
    assert told[1].startswith("this run is a replay that begins behind it")
    assert "_" not in told[1]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("held", "its time passed while the automation was disabled"),
        ("undone", "its time passed while the run was called off"),
        ("not_replayed", "this run is a replay that begins behind it"),
        ("not_foreseen", "not foreseen"),
    ],
)
def test_why_a_step_was_skipped_is_said_in_words(reason: str, said: str) -> None:
    state = StepState(index=0, id="0", action="send", status="skipped", skip_reason=reason)
    assert StepLine(state=state, step=None, is_over=False, above=database_now()).skip_reason == said


def test_what_people_wrote_does_not_turn_the_words_around_it() -> None:
    publish(
        "hebrew", {"cancellation_token": "שלום-1", "steps": [{**SEND, "id": "step"}, DELAY]}, name="אוטומציה"
    )
    run = run_of(invoke(definition=None, automation="hebrew", recipients=["עברית"], key="מפתח"))
    work_off()
    row = cancel_runs(token="שלום-1", reason="סיבה")
    written = {"שלום-1", "אוטומציה", "עברית", "מפתח"}
    for address, isolated in (
        (f"/logs/{run.uid}/", {*written, "סיבה"}),
        ("/logs/", written),
        (f"/bulk/{row.pk}/", {"סיבה"}),
        ("/bulk/", {"סיבה", "token שלום-1"}),
        ("/", {"סיבה", "token שלום-1"}),
    ):
        assert isolated <= set(read(client("viewer").get(address)).texts("bdi")), address
