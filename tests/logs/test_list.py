"""The list of runs: what a row says, what is counted, how one pages, and what a poll is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from automations import execution
from automations.models import Environment, Origin, Run, RunStatus, Version
from logs import rows
from tests.captured import Captured
from tests.pages import Element, read
from tests.people import client
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    invoke,
    make_due,
    production,
    publish,
    run_of,
    start,
    work_off,
)

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
BROKEN = {"action": "send", "message": {"content": {"title": "${throw 1}"}}}


def page(browser: Client, query: str = "", **headers: str) -> Element:
    return read(browser.get(f"/logs/{query}", headers=headers))


def line(run: Run) -> list[str]:
    """The cells of the run's row as an operator sees them, without those of the times."""
    cells = page(client("operator")).one(f"#row-{run.uid}").texts("td")
    return [*cells[1:4], cells[5]]


def short(run: Run) -> str:
    return f"{str(run.uid)[:8]}…{str(run.uid)[-4:]}"


def test_a_waiting_run_says_where_it_waits_and_for_how_long() -> None:
    publish(
        "onboarding",
        {"steps": [SEND, {"action": "delay", "duration": "23 hours 30 minutes"}, SEND]},
        name="Onboarding",
    )
    run = run_of(invoke(definition=None, automation="onboarding", recipients=["u1"], key="k"))
    work_off()
    assert line(run) == [
        "Onboarding api/test", "Waiting · step 2 Delay wakes in 23 h", "– u1 · key k", f"Cancel… run {short(run)}",
    ]  # fmt: skip


def test_a_run_that_is_due_says_the_step_it_waits_for() -> None:
    run = run_of(invoke(DELAY, SEND, token="t"))
    make_due(run)
    stands, token = line(run)[1:3]
    assert (stands in ("Waiting · step 2 Send due now", "Waiting · step 2 Send due 1 s ago"), token) == (
        True,
        "t",
    )


def test_a_run_whose_step_failed_says_when_it_is_tried_again(settings: Any) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = ("127.0.0.1",)
    nobody = {"webhook": {"url": "http://127.0.0.1:9/"}}
    run = run_of(
        invoke({**SEND, "message": {**SEND["message"], "to": nobody}, "retry": {"interval": "100 seconds"}})
    )
    work_off()
    assert line(run)[1] == "Waiting · step 1 Send next try in 1 min"


def test_a_running_run_says_since_when() -> None:
    run = run_of(invoke(SEND))
    (task,) = start()
    assert line(run)[1] == f"Running · step 1 Send since {task.claim.started_at:%H:%M:%S}"


def test_an_ended_run_says_how_it_ended_and_cannot_be_cancelled() -> None:
    completed, failed = run_of(invoke(SEND, SEND)), run_of(invoke(BROKEN))
    work_off()
    assert line(completed) == ["Ad hoc steps api/test", "Completed 2 steps", "–", ""]
    cells = line(failed)
    assert (cells[1].partition(" Send ")[0], cells[3]) == ("Failed · step 1", "")
    assert "1" in cells[1].partition(" Send ")[2]


def test_a_cancelled_run_says_by_whom_before_and_after_it_is_archived() -> None:
    run, settling = run_of(invoke(DELAY, token="a")), run_of(invoke(SEND, token="b"))
    start()
    cancel_runs(token="a", origin=Origin.BROWSER)
    cancel_runs(token="b")
    for _ in range(2):
        assert [line(run)[1], line(run)[3]] == ["Cancelled by ana · browser", ""]
        assert [line(settling)[1], line(settling)[3]] == ["Cancelled, settling by ana · API", ""]
        execution.keep_house(production())


def test_the_newest_run_stands_first() -> None:
    older, newer = run_of(invoke(DELAY)), run_of(invoke(DELAY))
    ids = [row["id"] for row in page(client("viewer")).all("[data-row]")]
    assert ids == [f"row-{newer.uid}", f"row-{older.uid}"]


def chips(browser: Client, query: str = "") -> list[str]:
    return page(browser, query).texts(".chip")


