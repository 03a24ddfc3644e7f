"""Why a run was or was not called off, told on pages."""

from __future__ import annotations

import pytest

from automations import undo
from automations.models import Cancellation
from tests.pages import read
from tests.people import client
from tests.scenes import DELAY, cancel_runs, invoke, production, run_of

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def test_a_run_that_was_nearly_hit_says_by_what() -> None:
    run = run_of(invoke(DELAY, token="Trial-7"))
    row = cancel_runs(token="trial-7")
    address = f"/logs/{run.uid}/why/"
    assert read(client("viewer").get(f"/logs/{run.uid}/")).one("#to-why")["href"] == address
    page = read(client("viewer").get(address))
    assert page.one("h1").text == "Why was it not called off?"
    (line,) = page.one(".recent").texts("li")
    assert 'the run has "Trial-7", the cancellation asked for "trial-7"' in line
    assert page.one(f"#why-{row.pk}")["href"] == f"/bulk/{row.pk}/"
    missed = read(client("viewer").get(f"/bulk/{row.pk}/missed/", headers=HTMX))
    assert missed.one(f"#missed-{run.uid}")["href"] == f"/logs/{run.uid}/"
    assert missed.all("html") == []


def test_a_run_says_what_hit_it_and_why_another_cancellation_did_not() -> None:
    run = run_of(invoke(DELAY, token="t"))
    other, _ = cancel_runs(token="u"), cancel_runs(token="t")
    page = read(client("viewer").get(f"/logs/{run.uid}/why/"))
    assert page.one("h1").text == "Why was it called off?"
    assert page.one(".recent").text.startswith('Hit: the run matches token "t", and had not ended.')
    asked = read(client("viewer").get(f"/logs/{run.uid}/why/?cancellation={other.pk}"))
    assert 'Token differs: the run has "t"' in asked.one(".recent").text
    for odd in ("x", str(run.uid)):
        said = read(client("viewer").get(f"/logs/{run.uid}/why/?cancellation={odd}")).one(".error").text
        assert said == f"There is no cancellation {odd} in this environment."


def test_a_run_whose_cancellation_was_undone_says_which() -> None:
    run = run_of(invoke(DELAY))
    row = cancel_runs(run_ids=(run.uid,))
    undo.undo(environment=production(), pk=row.pk, actor="user/ana")
    page = read(client("viewer").get(f"/logs/{run.uid}/why/"))
    said = page.one("#undone").text
    assert said.startswith(f"Cancellation {row.pk} had called the run off, at 20")
    assert said.endswith(" UTC; the run is waiting.")
    assert "No cancellation has hit" not in page.one("#why").text


def test_a_run_that_nothing_came_near_says_so() -> None:
    run = run_of(invoke(DELAY))
    page = read(client("viewer").get(f"/logs/{run.uid}/why/"))
    assert page.one("#why").texts("p")[1].startswith("No cancellation has hit this run, which is waiting")
    row = cancel_runs(token="nothing")
    Cancellation.objects.update(environment=production().__class__.objects.get(key="test"))
    assert client("viewer").get(f"/bulk/{row.pk}/missed/").status_code == 404
