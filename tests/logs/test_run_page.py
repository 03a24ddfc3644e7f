"""The page of one run: its steps, its summary, and whether it polls."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from django.test import Client

from automations import execution
from automations.models import Cancellation, Environment, Run
from tests.captured import Captured
from tests.channels.sinks import HttpSink, reply
from tests.pages import Element, read
from tests.people import client
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    finish,
    invoke,
    publish,
    run_of,
    start,
    work_off,
)

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
SKIPPED = {**SEND, "if": "data.plan === 'pro'"}
BROKEN = {"action": "send", "message": {"content": {"title": "${throw new Error('no plan')}"}}}


def page(run: Run, role: str = "operator") -> Element:
    return read(client(role).get(f"/logs/{run.uid}/"))


def steps(run: Run) -> list[tuple[str, str]]:
    """Each step's class and what it says, without the times."""
    lines = [child for child in page(run).one(".timeline").children if isinstance(child, Element)]
    found = []
    for line in lines[1:]:
        times = {time.text for time in line.all("time")}
        words = line.text
        for time in times:
            words = words.replace(time, "…")
        found.append((line["class"], words))
    return found


def standing(run: Run) -> str:
    return page(run).one(".standing").one(".badge").text


def test_a_waiting_run_shows_what_was_sent_what_it_waits_for_and_what_is_to_come() -> None:
    run = run_of(invoke(SEND, DELAY, {**SEND, "id": "again"}, recipients=["u1"]))
    work_off()
    done, waiting, ahead = steps(run)
    assert done[0] == "completed"
    assert done[1].startswith("1 Send … Console to u1 · ")
    assert done[1].endswith(" ms Hi Hello u1")
    assert waiting == ("waiting", "2 Delay 1 hour … Waits until … (…)")
    assert ahead == ("pending", "3 Send again Hi to come")
    assert standing(run) == "Waiting · step 2 Delay"


def test_a_running_step_is_shown_running() -> None:
    run = run_of(invoke(SEND, SEND))
    start()
    assert steps(run) == [("running", "1 Send Hi … Running"), ("pending", "2 Send Hi to come")]
    assert standing(run) == "Running · step 1 Send"


def test_a_completed_run_says_why_a_step_was_skipped() -> None:
    run = run_of(invoke(SKIPPED))
    work_off()
    assert steps(run) == [
        ("skipped", "1 Send Hi … Skipped: its condition was false: data.plan === 'pro'"),
        ("completed", "Completed …"),
    ]
    assert standing(run) == "Completed"


def test_a_failed_run_says_what_went_wrong() -> None:
    run = run_of(invoke(BROKEN, SEND))
    work_off()
    failed, ahead = steps(run)
    assert failed[0] == "failed"
    assert failed[1].startswith("1 Send ${throw new Error('no plan')} … Failed: ")
    assert "no plan" in failed[1].partition("Failed: ")[2]
    assert ahead == ("pending", "2 Send Hi not reached")
    assert standing(run) == "Failed · step 1 Send"


def test_the_summary_names_everything_a_run_is_found_by() -> None:
    publish(
        "onboarding", {"cancellation_token": "user-{{data.user_id}}", "steps": [DELAY]}, name="Onboarding"
    )
    accepted = invoke(
        definition=None, automation="onboarding", recipients=["u1", "u2"], key="order-7", idempotency_key="i-1",
        fingerprint="f",
    )  # fmt: skip
    run = run_of(accepted)
    summary = page(run).one(".summary")
    rows = dict(zip(summary.texts("dt"), summary.texts("dd"), strict=True))
    invoked = (
        f"{run.created_at.day} {run.created_at:%b %Y %H:%M:%S}.{run.created_at.microsecond // 1000:03d} UTC"
    )
    uid = str(run.invocation.uid)
    assert rows == {
        "Called off": "Why was it not called off?",
        "Automation": "Onboarding v1",
        "Source": "api/test",
        "Token": "user-u1 2 unfinished runs have it",
        "Recipient": "u1",
        "Key": "order-7",
        "Idempotency key": "i-1",
        "Invoked": f"{invoked} by key “test”",
        "Invocation": f"{uid[:8]}…{uid[-4:]} of 2 runs",
    }
    assert summary.one("#to-token")["href"] == "/logs/?q=token%3A%22user-u1%22"
    assert summary.one("#to-automation")["href"] == "/templates/onboarding/"