def test_the_chips_count_by_status_within_the_other_filters() -> None:
    invoke(DELAY, source="a")
    invoke(DELAY, source="a")
    invoke(DELAY, source="b", token="c")
    invoke(SEND, source="b")
    cancel_runs(token="c")
    browser = client("viewer")
    assert chips(browser) == ["All", "Waiting 3", "Running 0", "Failed 0", "Cancelled 1", "Completed 0"]
    work_off()
    cache.clear()
    assert chips(browser, "?status=cancelled") == [
        "All", "Waiting 2", "Running 0", "Failed 0", "Cancelled 1", "Completed 1",
    ]  # fmt: skip
    assert chips(browser, "?q=source:b&status=waiting") == [
        "All", "Waiting 0", "Running 0", "Failed 0", "Cancelled 1", "Completed 1",
    ]  # fmt: skip


def test_counts_stop_where_they_are_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST_COUNTED", 3)
    monkeypatch.setattr(rows, "MOST_SORTED", 2)
    for _ in range(5):
        invoke(DELAY, source="s")
    for query, most in (("", 3), ("?status=waiting", 3), ("?q=s", 2)):
        answer = client("viewer").get(f"/logs/{query}")
        waiting = answer.context["chips"][0]
        assert (waiting.status, waiting.count) == ("waiting", most + 1)
        assert read(answer).one("#chip-waiting").text == f"Waiting {most}+"


def test_one_count_serves_every_tab_for_two_seconds() -> None:
    invoke(DELAY)
    browser = client("viewer")
    assert chips(browser)[1] == "Waiting 1"
    invoke(DELAY)
    assert chips(browser)[1] == "Waiting 1"
    assert chips(browser, "?q=api")[1] == "Waiting 2"


@pytest.mark.parametrize("status", RunStatus.values)
def test_a_status_filter_shows_the_runs_of_that_status_alone(status: str) -> None:
    invoke(SEND), invoke(BROKEN)
    work_off()
    invoke(DELAY, token="live"), invoke(DELAY, token="archived")
    cancel_runs(token="archived")
    archive_all()
    cancel_runs(token="live")
    invoke(SEND)
    start()
    invoke(DELAY)
    shown = client("viewer").get(f"/logs/?status={status}").context["rows"]
    wanted = {"cancelled": 2, "skipped": 0}.get(status, 1)
    assert [row.run.public_status for row in shown] == [status] * wanted


def test_many_unarchived_cancellations_hide_no_cancelled_run() -> None:
    runs = [run_of(invoke(DELAY, token=f"t{number}")) for number in range(23)]
    for number in range(22):
        cancel_runs(token=f"t{number}")
    shown = client("viewer").get("/logs/?status=cancelled").context["rows"]
    assert [row.run for row in shown] == runs[21::-1]


def test_the_automation_filter_knows_keys() -> None:
    publish("one", {"steps": [DELAY]})
    run = run_of(invoke(definition=None, automation="one"))
    invoke(DELAY)
    browser = client("viewer")
    assert [row.run for row in browser.get("/logs/?automation=one").context["rows"]] == [run]
    assert browser.get("/logs/?automation=two").context["rows"] == []


def test_pages_follow_one_another_without_gap_or_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "SIZE", 2)
    runs = [run_of(invoke(DELAY, source="s")) for _ in range(5)]
    browser, query, seen = client("viewer"), "?q=s", []
    for _ in range(3):
        answer = browser.get(f"/logs/{query}")
        seen += [row.run for row in answer.context["rows"]]
        query = answer.context["older"]
    assert (seen, query) == (runs[::-1], "")
    invoke(DELAY, source="s")  # what comes in meanwhile moves nothing
    again = browser.get(f"/logs/?q=s&before={runs[3].pk}")
    assert [row.run for row in again.context["rows"]] == [runs[2], runs[1]]
    assert read(again).one("#newest")["href"] == "/logs/?q=s"
    assert not read(again).one("#results").has("data-poll")


def test_htmx_gets_the_results_alone_and_the_canonical_address() -> None:
    run = run_of(invoke(DELAY))
    answer = client("viewer").get("/logs/?q=&status=waiting&automation=&started=", headers=HTMX)
    assert answer["HX-Replace-Url"] == "/logs/?status=waiting"
    assert answer["Vary"].split(", ")[0] == "HX-Request"
    assert answer["Cache-Control"] == "no-store"
    (results,) = [child for child in read(answer).children if isinstance(child, Element)]
    assert (results["id"], results.texts(".run")) == ("results", [short(run)])


