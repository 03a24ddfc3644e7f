"""What can be searched for, where it is looked for, and the one address that a search has."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.http import QueryDict
from django.utils import timezone

from automations.models import Environment, Run, database_now, run_search
from logs.search import Search
from logs.words import short
from tests.scenes import DELAY, invoke, production, run_of

pytestmark = pytest.mark.django_db


def search(query: str) -> Search:
    return Search.read(QueryDict(query))


def found(text: str, **more: Any) -> list[Run]:
    runs = Search(text=text, **more).runs(production(), now=database_now())
    return list(runs.order_by("pk"))


@pytest.fixture(params=["few", "many"])
def paths(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few hits are fetched through indexes, many by reading newest first: both find the same."""
    if request.param == "many":
        monkeypatch.setattr(run_search, "FEW", 0)


@pytest.fixture
def runs() -> dict[str, Run]:
    given: dict[str, dict[str, Any]] = {
        "a": {"source": "api/backend", "token": "user-1", "recipients": ["ana"], "key": "k1"},
        "b": {"source": "api/billing", "token": "user-12", "recipients": ["ana@example.com"], "key": "k12"},
        "c": {"source": "invoke", "token": "User-1", "idempotency_key": "order-7", "fingerprint": "f"},
        "d": {"source": "user-1 100%_x", "recipients": ["user-1"], "key": "user-1"},
    }
    return {name: run_of(invoke(DELAY, **fields)) for name, fields in given.items()}


@pytest.mark.usefixtures("paths")
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("user-1", "abd"),  # token a and b, source, recipient and key d; not User-1: capitals count
        ("User-1", "c"),
        ("api/b", "ab"),
        ("api/backend", "a"),
        ("ana", "ab"),
        ("k1", "ab"),
        ("order-7", "c"),
        ("order-", ""),  # idempotency keys are found whole
        ("ser-1", ""),  # never in the middle
        ("user-1 100%_", "d"),
        ("user-1 100%__", ""),  # % and _ stand for themselves
        ("token:user-1", "ab"),
        ('token:"user-1"', "a"),
        ("source:user-1", "d"),
        ('source:"user-1 100%_x"', "d"),
        ("recipient:ana", "ab"),
        ('recipient:"ana"', "a"),
        ("key:k1", "ab"),
        ('key:"k1"', "a"),
        ('key:"order-7"', "c"),
        ("token:user-1 source:api/backend", "a"),
        ("token:user-1 recipient:user-1", ""),
        ("token:user-1 api/billing", "b"),
        ("colour:red", ""),
    ],
)
def test_a_text_is_found_where_it_is_or_begins(runs: dict[str, Run], text: str, names: str) -> None:
    assert found(text) == [runs[name] for name in names]


@pytest.mark.usefixtures("paths")
def test_a_run_is_found_by_the_beginning_of_its_id_from_eight_digits_on(runs: dict[str, Run]) -> None:
    uid = str(runs["a"].uid)
    assert [run for run in found(uid[:18]) if run == runs["a"]] == [runs["a"]]
    assert found(uid) == found(uid.upper()) == found(uid.replace("-", "")) == [runs["a"]]
    assert found(uid[:35]) == [runs["a"]]
    assert found(uid[:7]) == []


@pytest.mark.usefixtures("paths")
@pytest.mark.parametrize("dots", ["…", "..."])
def test_a_run_is_found_by_its_id_as_it_is_shown(runs: dict[str, Run], dots: str) -> None:
    run, uid = runs["b"], str(runs["b"].uid)
    assert short(uid) == f"{uid[:8]}…{uid[-4:]}"
    assert found(f"{uid[:8]}{dots}{uid[-4:]}") == [run]
    assert found(f"{uid[:8].upper()}{dots}{uid[-12:].upper()}") == [run]
    other = "0" if uid[-1] != "0" else "1"
    first, last = uid[:8], uid[-4:]
    for nobody in (
        f"{uid[:-1]}{other}", f"{first}{dots}{uid[-4:-1]}{other}", f"{first}{dots}", f"{uid[:7]}{dots}{last}",
        f"{first}{dots}{uid[-13:]}", f"{first}{dots}{last}%", f"{first}{dots}zz", dots,
    ):  # fmt: skip
        assert found(nobody) == [], nobody