def test_a_run_without_a_token_says_why() -> None:
    unresolved = publish_unresolved()
    assert page(unresolved).one(".summary").texts("dd")[2].startswith("none: ")
    bare = run_of(invoke(DELAY))
    assert page(bare).one(".summary").texts("dd")[2] == "none: only a cancel of this run stops it"


def publish_unresolved() -> Run:
    definition = {
        "cancellation_token": "user-{{data.missing}}", "on_unresolved_token": "run_without_token", "steps": [DELAY],
    }  # fmt: skip
    publish("unresolved", definition)
    return run_of(invoke(definition=None, automation="unresolved"))


def test_a_parent_and_its_child_lead_to_each_other() -> None:
    publish("child", {"steps": [DELAY]})
    run = run_of(invoke({"action": "invoke", "template": "child", "wait": True}, SEND))
    work_off()
    child = Run.objects.with_state().get(parent=run.pk)
    waits, ahead = steps(run)
    assert waits[0] == "waiting"
    assert "1 Invoke child … Waits until the run that it started has ended" in waits[1]
    assert ahead == ("pending", "2 Send Hi to come")
    assert standing(run) == "Waiting · step 1 Invoke"
    assert page(run).one("#to-children")["href"] == "/logs/?" + urlencode({"q": f'source:"run/{run.uid}"'})
    assert page(child).one("#to-parent")["href"] == f"/logs/{run.uid}/"
    assert page(child).all("#to-children") == page(run).all("#to-parent") == []


def test_data_profile_events_and_raw_json_stand_there_whole() -> None:
    run = run_of(invoke(SEND, DELAY, data={"user_id": "ü", "n": 9007199254740993}, profile={"email": "a@b"}))
    work_off()
    whole = page(run)
    assert json.loads(whole.one("#data").one("pre").text) == {"user_id": "ü", "n": 9007199254740993}
    assert json.loads(whole.one("#profile").one("pre").text) == {"email": "a@b"}
    raw = json.loads(whole.one("#raw-json").text)
    assert (raw["id"], raw["status"], raw["steps"][0]["output"]["body"]) == (
        str(run.uid),
        "waiting",
        "Hello ü",
    )
    assert [event.text.split(" ", 1)[1].split(" {")[0] for event in whole.one(".events").all("li")] == [
        "Invoked", "Completed · Step 1 Send",
    ]  # fmt: skip


def panel(run: Run) -> Element:
    return page(run).one("#panel")


def test_a_run_polls_until_nothing_can_change_any_more() -> None:
    waiting, settling, ended = (
        run_of(invoke(DELAY)),
        run_of(invoke(SEND, token="b")),
        run_of(invoke(SEND, token="c")),
    )
    tasks = {task.run: task for task in start()}
    cancel_runs(token="b")
    finish(execution.perform(tasks[str(ended.uid)]))
    assert [panel(run).has("data-poll") for run in (waiting, settling, ended)] == [True, True, False]
    finish(execution.perform(tasks[str(settling.uid)]))
    assert not panel(settling).has("data-poll")
    archive_all()
    assert not panel(settling).has("data-poll")


def test_a_poll_is_answered_with_nothing_until_something_changed() -> None:
    run = run_of(invoke(SEND, DELAY, token="t"))
    browser = client("viewer")
    seen = []
    for change in (start, lambda: None, lambda: cancel_runs(token="t")):
        change()
        address = panel(run)["hx-get"]
        seen.append(address)
        assert browser.get(address, headers=HTMX).status_code == 204
    assert (seen[0] == seen[1], seen[1] == seen[2]) == (True, False)
    stale = browser.get(seen[0], headers=HTMX)
    (root,) = [child for child in read(stale).children if isinstance(child, Element)]
    assert (stale.status_code, root["id"]) == (200, "panel")


def cancel_buttons(run: Run, role: str) -> list[str]:
    return [button.text for button in page(run, role).all("#cancel-run")]


def test_the_cancel_button_is_there_exactly_while_the_run_is_unfinished() -> None:
    waiting, running = run_of(invoke(DELAY, token="a")), run_of(invoke(SEND, token="b"))
    start()
    ended = run_of(invoke(SEND, token="c"))
    assert [cancel_buttons(run, "operator") for run in (waiting, running, ended)] == [["Cancel run"]] * 3
    assert [cancel_buttons(run, "viewer") for run in (waiting, running, ended)] == [[]] * 3
    work_off()
    for token in "ab":
        cancel_runs(token=token)
    assert [cancel_buttons(run, "admin") for run in (waiting, running, ended)] == [[]] * 3


