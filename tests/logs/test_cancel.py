"""The cancel button: whom it serves, what it asks, and what it says afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from automations.models import Cancellation, Origin, Run
from logs import bulk_forms
from tests.pages import Element, read
from tests.people import client
from tests.scenes import DELAY, SEND, cancel_runs, invoke, run_of, start, status, work_off

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def address(run: Run) -> str:
    return f"/logs/{run.uid}/cancel/"


def clock(cancellation: Cancellation) -> str:
    at = cancellation.as_of
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d} UTC"


def press(browser: Client, run: Run, **fields: Any) -> Any:
    return browser.post(address(run), fields, headers=HTMX)


def test_the_question_says_what_will_happen() -> None:
    run = run_of(invoke(SEND, DELAY, SEND))
    work_off()
    dialog = read(client("operator").get(f"{address(run)}?on=list", headers=HTMX))
    assert dialog.one("#dialog-title").text == "Cancel this run?"
    assert dialog.one(".prospects").texts("li") == [
        "Step 3 Send will not run.", "Step 1 Send already ran and is not undone.",
    ]  # fmt: skip
    assert dialog.texts("button") == ["Keep it running", "Cancel run"]
    assert dialog.all("fieldset") == []
    assert (dialog.one("form")["hx-target"], dialog.one("form")["hx-sync"]) == ("#toast", "#results:replace")


def test_without_javascript_the_question_is_a_page() -> None:
    run = run_of(invoke(DELAY))
    browser = client("operator")
    page = read(browser.get(address(run)))
    assert page.one("h1").text == "Cancel this run?"
    assert page.one("#cancel-form")["action"] == address(run)
    answer = browser.post(address(run), {"reason": "wrong list"})
    assert (answer.status_code, answer["Location"]) == (302, f"/logs/{run.uid}/")
    cancellation = Cancellation.objects.get()
    assert read(browser.get(answer["Location"])).one("#toast").text == (
        f"Cancelled {clock(cancellation)} by otto. No further step of this run will start."
    )


def test_one_place_of_the_navigation_is_marked_on_every_page_of_the_logs() -> None:
    run, browser = run_of(invoke(DELAY, token="t")), client("operator")
    row = cancel_runs(token="t")
    marked = {}
    for path in (
        "/",
        "/logs/",
        address(run),
        f"/logs/{run.uid}/why/",
        "/bulk/new/",
        f"/bulk/{row.pk}/missed/",
    ):
        links = read(browser.get(path)).one(".side").all("[aria-current]")
        marked[path] = [link.text for link in links]
    assert list(marked.values()) == [
        ["Overview"], ["Logs"], ["Logs"], ["Logs"], ["Cancellations"], ["Cancellations"],
    ]  # fmt: skip
    assert [link["href"] for link in read(browser.get("/logs/x/")).one("main").all("a")] == ["/logs/"]


def test_the_cancel_is_recorded_with_person_origin_and_reason() -> None:
    run = run_of(invoke(DELAY, token="t"))
    spared = run_of(invoke(DELAY, token="t"))
    press(client("operator"), run, reason="wrong list", scope="run")
    cancellation = Cancellation.objects.get()
    assert (cancellation.actor, cancellation.origin, cancellation.reason) == (
        "user/otto",
        Origin.BROWSER,
        "wrong list",
    )
    assert (status(run), status(spared)) == ("cancelled", "waiting")


def test_on_the_runs_page_the_answer_is_the_panel_and_what_is_said() -> None:
    run = run_of(invoke(DELAY))
    answer = press(client("operator"), run, on="run")
    panel, said = [child for child in read(answer).children if isinstance(child, Element)]
    cancellation = Cancellation.objects.get()
    assert answer["HX-Trigger"] == "cancelled"
    assert (panel["id"], panel.has("data-poll"), panel.all("#cancel-run")) == ("panel", False, [])
    assert panel.one(".standing").text == "Cancelled"
    assert said["hx-swap-oob"] == "innerHTML:#toast"
    assert (
        said.one(".info").text
        == f"Cancelled {clock(cancellation)} by otto. No further step of this run will start."
    )


def test_in_the_list_the_answer_is_what_is_said() -> None:
    run = run_of(invoke(DELAY))
    answer = press(client("operator"), run, on="list")
    cancellation = Cancellation.objects.get()
    assert (
        read(answer).one(".info").text
        == f"Cancelled {clock(cancellation)} by otto. No further step of this run will start."
    )
    assert read(answer).one(".undoable").one("#toast-undo").text == "Undo"
    assert answer["HX-Trigger"] == "cancelled"


def test_a_step_that_had_started_is_named() -> None:
    run = run_of(invoke(SEND, SEND))
    (task,) = start()
    dialog = read(client("operator").get(address(run), headers=HTMX))
    assert dialog.one(".prospects").texts("li") == [
        "Step 2 Send will not run.",
        "Step 1 Send has started and may still finish; nothing after it starts.",
    ]
    said = read(press(client("operator"), run, on="list")).one(".info").text
    at = task.claim.started_at
    started = f"{at:%H:%M:%S}.{at.microsecond // 1000:03d} UTC"
    assert said == (
        f"Cancelled {clock(Cancellation.objects.get())} by otto. Step 1 Send had started at {started},"
        " it may still finish; nothing after it starts."
    )


def test_a_run_that_has_finished_is_left_alone_and_says_so() -> None:
    run = run_of(invoke(SEND))
    work_off()
    ended = Run.objects.get(pk=run.pk).finished_at
    assert ended is not None
    words = (
        f"This run finished at {ended:%H:%M:%S}.{ended.microsecond // 1000:03d} UTC, before the cancel."
        " Nothing was changed."
    )
    browser = client("operator")
    dialog = read(browser.get(address(run), headers=HTMX))
    assert (dialog.one("h2").text, dialog.one("p").text, dialog.all("form")) == (
        "Nothing to cancel",
        words,
        [],
    )
    answer = press(browser, run, on="list")
    assert (answer.status_code, read(answer).text, status(run)) == (200, words, "completed")


def test_the_second_of_two_cancels_says_who_was_first() -> None:
    run = run_of(invoke(DELAY, token="t"))
    first = cancel_runs(token="t")
    answer = press(client("operator"), run, on="list")
    assert (answer.status_code, read(answer).text) == (
        200, f"This run was already cancelled by ana at {clock(first)}. Nothing was changed.",
    )  # fmt: skip
    assert Run.objects.with_state().get(pk=run.pk).called_off_by == first


def test_all_runs_with_the_token_can_be_cancelled_at_once() -> None:
    runs = [run_of(invoke(DELAY, token="t")) for _ in range(3)]
    other = run_of(invoke(DELAY, token="u"))
    browser = client("operator")
    dialog = read(browser.get(address(runs[0]), headers=HTMX))
    assert dialog.one("fieldset").texts("label") == [
        "This run only",
        "All 3 unfinished runs with the token t",
    ]
    labels = [(part["class"], part.text) for part in dialog.one("#confirm-cancel").all("span")]
    assert labels == [("of-run", "Cancel run"), ("of-token", "Cancel 3 runs")]
    said = read(press(browser, runs[0], scope="token", on="list")).one(".info").text
    assert said == "Cancelled 3 runs. No further step of them will start."
    assert [status(run) for run in (*runs, other)] == ["cancelled"] * 3 + ["waiting"]


def test_more_than_a_hundred_with_the_token_are_looked_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [run_of(invoke(DELAY, token="a b&c")) for _ in range(3)]
    browser = client("operator")
    monkeypatch.setattr(bulk_forms, "TYPED_ABOVE", 2)
    for headers in ({}, HTMX):
        asked = read(browser.get(address(runs[0]), headers=headers)).one("#cancel-form")
        assert (asked.all("fieldset"), asked.one("#confirm-cancel").text) == ([], "Cancel run")
        link = asked.one("#to-bulk-of-token")["href"]
        assert asked.one("#many-share").text.startswith("3 unfinished runs have the token a b&c")
        assert read(browser.get(link)).one("#plan-title").text == "This calls off 3 runs"
    led = browser.post(address(runs[0]), {"scope": "token"})
    assert (led.status_code, led["Location"]) == (302, link)
    assert press(browser, runs[0], scope="token")["HX-Redirect"] == link
    assert [status(run) for run in runs] == ["waiting"] * 3
    press(browser, runs[0], scope="run")
    assert [status(run) for run in runs] == ["cancelled", "waiting", "waiting"]


def test_of_several_runs_the_steps_that_had_started_are_counted() -> None:
    for count, told in ((1, "1 step"), (2, "2 steps")):
        token = f"t{count}"
        for _ in range(count):
            invoke(SEND, SEND, token=token)
        assert len(start()) == count
        waiting = run_of(invoke(DELAY, token=token))
        said = read(press(client("operator"), waiting, scope="token", on="list")).one(".info").text
        started = f"{told} had started and may still finish."
        assert said == f"Cancelled {count + 1} runs. No further step of them will start; {started}"


def test_the_token_is_not_offered_for_a_run_that_has_none_or_has_it_alone() -> None:
    for run in (run_of(invoke(DELAY)), run_of(invoke(DELAY, token="alone"))):
        dialog = read(client("operator").get(address(run), headers=HTMX))
        assert dialog.all("fieldset") == []
        press(client("operator"), run, scope="token")
        assert status(run) == "cancelled"


@pytest.mark.parametrize("fields", [{"reason": "x" * 501}, {"scope": "everything"}, {"reason": "a\0b"}])
def test_what_does_not_fit_is_said_in_the_dialog_and_cancels_nothing(fields: dict[str, str]) -> None:
    run = run_of(invoke(DELAY))
    answer = press(client("operator"), run, **fields)
    assert (answer.status_code, answer["HX-Retarget"], status(run)) == (422, "#dialog", "waiting")
    assert Cancellation.objects.count() == 0


@pytest.mark.parametrize("headers", [{}, HTMX])
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_viewer_may_not(method: str, headers: dict[str, str]) -> None:
    run = run_of(invoke(DELAY))
    answer = getattr(client("viewer"), method)(address(run), headers=headers)
    assert (answer.status_code, status(run)) == (403, "waiting")
    if headers:
        assert read(answer).text == (
            "You may not do this. Your role, viewer, does not allow this. Nothing was changed."
            " An admin can give you another role."
        )
    else:
        assert read(answer).one("h1").text == "You may not do this."


def test_a_cancel_without_the_forms_token_is_refused() -> None:
    run = run_of(invoke(DELAY))
    answer = client("operator", enforce_csrf_checks=True).post(address(run))
    assert (answer.status_code, status(run)) == (403, "waiting")
    assert read(answer).one("h1").text == "This page was out of date."


def test_reading_changes_nothing() -> None:
    run = run_of(invoke(DELAY))
    browser = client("operator")
    for path in ("/logs/", f"/logs/{run.uid}/", address(run)):
        browser.get(path)
    assert (status(run), Cancellation.objects.count()) == ("waiting", 0)