def test_another_environments_runs_are_not_found(runs: dict[str, Run]) -> None:
    test = Environment.objects.get(key="test")
    assert list(Search(text="user-1").runs(test, now=database_now())) == []
    assert list(Search(text=str(runs["a"].uid)).runs(test, now=database_now())) == []
    foreign = run_of(invoke(DELAY, environment=test, idempotency_key="order-7", fingerprint="f"))
    assert found("order-7") == [runs["c"]]
    assert list(Search(text="order-7").runs(test, now=database_now())) == [foreign]


def test_the_presets_reach_back_so_far_and_no_further(runs: dict[str, Run]) -> None:
    now = database_now()
    Run.objects.filter(pk=runs["a"].pk).update(created_at=now - timedelta(minutes=16))
    recent = Search(started="15m").runs(production(), now=now).order_by("pk")
    assert list(recent) == [runs["b"], runs["c"], runs["d"]]
    later = Search(started="15m").runs(production(), now=now + timedelta(hours=1))
    assert list(later) == []


def test_the_address_drops_what_is_empty() -> None:
    assert search("q=&status=&automation=&started=").address() == ""
    assert search("status=waiting&q=+a+b+&started=1h").address() == "?q=a+b&status=waiting&started=1h"
    assert search("before=17&q=x").address() == "?q=x&before=17"


@pytest.mark.parametrize("text", ["a\0b", "x" * 601])
def test_a_text_that_cannot_be_searched_for_finds_nothing_and_says_why(text: str) -> None:
    run_of(invoke(DELAY))
    assert found(text) == []
    assert Search(text=text).fault in {
        "A search may have at most 600 characters.",
        "A search cannot hold a NUL character.",
    }


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("status=foo", "There is no status “foo”."),
        ("automation=No%20such", "There is no automation “No such”."),
        ("started=soon", "There is no span “soon”."),
        ("wakes=2026", "There is no span “2026”."),
        ("cancellation=x", "There is no cancellation “x”."),
        ("before=-1", "There is no page “-1”."),
        ("before=99999999999999999999", "There is no page “99999999999999999999”."),
        ("cursor=zz&source=a", "There is no filter “cursor”."),
        ("q=a&foo=", "There is no filter “foo”."),
        ("status=" + "s" * 200, f"There is no status “{'s' * 100}”."),
    ],
)
def test_what_an_address_says_and_nobody_understands_finds_nothing_and_is_named(
    query: str, fault: str
) -> None:
    run_of(invoke(DELAY))
    asked = search(query)
    assert (asked.fault, asked.runs(production(), now=database_now()).count()) == (fault, 0)
    assert search(asked.address().removeprefix("?")).fault == fault  # also when the page asks again
    assert search("tag=x&since=1&status=&automation=").fault == ""


def test_the_searched_fields_are_named() -> None:
    assert Search(text="x").searched == ["run ID", "source", "token", "recipient", "key"]
    assert Search(text='token:a source:"b"').searched == ["token", "source"]


@pytest.mark.parametrize(
    ("query", "started"),
    [
        ("from=2026-11-20T14:00&to=2026-11-20T15:00", "2026-11-20T13:00Z/2026-11-20T14:00Z"),
        ("to=2026-11-20T15:00:30", "2000-01-01T00:00Z/2026-11-20T14:00Z"),
        ("from=2026-11-20T15:00&started=1h", "2026-11-20T14:00Z/2100-01-01T00:00Z"),
        ("from=soon&started=1h", "1h"),
        ("started=2026-11-20T13:00Z/2026-11-20T14:00Z", "2026-11-20T13:00Z/2026-11-20T14:00Z"),
        ("from=0001-01-01T00:00&to=9999-12-31T23:59", ""),
    ],
)
def test_a_span_of_the_past_is_read_in_the_zone_of_the_page(query: str, started: str) -> None:
    with timezone.override("Europe/Berlin"):
        assert search(query).started == started


@pytest.mark.parametrize(
    ("start", "end", "count"), [(-1, 1, 4), (-1, None, 4), (None, 1, 4), (None, -1, 0), (1, None, 0)]
)
def test_a_span_of_the_past_finds_what_was_invoked_in_it(
    runs: dict[str, Run], start: int | None, end: int | None, count: int
) -> None:
    now = database_now()
    given = {"from": start, "to": end}
    moments = {name: f"{now + timedelta(days=days):%Y-%m-%dT%H:%M}" for name, days in given.items() if days}
    asked = Search.read(moments)
    assert asked.runs(production(), now=now).count() == count
    assert Search.read(QueryDict(asked.address().removeprefix("?"))) == asked
    assert len(asked.starting(now=now)) == len(moments)
