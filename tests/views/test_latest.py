"""The Runs tab of the editor."""

from __future__ import annotations

from typing import Any

import pytest

from automations.models import Environment
from tests.pages import read
from tests.people import client
from tests.scenes import DELAY, cancel_runs, invoke, publish

pytestmark = pytest.mark.django_db
RUNS = "/templates/trial/runs"


def test_the_latest_runs_of_the_automation_stand_in_its_editor(django_assert_max_num_queries: Any) -> None:
    for key in ("trial", "other"):
        publish(key, {"steps": [DELAY], "cancellation_token": "t-{{data.n}}"})
    given = {"definition": None, "automation": "trial"}
    uids = [
        invoke(**given, data={"n": n}, recipients=["ada"] if n % 2 else []).runs[0]["id"] for n in range(22)
    ]
    invoke(definition=None, automation="other", data={"n": 1})
    cancel_runs(token="t-21")
    browser = client("operator")
    with django_assert_max_num_queries(5):
        page = read(browser.get(RUNS))
    rows = page.all("[data-row]")
    assert [row["id"] for row in rows] == [f"row-{uid}" for uid in reversed(uids[2:])]
    assert rows[0].text.split()[-2:] == ["ada", "Cancelled"]
    assert rows[1].one("code").text == "t-20"
    assert page.one(f"#run-{uids[21]}")["href"] == f"/logs/{uids[21]}/"
    assert (page.one("#runs-title").text, page.one("#all-runs")["href"]) == (
        "The latest 20 runs, newest first", "/logs/?automation=trial",
    )  # fmt: skip
    assert page.one("#cancel-runs")["href"] == "/bulk/new/?automation=trial"
    assert page.one("#tab-runs")["aria-current"] == "page"
    assert read(client("viewer").get(RUNS)).all("#cancel-runs") == []


def test_without_a_run_it_says_what_to_do() -> None:
    publish("trial", {"steps": [DELAY]})
    page = read(client("operator").get(RUNS))
    assert (page.all("[data-row]"), page.one("#invoke-first")["href"]) == ([], "/templates/trial/invoke")
    assert read(client("viewer").get(RUNS)).all("#invoke-first") == []
    elsewhere = client("viewer")
    session = elsewhere.session
    session["environment"] = Environment.objects.get(key="test").key
    session.save()
    assert elsewhere.get(RUNS).status_code == 404
