"""What is told of a cancellation afterwards: that it was undone, and for whom it was."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automations import undo
from automations.models import Cancellation
from logs.views import bulk
from tests.logs.test_bulk import HTMX, runs, status_of
from tests.pages import read
from tests.people import client
from tests.scenes import archive_all, cancel_runs

pytestmark = pytest.mark.django_db


def test_an_undone_cancellation_is_said_to_be_undone_wherever_it_is_listed() -> None:
    runs(2, token="t")
    row = cancel_runs(token="t", undo_for=timedelta(minutes=1))
    operator = client("operator")
    poll = read(operator.get("/")).one("#overview")["hx-get"]
    assert operator.get(poll, headers=HTMX).status_code == 204
    operator.post(f"/bulk/{row.pk}/undo/")
    stands = read(operator.get("/bulk/")).one(f"#row-{row.pk}").texts("td")[4]
    assert stands in ("Undone by otto", "Being undone by otto")
    assert "undone · by ana · API" in read(operator.get(poll, headers=HTMX)).one("#overview").text
    archive_all()
    assert read(operator.get("/bulk/")).one(f"#row-{row.pk}").texts("td")[4] == "Undone by otto"


@pytest.mark.parametrize(("number", "more"), [(2, ""), (20, ""), (23, " and 3 more")])
def test_recipients_are_spelt_out_on_the_page_of_their_cancellation(number: int, more: str) -> None:
    named = tuple(f"user-{index}" for index in range(number))
    row = cancel_runs(recipients=named)
    told = read(client("viewer").get(f"/bulk/{row.pk}/")).one("#its-recipients").text
    assert told == ", ".join(named[:20]) + more


def test_later_only_an_admin_may_undo() -> None:
    shown = runs(1, token="t")
    row = cancel_runs(token="t")
    archive_all()
    assert read(client("operator").get(f"/bulk/{row.pk}/")).all("#undo") == []
    assert client("operator").post(f"/bulk/{row.pk}/undo/").status_code == 403
    assert client("admin").post(f"/bulk/{row.pk}/undo/").status_code == 302
    archive_all()
    assert status_of(*shown) == ["waiting"]


def test_nor_may_anybody_else_whose_time_to_undo_passes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = runs(1, token="t")
    row = cancel_runs(token="t", undo_for=timedelta(minutes=1))

    def too_late(**given: Any) -> Cancellation:
        Cancellation.objects.filter(pk=row.pk).update(undo_until=row.as_of)
        return undo.undo(**given)

    monkeypatch.setattr(bulk, "undo", too_late)
    assert client("operator").post(f"/bulk/{row.pk}/undo/").status_code == 403
    assert status_of(*shown) == ["cancelled"]