def test_a_cancelled_run_says_who_called_it_off_and_what_that_prevented() -> None:
    run = run_of(invoke(SEND, DELAY, SEND, token="t"))
    work_off()
    cancellation = cancel_runs(token="t", reason="they upgraded")
    for _ in range(2):
        told = page(run).one("#called-off")
        at = f"{cancellation.as_of:%H:%M:%S}.{cancellation.as_of.microsecond // 1000:03d} UTC"
        day = f"{cancellation.as_of.day} {cancellation.as_of:%b %Y}"
        assert told.texts("p") == [
            f"Cancelled {day} {at} by ana from the API: “they upgraded”",
            "No step was in flight, and no further step of this run will start.",
            f"This run only. Cancellation {cancellation.pk}",
            "An admin may still undo it.",
        ]
        assert [(look, words.endswith("prevented")) for look, words in steps(run)[1:]] == [
            ("cancelled", True)
        ] * 2
        archive_all()


@pytest.mark.parametrize(
    ("step", "outcome"), [(SEND, "it finished afterwards"), (BROKEN, "it failed afterwards")]
)
def test_a_step_in_flight_at_the_cancel_is_named_and_then_its_outcome(
    step: dict[str, Any], outcome: str
) -> None:
    run = run_of(invoke(step, SEND, token="t"))
    (task,) = start()
    cancel_runs(token="t")
    started = f"{task.claim.started_at:%H:%M:%S}.{task.claim.started_at.microsecond // 1000:03d}"
    told = page(run).one("#called-off")
    assert told.texts("li") == [
        f"Step 1 Send had started at {started}: it may still finish; nothing after it starts."
    ]
    assert told.texts("p")[1] == "No other step of this run started after the cancel."
    finish(execution.perform(task))
    archive_all()
    assert page(run).one("#called-off").texts("li") == [f"Step 1 Send had started at {started}: {outcome}."]
    assert standing(run) == "Cancelled"
    assert steps(run)[1] == ("cancelled", "2 Send Hi prevented")


@pytest.mark.parametrize("address", ["/logs/01a1faa2-7e38-7497-8d4a-8ef95a6dba71/", "/logs/x/", "/logs/1/"])
def test_a_run_that_is_not_there_is_not_found(address: str) -> None:
    assert client("viewer").get(address).status_code == 404


def test_another_environments_run_is_not_found() -> None:
    foreign = run_of(invoke(DELAY, environment=Environment.objects.get(key="test")))
    browser = client("admin")
    for address in (f"/logs/{foreign.uid}/", f"/logs/{foreign.uid}/cancel/"):
        assert browser.get(address).status_code == 404
    assert browser.post(f"/logs/{foreign.uid}/cancel/").status_code == 404


def test_the_number_of_statements_is_the_same_for_one_event_and_for_many() -> None:
    def statements(uid: UUID) -> int:
        browser = client("operator")
        with Captured() as statements:
            browser.get(f"/logs/{uid}/")
        return len(statements)

    one, many = run_of(invoke(DELAY, token="a")), run_of(invoke(SEND, SEND, SEND, DELAY, token="b"))
    work_off()
    assert statements(one.uid) == statements(many.uid) == 7


def test_what_was_sent_is_text_and_never_markup() -> None:
    evil = "<script>alert(1)</script></pre><img src=x onerror=alert(2)>"
    message = {"content": {"title": evil, "body": f"{evil} {{{{data.x}}}}"}}
    run = run_of(invoke({"action": "send", "message": message}, DELAY, data={"x": evil, evil: 1}, token="t"))
    work_off()
    cancel_runs(token="t", reason=evil)
    answer = client("operator").get(f"/logs/{run.uid}/")
    assert b"<script>alert" not in answer.content
    assert b"<img" not in answer.content
    assert read(answer).one(".message").texts("p")[1:] == [evil, f"{evil} {evil}"]


@pytest.mark.usefixtures("allowed")
def test_a_message_by_webhook_is_shown_as_it_was_sent(http: HttpSink) -> None:
    content = {"title": "Hi {{data.name}}", "body": "Welcome"}
    to = {"webhook": {"url": http.url("/in?key=s3cret")}}
    step = {"action": "send", "message": {"content": content, "to": to}}
    run = run_of(invoke(step, data={"name": "Zebulon"}, recipients=["zeb"]))
    work_off()
    shown = page(run)
    hint, *said = shown.one("#step-0").one(".message").texts("p")
    assert hint.startswith(f"Webhook to {http.url('/in')} for zeb · ")
    assert said == ["Hi Zebulon", "Welcome"]
    assert json.loads(shown.one("#output-0").text) == {"status": 200, "answer": "ok"}


