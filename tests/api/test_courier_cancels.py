"""Courier's journeys/cancel."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automations.models import Cancellation, database_now
from tests.api.conftest import Caller, courier_refused, decoded
from tests.scenes import DELAY, SEND, invoke, make_due, run_of, start, status, work_off

pytestmark = pytest.mark.django_db
PATH = "/journeys/cancel"


def test_a_run_is_cancelled_by_its_id(api: Caller) -> None:
    run, other = run_of(invoke(DELAY, SEND)), run_of(invoke(DELAY))
    answer = api.post(PATH, {"run_id": str(run.uid)}, X_Request_ID="req-1")
    assert answer["Content-Type"] == "application/json"
    assert decoded(answer, 202) == {"run_id": str(run.uid), "status": "CANCELED"}
    row = Cancellation.objects.get()
    assert (row.actor, row.origin, row.request_id, row.cancelled) == ("key/backend", "courier", "req-1", 1)
    make_due(run)
    assert (start(), status(other)) == ([], "waiting")


def test_a_run_whose_step_has_started_counts_as_cancelled(api: Caller) -> None:
    run = run_of(invoke(SEND, DELAY))
    start()
    assert decoded(api.post(PATH, {"run_id": str(run.uid)}), 202)["status"] == "CANCELED"


def test_a_cancelled_run_stays_cancelled_and_a_finished_one_what_it_is(api: Caller) -> None:
    cancelled, processed = run_of(invoke(DELAY)), run_of(invoke(SEND))
    broken = run_of(invoke({"action": "delay", "duration": "${1}"}))
    work_off()
    for run, word in (
        (cancelled, "CANCELED"),
        (cancelled, "CANCELED"),
        (processed, "PROCESSED"),
        (broken, "ERROR"),
    ):
        assert decoded(api.post(PATH, {"run_id": str(run.uid)}), 202) == {
            "run_id": str(run.uid),
            "status": word,
        }
    assert [status(run) for run in (cancelled, processed, broken)] == ["cancelled", "completed", "failed"]
    assert list(Cancellation.objects.order_by("pk").values_list("cancelled", flat=True)) == [1, 0, 0, 0]


def test_runs_are_cancelled_by_their_token_or_key(api: Caller) -> None:
    runs = [
        run_of(invoke(DELAY, token="tok")),
        run_of(invoke(DELAY, key="tok")),
        run_of(invoke(DELAY, token="tok2")),
    ]
    assert decoded(api.post(PATH, {"cancelation_token": "tok", "run_id": None}), 202) == {
        "cancelation_token": "tok"
    }
    assert [status(run) for run in runs] == ["cancelled", "cancelled", "waiting"]


def test_a_token_that_nobody_bears_is_no_mistake(api: Caller) -> None:
    assert decoded(api.post(PATH, {"cancelation_token": "nobody"}), 202) == {"cancelation_token": "nobody"}
    assert Cancellation.objects.get().matched == 0


EXACTLY_ONE = "give exactly one of “run_id” and “cancelation_token” (/run_id)"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, EXACTLY_ONE),
        ({"run_id": None, "cancelation_token": None}, EXACTLY_ONE),
        ({"cancellation_token": "t"}, EXACTLY_ONE),
        ({"run_id": "r", "cancelation_token": "t"}, EXACTLY_ONE),
        ({"cancelation_token": ""}, "“cancelation_token” must be a non-empty text (/cancelation_token)"),
        ({"cancelation_token": "  "}, "“cancelation_token” must be a non-empty text (/cancelation_token)"),
        ({"cancelation_token": 5}, "“cancelation_token” must be a non-empty text (/cancelation_token)"),
        (
            {"cancelation_token": "t" * 513},
            "“cancelation_token” may have at most 512 characters (/cancelation_token)",
        ),
        (
            {"cancelation_token": "a\n"},
            "“cancelation_token” may not contain control characters (/cancelation_token)",
        ),
        ({"run_id": []}, "“run_id” must be a non-empty text (/run_id)"),
    ],
)
def test_anything_else_cancels_nothing(api: Caller, body: Any, message: str) -> None:
    run = run_of(invoke(DELAY, token="t"))
    assert courier_refused(api.post(PATH, body)) == (400, "invalid_request_error", message)
    assert (status(run), Cancellation.objects.count()) == ("waiting", 0)


@pytest.mark.parametrize("uid", ["1-run", "0199d3f2-0000-7000-8000-000000000001", "a" * 255])
def test_a_run_that_is_not_there_is_not_found(api: Caller, uid: str) -> None:
    assert courier_refused(api.post(PATH, {"run_id": uid})) == (404, "invalid_request_error", "Run not found")


def test_a_retried_cancel_leaves_later_runs_alone(api: Caller) -> None:
    decoded(api.post(PATH, {"cancelation_token": "tok"}, Idempotency_Key="once"), 202)
    later = run_of(invoke(DELAY, token="tok"))
    decoded(api.post(PATH, {"cancelation_token": "tok"}, Idempotency_Key="once"), 202)
    assert (status(later), Cancellation.objects.count()) == ("waiting", 1)
    assert api.post(PATH, {"cancelation_token": "x"}, Idempotency_Key="once").status_code == 422


@pytest.mark.parametrize("key", ["once", "k" * 255])
def test_a_key_is_its_dialects_own(api: Caller, key: str) -> None:
    native = {"filter": {"token": "tok"}}
    for _ in range(2):
        decoded(api.post(PATH, {"cancelation_token": "tok"}, Idempotency_Key=key), 202)
        decoded(api.post("/api/v1/cancellations", native, Idempotency_Key=key))
    assert sorted(Cancellation.objects.values_list("origin", "idempotency_key")) == [
        ("api", key),
        ("courier", key),
    ]


def test_a_cancels_key_expires_when_it_is_told_to(api: Caller) -> None:
    soon = {"Idempotency_Key": "k", "x_idempotency_expiration": "2 hours"}
    decoded(api.post(PATH, {"cancelation_token": "tok"}, **soon), 202)
    kept = Cancellation.objects.get().key_expires_at
    assert kept is not None
    assert timedelta(hours=1, minutes=59) < kept - database_now() <= timedelta(hours=2)
