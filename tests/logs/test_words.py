"""The words and figures that pages are made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from automations.models import Cancellation
from automations.timeline import StepState
from logs import words
from logs.search import Span
from logs.templatetags import shown

NOW = datetime(2026, 11, 20, 14, 2, 11, 204_900, tzinfo=UTC)
pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "now"),
        (1, "in 1 s"),
        (59, "in 59 s"),
        (60, "in 1 min"),
        (3599, "in 59 min"),
        (23 * 3600 + 3500, "in 23 h"),
        (47 * 3600, "in 47 h"),
        (48 * 3600, "in 2 d"),
        (-5, "5 s ago"),
        (-3 * 86_400, "3 d ago"),
    ],
)
def test_a_moment_is_told_in_its_largest_whole_unit(seconds: float, said: str) -> None:
    assert shown.relative(NOW + timedelta(seconds=seconds), now=NOW) == said


@pytest.mark.parametrize(
    ("milliseconds", "said"), [(0, "0 ms"), (180, "180 ms"), (2400, "2.4 s"), (180_000, "3 min")]
)
def test_a_step_took_so_long(milliseconds: int, said: str) -> None:
    assert shown.lasted(NOW, NOW + timedelta(milliseconds=milliseconds)) == said
    assert shown.lasted(None, NOW) == ""


def test_counts_stop_at_ten_thousand() -> None:
    assert [shown.capped(count) for count in (0, 241, 10_000, 10_001)] == ["0", "241", "10,000", "10,000+"]
    assert shown.capped(1_001, 1_000) == "1,000+"


def test_a_number_is_told_in_groups_of_three() -> None:
    assert [shown.number(count) for count in (0, 241, 484_679)] == ["0", "241", "484,679"]


@pytest.mark.parametrize(
    ("actor", "said"),
    [
        ("user/ana", "ana"),
        ("key/backend", "key “backend”"),
        ("run/0199d3f2-0000-7000-8000-000000005b21", "run 0199d3f2…5b21"),
        ("invocation/0199d3f2-0000-7000-8000-000000005b21", "invocation 0199d3f2…5b21"),
        ("event order.paid", "event order.paid"),
        ("samples", "samples"),
        ("user/", "user/"),
    ],
)
def test_actors_are_called_by_name(actor: str, said: str) -> None:
    assert words.who(actor) == said


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if NOW were now, also for Django's own words."""
    monkeypatch.setattr(timezone, "now", lambda: NOW)


def test_times_are_told_in_the_zone_of_the_page() -> None:
    assert words.clock(NOW) == "14:02:11.204 UTC"
    with timezone.override("Europe/Berlin"):
        assert words.clock(NOW) == "15:02:11.204 CET"
        assert words.clock(NOW + timedelta(hours=9)) == "21 Nov 00:02:11.204 CET"
        assert shown.moment(NOW) == (
            '<time datetime="2026-11-20T14:02:11.204Z" title="2026-11-20T14:02:11.204Z">'
            "20 Nov 2026 15:02:11.204 CET</time>"
        )


def test_a_moment_of_another_day_or_year_says_so() -> None:
    later, next_year = NOW + timedelta(days=3), NOW + timedelta(days=60)
    assert [words.clock(at) for at in (later, next_year)] == [
        "23 Nov 14:02:11.204 UTC", "19 Jan 2027 14:02:11.204 UTC",
    ]  # fmt: skip
    looks = {look: shown.moment(later, look).partition(">")[2] for look in ("clock", "near", "fine", "day")}
    assert looks == {
        "clock": "14:02:11</time>", "near": "23 Nov 14:02:11</time>", "fine": "23 Nov 14:02:11.204</time>",
        "day": "23 Nov, UTC</time>",
    }  # fmt: skip
    assert shown.moment(next_year, "day").endswith(">19 Jan 2027, UTC</time>")
    assert shown.moment(later, "fine", later - timedelta(hours=1)).endswith(">14:02:11.204</time>")
    assert shown.moment(NOW, "fine", later).endswith(">20 Nov 14:02:11.204</time>")


@pytest.mark.parametrize(
    ("days", "hours", "said"),
    [
        (0, 1, "14:02 to 15:02 UTC"),
        (0, 12, "14:02 to 21 Nov 02:02 UTC"),
        (1, 1, "21 Nov 14:02 to 15:02 UTC"),
        (60, 24, "Tue 19 Jan 2027 14:02 to Wed 20 Jan 2027 14:02 UTC"),
    ],
)
def test_a_stretch_of_time_names_its_days(days: int, hours: int, said: str) -> None:
    start = NOW + timedelta(days=days)
    assert shown.stretch(Span(start=start, end=start + timedelta(hours=hours))) == said


def steps(*states: tuple[str, str]) -> list[StepState]:
    return [
        StepState(index=index, id=str(index), action=action, status=status)
        for index, (action, status) in enumerate(states)
    ]


@pytest.mark.parametrize(
    ("states", "sentences"),
    [
        (
            [("send", "completed"), ("delay", "waiting"), ("send", "pending")],
            ["Step 3 Send will not run.", "Step 1 Send already ran and is not undone."],
        ),
        (
            [("send", "completed")] * 2 + [("send", "waiting"), ("cancel", "pending"), ("send", "pending")],
            [
                "Steps 3 Send, 4 Cancel and 5 Send will not run.",
                "Steps 1 Send and 2 Send already ran and are not undone.",
            ],
        ),
        (
            [("send", "running"), ("send", "pending")],
            [
                "Step 2 Send will not run.",
                "Step 1 Send has started and may still finish; nothing after it starts.",
            ],
        ),
        ([("delay", "waiting")], ["No further step of this run will start."]),
    ],
)  # fmt: skip
def test_what_a_cancel_will_do_is_said_beforehand(
    states: list[tuple[str, str]], sentences: list[str]
) -> None:
    assert words.prevented_by_cancel(steps(*states)) == sentences


def test_how_many_children_a_cancel_takes_along_is_said() -> None:
    told = [words.prevented_by_cancel([], children=count)[-1] for count in (1, 3, 1_001)]
    assert told == [
        "The run that it started is cancelled too.",
        "The 3 runs that were started by it, or beneath it, are cancelled too.",
        "The 1,000 or more runs that were started by it, or beneath it, are cancelled too.",
    ]


def test_a_remark_becomes_a_sentence() -> None:
    assert words.sentence("reads no data: all share it") == "Reads no data: all share it."
    assert words.sentence("refs. counts at the beginning") == "refs. counts at the beginning."
    assert words.sentence("${...} counts whole") == "${...} counts whole."
    assert words.sentence("there is no automation “Trial_7A”") == "There is no automation “Trial_7A”."


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "done"),
        ({"counted": False}, "being counted"),
        ({"scheduled": {}}, "scheduled"),
        ({"scheduled": {}, "undone_at": NOW}, "withdrawn"),
        ({"undone_at": NOW}, "being undone"),
        ({"undone_at": NOW, "restored_at": NOW}, "undone"),
    ],
)
def test_how_a_cancellation_stands(given: dict[str, object], said: str) -> None:
    assert words.state_of(Cancellation(**given)) == said


def test_json_is_shown_with_its_own_letters() -> None:
    assert shown.pretty({"a": "ü", "at": NOW}) == '{\n  "a": "ü",\n  "at": "2026-11-20T14:02:11.204Z"\n}'
    assert shown.compact({"a": 1}) == '{"a": 1}'
    assert shown.search_for("a b", "token") == "q=token%3A%22a+b%22"
