"""Cancellations undone, and asked for a later time, over the native API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from automations import execution, scheduled, undo
from automations.api.moments import stamp
from automations.api.native import undoing
from automations.models import Cancellation, Refusal, database_now
from tests.api.conftest import Caller, decoded, refused
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    finish,
    invoke,
    production,
    run_of,
    start,
    status,
)

pytestmark = pytest.mark.django_db
PATH = "/api/v1/cancellations"
UNKNOWN = "0199d3f2-0000-7000-8000-000000000001"


def in_an_hour() -> str:
    return stamp(database_now() + timedelta(hours=1))


def test_an_undo_within_its_time_answers_with_what_was_restored(api: Caller) -> None:
    run = run_of(invoke(DELAY, token="t"))
    receipt = decoded(api.post(PATH, {"filter": {"token": "t"}, "undo_for": "30 seconds"}))
    row = Cancellation.objects.get()
    assert row.undo_until == row.as_of + timedelta(seconds=30)
    assert receipt["undo_until"] == stamp(row.undo_until)
    answer = decoded(api.post(f"{PATH}/{row.pk}/undo", {"overdue": "shift"}))
    row.refresh_from_db()
    told = {"at": stamp(row.undone_at), "actor": "key/backend", "restored": 1, "overdue": "shift"}
    assert answer == {**receipt, "undone": told}
    assert api.get(f"{PATH}/{row.pk}") == answer
    assert api.get(PATH)["items"] == [answer]
    assert status(run) == "waiting"
    shown = api.get(f"/api/v1/runs/{run.uid}")
    assert (shown["status"], shown["cancellation"]) == ("waiting", None)
    kinds = [event["kind"] for event in api.get(f"/api/v1/runs/{run.uid}/events")["items"]]
    assert kinds == ["restored", "invoked"]


def test_later_it_takes_an_administrator(api: Caller, make_key: Callable[..., str]) -> None:
    run = run_of(invoke(DELAY, token="t"))
    receipt = decoded(api.post(PATH, {"filter": {"token": "t"}, "undo_for": "30 seconds"}))
    past = database_now() - timedelta(seconds=1)
    Cancellation.objects.update(undo_until=past)
    assert refused(api.post(f"{PATH}/{receipt['id']}/undo", {}))[:2] == (403, "missing_scope")
    archive_all()
    assert refused(api.post(f"{PATH}/{receipt['id']}/undo", {}))[:2] == (403, "missing_scope")
    admin = Caller(make_key("admin"))
    answer = decoded(admin.post(f"{PATH}/{receipt['id']}/undo", {}))
    assert (answer["undone"]["restored"], answer["undone"]["overdue"]) == (None, "fire_now")
    assert status(run) == "cancelled"
    archive_all()
    assert api.get(f"{PATH}/{receipt['id']}")["undone"]["restored"] == 1
    assert status(run) == "waiting"


def test_without_a_time_to_undo_it_takes_an_administrator(api: Caller) -> None:
    receipt = cancel_runs(run_pks=(run_of(invoke(DELAY)).pk,))
    assert refused(api.post(f"{PATH}/{receipt.pk}/undo", {}))[:2] == (403, "missing_scope")


def test_an_undo_twice_is_refused(api: Caller) -> None:
    receipt = decoded(api.post(PATH, {"filter": {"token": "nobody"}, "undo_for": "PT10M"}))
    address = f"{PATH}/{receipt['id']}/undo"
    assert decoded(api.send("POST", address))["undone"]["restored"] == 0
    for _ in range(2):
        assert refused(api.post(address, {})) == (422, "already_undone", [("", "already_undone")])


def test_what_is_not_there_and_what_is_anothers(api: Caller, make_key: Callable[..., str]) -> None:
    mine = decoded(api.post(PATH, {"filter": {"token": "t"}, "undo_for": "1 minute"}))["id"]
    other = Caller(make_key("admin", environment="test"))
    for caller, uid in ((api, UNKNOWN), (other, mine)):
        assert refused(caller.post(f"{PATH}/{uid}/undo", {}))[:2] == (404, "cancellation_not_found")
    assert Cancellation.objects.get().undone_at is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"overdue": "later"}, (422, "invalid", [("/overdue", "invalid")])),
        ({"overdue": ["skip"]}, (422, "invalid", [("/overdue", "invalid")])),
        ({"when": 1}, (422, "unknown_field", [("/when", "unknown_field")])),
    ],
)
def test_an_undo_that_cannot_be_meant(api: Caller, body: Any, expected: Any) -> None:
    receipt = decoded(api.post(PATH, {"filter": {"token": "t"}, "undo_for": "1 minute"}))
    assert refused(api.post(f"{PATH}/{receipt['id']}/undo", body)) == expected
    assert Cancellation.objects.get().undone_at is None


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("undo_for", "11 minutes", "invalid_duration"),
        ("undo_for", "0 seconds", "invalid_duration"),
        ("undo_for", "soon", "invalid_duration"),
        ("undo_for", 30, "invalid"),
        ("at", "tomorrow", "invalid_moment"),
        ("at", 5, "invalid"),
        ("at", "2090-01-01T00:00:00Z", "too_far"),
        ("at", "2020-01-01T00:00:00Z", "in_the_past"),
        ("at", "2027-01-01T00:00:00", "zone_required"),
        ("at", "2027-01-01", "zone_required"),
    ],
)
def test_times_that_cannot_be_meant_cancel_nothing(api: Caller, name: str, value: Any, code: str) -> None:
    run = run_of(invoke(DELAY, token="t"))
    response = api.post(PATH, {"filter": {"token": "t"}, name: value})
    assert refused(response) == (422, code, [(f"/{name}", code)])
    assert (status(run), Cancellation.objects.count()) == ("waiting", 0)


def test_steps_in_flight_are_followed_through_an_undo(api: Caller) -> None:
    run = run_of(invoke(SEND, SEND, token="t"))
    (task,) = start()
    receipt = decoded(api.post(PATH, {"filter": {"token": "t"}, "undo_for": "1 minute"}))
    undone = decoded(api.post(f"{PATH}/{receipt['id']}/undo", {}))
    assert [entry["outcome"] for entry in undone["in_flight"]] == [None]
    assert (undone["settled"], api.get(PATH)["items"][0]["settled"]) == (False, False)
    finish(execution.perform(task))
    followed = api.get(f"{PATH}/{receipt['id']}")
    assert [entry["outcome"] for entry in followed["in_flight"]] == ["completed_after_cancel"]
    assert (followed["settled"], status(run)) == (True, "waiting")


# -- at ----------------------------------------------------------------------------------------------------


def test_a_cancel_for_later_has_no_time_and_no_counts_until_then(api: Caller) -> None:
    run = run_of(invoke(DELAY, token="t"))
    at = in_an_hour()
    body = {"filter": {"token": "t"}, "at": at, "undo_for": "1 minute", "reason": "r"}
    answer = decoded(api.post(f"{PATH}?wait=1", body))
    row = Cancellation.objects.get()
    assert answer == {
        "id": str(row.pk), "as_of": None, "actor": "key/backend", "reason": "r", "filter": {"token": "t"},
        "matched": None, "cancelled": None, "cancelled_run_ids": [], "already_finished": None, "in_flight": [],
        "settled": False, "counted": False, "dry_run": False, "at": at,
    }  # fmt: skip
    assert (api.get(PATH)["items"], api.get(f"{PATH}/{row.pk}")) == ([answer], answer)
    Cancellation.objects.update(at=database_now() - timedelta(seconds=1))
    execution.keep_house(run.environment)
    row.refresh_from_db()
    told = api.get(f"{PATH}/{row.pk}")
    assert (told["as_of"], told["matched"], told["cancelled"], told["settled"]) == (
        stamp(row.as_of),
        1,
        1,
        True,
    )
    assert told["undo_until"] == stamp(row.as_of + timedelta(minutes=1))
    assert status(run) == "cancelled"


def test_a_cancel_for_later_can_be_withdrawn_by_whoever_may_cancel(api: Caller) -> None:
    answer = decoded(api.post(PATH, {"filter": {"token": "t"}, "at": in_an_hour()}))
    undone = decoded(api.post(f"{PATH}/{answer['id']}/undo", {}))
    assert (undone["as_of"], undone["undone"]["restored"], undone["settled"]) == (None, 0, False)


@pytest.mark.parametrize("fields", [{}, {"undo_for": timedelta(hours=1)}])
def test_who_is_no_admin_undoes_within_its_time_alone(fields: dict[str, Any]) -> None:
    run = run_of(invoke(DELAY, token="t"))
    receipt = cancel_runs(token="t", **fields)
    asked = partial(undo.undo, environment=production(), pk=receipt.pk, actor="a", is_admin=False)
    if not fields:
        with pytest.raises(undo.AdminsOnly):
            asked()
    else:
        assert asked().restored == 1
        with pytest.raises(Refusal, match="undone already"):
            asked()
    assert status(run) == ("waiting" if fields else "cancelled")


def test_one_that_is_carried_out_before_its_undo_is_an_administrators(
    api: Caller, make_key: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(invoke(DELAY, token="t"))
    answer = decoded(api.post(PATH, {"filter": {"token": "t"}, "at": in_an_hour()}))

    def carry_out_first(**given: Any) -> Cancellation:
        Cancellation.objects.filter(pk=answer["id"]).update(at=database_now() - timedelta(seconds=1))
        scheduled.carry_out_due(production(), now=database_now())
        return undo.undo(**given)

    monkeypatch.setattr(undoing, "undo", carry_out_first)
    address = f"{PATH}/{answer['id']}/undo"
    assert refused(api.post(address, {}))[:2] == (403, "missing_scope")
    assert (status(run), Cancellation.objects.get().undone_at) == ("cancelled", None)
    assert decoded(Caller(make_key("admin")).post(address, {}))["undone"]["restored"] == 1
    assert status(run) == "waiting"


def test_a_rehearsal_of_a_cancel_for_later_shows_what_it_would_hit_now(api: Caller) -> None:
    run_of(invoke(DELAY, token="t"))
    answer = decoded(api.post(PATH, {"filter": {"token": "t"}, "at": in_an_hour(), "dry_run": True}))
    assert (answer["matched"], Cancellation.objects.count()) == (1, 0)
    past = {"filter": {"token": "t"}, "at": "2020-01-01T00:00:00Z", "dry_run": True}
    assert refused(api.post(PATH, past)) == (422, "in_the_past", [("/at", "in_the_past")])
    plan = {"plan": answer["plan"], "at": in_an_hour()}
    assert refused(api.post(PATH, plan)) == (400, "ambiguous", [("/at", "ambiguous")])


@pytest.mark.parametrize("zone", ["Z", "+00:00", "-02:30", "+0100", "+05"])
def test_a_zone_may_be_written_in_any_way_of_iso_8601(api: Caller, zone: str) -> None:
    at = (database_now() + timedelta(days=2)).astimezone(UTC).replace(tzinfo=None).isoformat() + zone
    answer = decoded(api.post(PATH, {"filter": {"token": "t"}, "at": at}))
    assert datetime.fromisoformat(answer["at"]) == Cancellation.objects.get().at.replace(
        microsecond=Cancellation.objects.get().at.microsecond // 1000 * 1000
    )
