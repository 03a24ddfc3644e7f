"""The badge in the frame of every page: how many work, asked anew without a cost to what a person does."""

from __future__ import annotations

from datetime import timedelta

import pytest

from automations.models import Worker, database_now
from tests.captured import Captured
from tests.pages import read
from tests.people import client

pytestmark = pytest.mark.django_db


def worker(name: str, *, silent: timedelta = timedelta(0)) -> Worker:
    then = database_now() - silent
    return Worker.objects.create(name=name, host="h", pid=1, started_at=then, seen_at=then)


def badge(address: str = "/docs/") -> str:
    return read(client("viewer").get(address)).one("#at-work").text


def test_every_page_says_how_many_work() -> None:
    assert badge() == "Nobody works"
    worker("silent", silent=timedelta(seconds=31))
    assert badge() == "Nobody works"
    worker("a")
    assert badge() == "1 worker"
    worker("b")
    buried = worker("c")
    assert badge("/messages/") == "3 workers"
    Worker.objects.filter(pk=buried.pk).update(died_at=database_now())
    assert badge() == "2 workers"


def test_it_is_read_with_the_environments() -> None:
    browser = client("viewer")
    with Captured() as asked:
        browser.get("/docs/")
    assert [query["sql"] for query in asked if "worker" in query["sql"]] == [
        query["sql"] for query in asked if "automations_environment" in query["sql"]
    ]


def test_a_poll_brings_it_when_another_number_work() -> None:
    browser = client("viewer")
    worker("a")
    assert browser.get("/workers/?shown=1", headers={"HX-Request": "true"}).status_code == 204
    answer = browser.get("/workers/?shown=2", headers={"HX-Request": "true"})
    assert answer.status_code == 200
    shown = read(answer).one("#at-work")
    assert shown.text == "1 worker"
    assert shown["hx-get"] == "/workers/?shown=1"


def test_a_poll_takes_nobody_from_their_page() -> None:
    answer = client().get("/workers/?shown=2", headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert "HX-Redirect" not in answer.headers


def test_it_is_no_page_of_its_own() -> None:
    assert client("viewer").get("/workers/").status_code == 404