@pytest.mark.usefixtures("allowed")
def test_a_message_that_was_not_delivered_says_where_it_was_to_go(http: HttpSink) -> None:
    url = http.on("/no?key=s3cret", reply(422, b"no"))
    message = {"content": {"title": "Hi"}, "to": {"webhook": {"url": url}}}
    run = run_of(invoke({"action": "send", "message": message}))
    work_off()
    step = page(run).one("#step-0")
    assert step.one(".hint").text == f"Webhook to {http.url('/no')}"
    assert "Failed: the webhook answered 422" in step.text


def test_a_run_that_was_held_says_so() -> None:
    cancel_runs(token="t", hold_for=timedelta(minutes=10), reason="closed")
    run = run_of(invoke(DELAY, SEND, token="t"))
    shown = page(run)
    called_off = shown.one("#called-off").text
    assert "“closed”" in called_off
    assert "The run was accepted while that cancel held, and called off before its first step." in called_off
    assert "This run only" not in called_off
    assert standing(run) == "Cancelled"
    assert shown.all("#cancel-run") == []


def test_an_action_is_called_as_in_the_editor() -> None:
    listed = {"action": "send-list", "list": "nobody", "message": {"content": {"title": "Hi"}}}
    profile = {"action": "update-profile", "profile": {"a": 1}, "recipient_id": "ada"}
    run = run_of(invoke(profile, listed, token="t"))
    work_off()
    (_, first), (_, second) = steps(run)
    assert (first.split(" … ")[0], second.split(" … ")[0]) == ("1 Update profile", "2 Send to a list Hi")
    assert standing(run) == "Failed · step 2 Send to a list"


def test_a_cancel_step_is_headed_by_what_it_asks_for() -> None:
    filtered = {"action": "cancel", "filter": {"source": "shop"}}
    other = "0193f1c2-0000-7000-8000-000000000001"
    run = run_of(invoke(filtered, {"action": "cancel", "run_id": other}, SEND))
    by_filter, by_run, _ = steps(run)
    assert "Cancel by filter" in by_filter[1]
    assert f"Cancel {other}" in by_run[1]


def test_a_cancel_can_be_undone_where_the_run_is_while_that_is_open() -> None:
    run = run_of(invoke(DELAY))
    browser = client("operator")
    browser.post(f"/logs/{run.uid}/cancel/", {"on": "run"}, headers={"HX-Request": "true"})
    row = Cancellation.objects.get()
    page = read(browser.get(f"/logs/{run.uid}/"))
    assert page.one("#undo-form")["action"] == f"/bulk/{row.pk}/undo/"
    assert row.undo_until is not None
    assert f"until {row.undo_until:%-d %b %Y %H:%M:%S} UTC" in page.one("#undo-form").text
    assert read(client("viewer").get(f"/logs/{run.uid}/")).all("#undo-form") == []
    Cancellation.objects.update(undo_until=row.undo_until - timedelta(minutes=2))
    page = read(browser.get(f"/logs/{run.uid}/"))
    assert page.all("#undo-form") == []
    assert page.one("#who-may-undo").text == "An admin may still undo it."
    said = read(client("admin").get(f"/logs/{run.uid}/")).one("#who-may-undo").text
    assert said == "You may still undo it, on the page of the cancellation."


def test_a_run_of_another_environment_is_offered_there() -> None:
    run = run_of(invoke(DELAY, environment=Environment.objects.get(key="test")))
    browser = client("viewer")
    missing = browser.get(f"/logs/{run.uid}/")
    form = read(missing).one("#elsewhere")
    assert (missing.status_code, form["action"]) == (404, "/environment/")
    assert form.text == "It is in test: Look there"
    given = {one["name"]: one["value"] for one in form.all("[name]") if one["name"] != "csrfmiddlewaretoken"}
    assert given == {"next": f"/logs/{run.uid}/", "environment": "test"}
    answer = browser.post("/environment/", given)
    assert answer["Location"] == f"/logs/{run.uid}/"
    assert read(browser.get(answer["Location"])).one("h1").text == str(run.uid)
    assert (
        browser.post("/environment/", given | {"next": "https://elsewhere.example/"})["Location"] == "/logs/"
    )
    for nothing in (f"/logs/{UUID(int=7)}/", f"/logs/{UUID(int=7)}/cancel/"):
        assert read(client("operator").get(nothing)).all("#elsewhere") == []
    assert Client().get(f"/logs/{run.uid}/")["Location"].startswith("/login/")