def test_a_whole_page_is_given_when_history_is_restored() -> None:
    restored = client("viewer").get("/logs/", headers={**HTMX, "HX-History-Restore-Request": "true"})
    assert read(restored).one("title").text == "Logs · Countermand"


def poll_of(browser: Client, query: str = "") -> str:
    return page(browser, query).one("#results")["hx-get"]


def changes(run: Run) -> dict[str, Callable[[], Any]]:
    return {
        "another run": lambda: invoke(DELAY),
        "cancelled": lambda: cancel_runs(token="t"),
        "due": lambda: make_due(run),
        "started": lambda: (make_due(run), start()),
    }


@pytest.mark.parametrize("change", ["another run", "cancelled", "due", "started"])
def test_a_poll_is_answered_with_nothing_until_something_changed(change: str) -> None:
    run = run_of(invoke(DELAY, SEND, token="t"))
    browser = client("viewer")
    address = poll_of(browser)
    for _ in range(2):
        answer = browser.get(address, headers=HTMX)
        assert (answer.status_code, answer.content) == (204, b"")
    changes(run)[change]()
    answer = browser.get(address, headers=HTMX)
    assert answer.status_code == 200
    assert not answer.has_header("HX-Replace-Url")
    assert read(answer).one("#results")["hx-get"] != address


def test_a_poll_asks_for_the_same_filters() -> None:
    address = poll_of(client("viewer"), "?status=failed&q=x&automation=")
    assert address.startswith("/logs/?q=x&status=failed&tag=")


def test_a_whole_run_id_opens_the_run() -> None:
    run = run_of(invoke(DELAY))
    browser = client("viewer")
    assert browser.get(f"/logs/?q={run.uid}")["Location"] == f"/logs/{run.uid}/"
    assert browser.get(f"/logs/?q={run.uid}", headers=HTMX)["HX-Redirect"] == f"/logs/{run.uid}/"
    unknown = page(browser, "?q=01a1faa2-7e38-7497-8d4a-8ef95a6dba71&started=1h")
    assert unknown.one(".empty").text == (
        "No run matches. Searched run ID, source, token, recipient, key, for what is or begins with"
        " 01a1faa2-7e38-7497-8d4a-8ef95a6dba71, capitals included; an idempotency key is found only as a whole."
        " Search any time Clear all filters"
    )
    assert unknown.one("#any-time")["href"] == "/logs/?q=01a1faa2-7e38-7497-8d4a-8ef95a6dba71"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("%00", "A search cannot hold a NUL character."),
        ("x" * 601, "A search may have at most 600 characters."),
    ],
)
def test_a_text_that_cannot_be_searched_for_is_answered_in_words(text: str, said: str) -> None:
    invoke(DELAY)
    empty = page(client("viewer"), f"?q={text}&automation=one&status=cancelled").one(".empty")
    assert empty.text == said


def test_without_any_run_the_page_says_how_to_make_one() -> None:
    empty = page(client("viewer")).one(".empty")
    assert empty.text.startswith("No runs yet. There is no automation to invoke yet: publish one")
    assert (empty.one("#to-automations")["href"], empty.all("#curl-first")) == ("/templates/", [])
    publish("first", {"steps": [DELAY]})
    empty = page(client("viewer")).one(".empty")
    assert empty.text.startswith("No runs yet. Invoke an automation with its key")
    assert '"automation": "first"' in empty.one("#curl-first").text
    Version.objects.update(definition={"cancellation_token": "a-{{data.request_id}}", "steps": [DELAY]})
    asked = page(client("viewer")).one("#curl-first").text
    assert '{"automation": "first", "data": {"request_id": "request_123"}}' in asked


def test_another_environments_runs_are_neither_listed_nor_counted() -> None:
    test = Environment.objects.get(key="test")
    foreign = run_of(invoke(DELAY, environment=test))
    browser = client("viewer")
    assert browser.get("/logs/").context["rows"] == []
    assert chips(browser)[1] == "Waiting 0"
    assert browser.get(f"/logs/?q={foreign.uid}").context["rows"] == []
    browser.post("/environment/", {"environment": "test"})
    assert [row.run for row in browser.get("/logs/").context["rows"]] == [foreign]


