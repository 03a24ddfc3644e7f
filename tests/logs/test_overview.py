"""The overview: its numbers, what wakes when, who works, what was called off and what failed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from automations import cancellation as cancelling
from automations import scheduled, undo
from automations.cancellation import CancelRequest
from automations.models import Cancellation, CancellationFilter, LiveRun, Origin, Run, Worker, database_now
from logs import words
from logs.overview import Overview
from logs.search import Search, Span
from tests.captured import Captured
from tests.pages import Element, read
from tests.people import client
from tests.scenes import (
    DELAY,
    SEND,
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
BROKEN = {"action": "send", "message": {"content": {"title": "${throw new Error('no')}"}}}
MOST_STATEMENTS = 22  # with the session, the person and the environment


def page(query: str = "") -> Element:
    cache.clear()
    return read(client("viewer").get(f"/{query}"))


def numbers() -> dict[str, str]:
    found = page()
    return {
        name: found.one(f"#tile-{name}").one("b").text for name in ("waiting", "late", "failed", "cancelled")
    }


def due_at(run: Run, moment: datetime) -> None:
    LiveRun.objects.filter(pk=run.pk).update(due_at=moment)


def worker(*, seen: timedelta = timedelta(0)) -> None:
    now = database_now()
    Worker.objects.create(name="w", host="h", pid=1, started_at=now - seen, seen_at=now - seen)


def test_each_tile_counts_what_its_address_lists() -> None:
    waiting, late, cancelled, failed = (
        run_of(invoke(*steps)) for steps in ([DELAY, SEND],) * 3 + ([BROKEN],)
    )
    work_off()
    make_due(late)
    due_at(late, database_now() - timedelta(minutes=5))
    cancel_runs(run_ids=(cancelled.uid,))
    assert numbers() == {"waiting": "2", "late": "1", "failed": "1", "cancelled": "1"}
    for name, runs in {
        "waiting": {waiting, late},
        "late": {late},
        "failed": {failed},
        "cancelled": {cancelled},
    }.items():
        listed = read(client("viewer").get(page().one(f"#tile-{name}")["href"]))
        assert {row["id"] for row in listed.all("[data-row]")} == {f"row-{run.uid}" for run in runs}


def test_of_a_herd_those_that_run_are_counted_among_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """After hours without workers a million runs may be due: whoever looks then does not wait for them to be read."""

    def running() -> tuple[str, str]:
        chip = read(client("viewer").get("/logs/")).one("#chip-running")
        return page().one("#tile-running").one("b").text, chip.one("b").text

    first, *others = (run_of(invoke(SEND)) for _ in range(4))
    for seconds, run in enumerate([first, *others]):
        due_at(run, database_now() - timedelta(seconds=30 - seconds))
    monkeypatch.setattr("logs.rows.HERD", 3)
    assert running() == ("0", "0")
    start(room=1)
    assert running() == ("1+", "1+")
    monkeypatch.setattr("logs.rows.HERD", 4)
    assert running() == ("1", "1")
    start()
    assert running() == ("4", "4")


def test_children_under_a_bar_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 1)
    publish("child", {"steps": [DELAY, SEND]})
    for _ in range(2):
        invoke({"action": "invoke", "template": "child"}, DELAY, SEND, token="t")
    work_off()
    assert numbers()["waiting"] == "4"
    cancel_runs(token="t")
    assert (numbers()["waiting"], [bin.text for bin in page().one(".scale").all("b")]) == ("0", ["0"] * 13)
    chips = read(client("viewer").get("/logs/"))
    assert chips.one("#chip-waiting").text == "Waiting 0"
    assert chips.one("#chip-cancelled").text == "Cancelled 4"


def test_the_strip_says_when_runs_wake_and_leads_to_them() -> None:
    start = database_now().replace(second=0, microsecond=0)
    start -= timedelta(minutes=start.minute % 5)
    now = start + timedelta(seconds=1)
    soon, later, tomorrow = (run_of(invoke(DELAY, SEND)) for _ in range(3))
    due_at(soon, start + timedelta(minutes=6))
    due_at(later, start + timedelta(minutes=59, seconds=59))
    due_at(tomorrow, now + timedelta(days=1))
    shown = Overview.read(environment=production(), span="hour", now=now, workers=0)
    assert [bin.count for bin in shown.bins] == [0, 1, *[0] * 9, 1, 0]
    assert [bin.height for bin in shown.bins][:2] == [1, 56]
    link = page().one("#bin-1")
    listed = read(client("viewer").get(link["href"]))
    assert [row["id"] for row in listed.all("[data-row]")] == [f"row-{soon.uid}"]
    week = Overview.read(environment=production(), span="week", now=now, workers=0)
    assert sum(bin.count for bin in week.bins) == 3


def test_the_days_of_the_week_begin_at_midnight_in_the_zone_of_the_page() -> None:
    for zone, now, starts in (
        ("Asia/Tokyo", datetime(2026, 11, 21, 20, 5, tzinfo=UTC), [(21, 15), (22, 15), (23, 15)]),
        ("Europe/Berlin", datetime(2026, 10, 24, 12, 0, tzinfo=UTC), [(23, 22), (24, 22), (25, 23)]),
        ("UTC", datetime(2026, 11, 21, 20, 5, tzinfo=UTC), [(21, 0), (22, 0), (23, 0)]),
    ):
        with timezone.override(zone):
            week = Overview.read(environment=production(), span="week", now=now, workers=0)
        bounds = [(bin.span.start.day, bin.span.start.hour) for bin in week.bins]
        assert (bounds[:3], len(bounds)) == (starts, 8)
        assert {bin.span.start.tzinfo for bin in week.bins} == {UTC}
        assert [bin.span.end for bin in week.bins[:-1]] == [bin.span.start for bin in week.bins[1:]]


@pytest.mark.parametrize(
    ("span", "length", "stretches"),
    [("hour", timedelta(hours=1), 12), ("day", timedelta(hours=24), 12), ("week", timedelta(days=7), 7)],
)
def test_the_strip_holds_all_that_wakes_within_its_span(span: str, length: timedelta, stretches: int) -> None:
    midnight = (database_now() + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    run = run_of(invoke(DELAY, SEND))
    for now, number in ((midnight, stretches), (midnight + timedelta(seconds=1), stretches + 1)):
        cache.clear()
        due_at(run, now + length - timedelta(seconds=1))
        bins = Overview.read(environment=production(), span=span, now=now, workers=0).bins
        assert ([bin.count for bin in bins], len(bins)) == ([0] * (number - 1) + [1], number)
        assert bins[-1].span.end - length == (midnight if number == stretches else bins[0].span.end)
        last = bins[-1]
        assert (bins[0].x, last.height, round(last.x + last.width)) == (0, 56, 600)


def test_a_stretch_of_time_stands_in_the_address() -> None:
    span = Span(
        start=datetime(2026, 11, 21, 20, 5, tzinfo=UTC), end=datetime(2026, 11, 21, 20, 10, tzinfo=UTC)
    )
    search = Search(wakes=str(span))
    assert search.address() == "?wakes=2026-11-21T20%3A05Z%2F2026-11-21T20%3A10Z"
    assert Search.read({"wakes": str(span)}) == search
    assert search.span == span
    found = read(client("viewer").get(f"/logs/{search.address()}"))
    assert found.one("#wakes").texts("option")[-1].endswith("20:05 to 20:10 UTC")
    for unknown in ("soon", "2026-11-21T20:05Z", "2026-13-21T20:05Z/2026-11-21T20:10Z", "/", "a/b/c"):
        assert Search.read({"wakes": unknown}).wakes == ""


def test_a_banner_says_that_nobody_works_and_leaves_by_itself() -> None:
    assert "Nobody works." in page().one("#alarm").text
    worker()
    assert page().all("#alarm") == []
    assert page().one("#workers").text == "1 worker at work · nothing is due"


def test_a_silent_worker_is_none() -> None:
    worker(seen=timedelta(seconds=31))
    assert "Nobody works." in page().one("#alarm").text


def test_a_worker_that_takes_nothing_is_told() -> None:
    worker()
    due_at(run_of(invoke(SEND)), database_now() - timedelta(seconds=31))
    shown = page()
    assert "no worker takes any" in shown.one("#alarm").text
    said = shown.one("#workers").text
    assert re.fullmatch(r"1 worker at work · the oldest due step was due 3\d s ago", said), said


def test_the_first_steps_are_shown_until_something_ran() -> None:
    assert page().one("#checklist").texts("li") == [
        "Write an automation", "Publish it", "Invoke it", "Call a run off",
    ]  # fmt: skip
    assert page().all("#curl-first") == []
    assert page().one("#stop-2")["href"] == "/templates/"
    publish("onboarding", {"steps": [SEND]})
    assert '"automation": "onboarding"' in page().one("#curl-first").text
    assert [page().one(f"#stop-{at}")["href"] for at in range(4)] == [
        "/templates/", "/templates/", "/templates/onboarding/use", "/logs/",
    ]  # fmt: skip
    assert page().one("#checklist").texts("li")[:3] == [
        "Write an automation: done",
        "Publish it: done",
        "Invoke it",
    ]
    invoke(SEND)
    assert page().all("#checklist") == []


def test_what_was_called_off_and_what_failed_is_told() -> None:
    run = run_of(invoke(DELAY, SEND))
    cancel_runs(run_ids=(run.uid,), reason="asked to")
    invoke(BROKEN)
    work_off()
    recent = page().texts("li")
    short = f"{str(run.uid)[:8]}…{str(run.uid)[-4:]}"
    assert any(f"run {short} → 1 run" in line and "asked to" in line for line in recent)
    assert any("Failed · step 1 Send · Error: no" in line for line in recent)


def test_cancel_steps_that_hit_nothing_push_no_cancellation_out() -> None:
    nothing = {"action": "cancel", "cancellation_token": "nobody"}
    invoke(*[nothing] * 6)
    work_off()
    assert page().all("section")[-2].texts("a") == ["token nobody"] * 5  # rather than none
    run = run_of(invoke(DELAY, SEND))
    cancel_runs(run_ids=(run.uid,), reason="asked to")
    cancel_runs(token="nobody", reason="by hand, for nothing")
    invoke(DELAY, token="hit")
    invoke(*[nothing] * 6, {"action": "cancel", "cancellation_token": "hit"})
    work_off()
    assert Cancellation.objects.count() == 15
    shown = page().all("section")[-2].texts("li")
    assert [line.partition(" → ")[2].partition(" by ")[0] for line in shown] == ["1 run", "0 runs", "1 run"]


def test_a_cancel_for_later_says_when_and_a_withdrawn_one_that_it_is() -> None:
    request = CancelRequest(
        environment=production(), filter=CancellationFilter(token="t"), actor="user/ana", origin=Origin.API
    )
    year = database_now().year + 2
    row, _ = scheduled.schedule(request, at=datetime(year, 1, 1, 9, tzinfo=UTC))
    found = page()
    assert f"token t → for 1 Jan {year}, UTC by ana · API" in found.texts("li")
    undo.undo(environment=production(), pk=row.pk, actor="user/ana")
    polled = client("viewer").get(found.one("#overview")["hx-get"], headers=HTMX)
    assert "token t → withdrawn by ana · API" in read(polled).texts("li")


def test_failures_are_told_by_when_they_failed_and_tiles_by_when_their_runs_started() -> None:
    first, *others = (run_of(invoke(BROKEN)) for _ in range(7))
    work_off()
    ended = database_now() - timedelta(hours=1)
    Run.objects.filter(pk__in=[run.pk for run in others]).update(finished_at=ended)
    shown = page()
    failures = [link["id"] for link in shown.all(".mono") if link["id"].startswith("failed-")]
    assert failures == [f"failed-{run.uid}" for run in (first, *others[:1:-1])]
    moments = [time["datetime"] for time in shown.all("section")[-1].all("time")]
    assert moments[1:] == [words.stamp(ended)] * 4
    assert shown.one("#tile-failed").text == "7 Failed, of those started in 24 h"
    Run.objects.filter(pk=first.pk).update(created_at=ended - timedelta(days=3))
    assert page().one("#tile-failed").text.startswith("6 ")


def test_a_poll_is_answered_with_nothing_until_something_changes() -> None:
    browser = client("viewer")
    poll = page().one("#overview")["hx-get"]
    assert browser.get(poll, headers=HTMX).status_code == 204
    invoke(DELAY, SEND)
    cache.clear()
    answer = browser.get(poll, headers=HTMX)
    assert answer.status_code == 200
    assert read(answer).one("#overview")["data-poll"] == "2000"


def test_the_page_takes_as_many_statements_however_many_runs_there_are() -> None:
    browser = client("viewer")
    for number in (1, 12):
        for _ in range(number):
            invoke(BROKEN)
            cancel_runs(run_ids=(run_of(invoke(DELAY, SEND)).uid,))
        work_off()
        cache.clear()
        with Captured() as captured:
            browser.get("/")
        assert len(captured) <= MOST_STATEMENTS, [query["sql"][:80] for query in captured]