def test_a_viewer_sees_no_cancel_button() -> None:
    run = run_of(invoke(DELAY))
    assert [cell.text for cell in page(client("viewer")).all("th")][-1] == "Started"
    assert page(client("viewer")).all(".cancel") == []
    assert [link["href"] for link in page(client("operator")).all(".cancel")] == [f"/logs/{run.uid}/cancel/"]


def statements(query: str = "", **headers: str) -> int:
    browser = client("operator")
    cache.clear()
    with Captured() as statements:
        assert browser.get(f"/logs/{query}", headers=headers).status_code == 200
    return len(statements)


@pytest.mark.parametrize("query", ["", "?q=api", "?status=cancelled", "?status=failed"])
def test_the_number_of_statements_is_the_same_for_one_row_and_for_three(query: str) -> None:
    def of_every_kind(number: int) -> None:
        publish(f"a{number}", {"steps": [DELAY, BROKEN]})
        invoke(definition=None, automation=f"a{number}")
        invoke(BROKEN), invoke(SEND, token="other")
        work_off()
        invoke(DELAY, token="t")
        cancel_runs(token="t")
        archive_all()

    of_every_kind(1)
    one = statements(query)
    of_every_kind(2)
    of_every_kind(3)
    assert statements(query) == one
    assert one <= 13


def test_what_callers_sent_is_text_and_never_markup() -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    publish("evil", {"steps": [DELAY]}, name=evil)
    invoke(definition=None, automation="evil", recipients=[evil], key=evil, source=evil)
    answer = client("operator").get("/logs/", {"q": "<script>"})
    assert evil.encode() not in answer.content
    assert read(client("operator").get("/logs/")).all("[data-row]")[0].texts("td")[1] == f"{evil} {evil}"


def test_an_older_page_says_how_many_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "SIZE", 1)
    for _ in range(2):
        invoke(DELAY, source="api/a")
    browser = client("viewer")
    older = page(browser, page(browser, "?q=source:api/a").one("#older")["href"].removeprefix("/logs/"))
    poll = older.one("#newer")["hx-get"]
    assert older.one("#newer").text == ""
    assert browser.get(poll, headers=HTMX).status_code == 204
    invoke(DELAY, source="api/b")
    assert browser.get(poll, headers=HTMX).status_code == 204
    invoke(DELAY, source="api/a")
    answer = read(browser.get(poll, headers=HTMX))
    assert answer.one("#to-newer").text == "1 new"
    assert answer.one("#to-newer")["href"] == "/logs/?q=source%3Aapi%2Fa"
    assert answer.one("#newer")["hx-get"] == poll
    assert page(browser, "").all("#newer") == []
    assert browser.get("/logs/?before=9&since=x", headers=HTMX).status_code == 200
    first = Run.objects.order_by("pk").values_list("pk", flat=True)[0]
    waiting = read(browser.get(f"/logs/?status=waiting&before=9&since={first}", headers=HTMX))
    assert waiting.one("#to-newer").text == "3 new"


def test_unfinished_rows_can_be_ticked_by_who_may_cancel() -> None:
    waiting, done = run_of(invoke(DELAY)), run_of(invoke(SEND))
    work_off()
    ticks = page(client("operator")).all(".tick")
    assert [(tick["value"], tick["form"]) for tick in ticks] == [(str(waiting.uid), "ticked")]
    assert page(client("viewer")).all(".tick") == []
    assert page(client("operator")).one("#ticked")["action"] == "/bulk/new/"
    assert done.uid != waiting.uid


@pytest.mark.parametrize("status", ["", *RunStatus.values])
def test_where_nothing_is_due_so_soon_no_status_has_any(status: str) -> None:
    tomorrow = {**DELAY, "duration": "1 day"}
    invoke(tomorrow, SEND)
    cancel_runs(run_ids=(run_of(invoke(tomorrow, SEND)).uid,))  # is not archived yet
    browser = client("viewer")
    for wakes in ("late", "1h"):
        found = page(browser, f"?wakes={wakes}&status={status}")
        assert found.all("[data-row]") == []
        assert {chip.text.split()[-1] for chip in found.all(".chip") if chip.has("id")} == {"All", "0"}
    assert len(page(browser, "?wakes=7d").all("[data-row]")) == 1
