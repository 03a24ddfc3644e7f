"""Limits of a key: each kind of request for itself, in each dialect's words, and never a cancel behind invokes."""

from __future__ import annotations

import runpy
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection

from automations.api import limits
from automations.api.limits import Asked, Buckets, Room, asked_by_steps
from automations.testpoints import watched
from tests.api.conftest import Caller, courier_refused, decoded, knock_refused, refused, suprsend_refused
from tests.scenes import DELAY, SEND

CANCEL = {"action": "cancel", "cancellation_token": "t"}
AD_HOC = {"definition": {"cancellation_token": "t", "steps": [DELAY, SEND]}}


@pytest.fixture(autouse=True)
def _buckets_that_never_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_buckets", Buckets(clock=lambda: 0.0))


@pytest.mark.pure
def test_a_bucket_holds_a_second_and_fills_at_its_rate() -> None:
    now = 100.0
    buckets = Buckets(clock=lambda: now)
    name, other = (1, Asked.INVOKE), (1, Asked.CANCEL)
    assert [buckets.take(name, rate=4) for _ in range(5)] == [0, 0, 0, 0, 0.25]
    assert buckets.take(other, rate=4) == 0
    now += 0.125
    assert buckets.take(name, rate=4) == 0.125
    now += 0.125
    assert [buckets.take(name, rate=4) for _ in range(2)] == [0, 0.25]
    now += 3600
    assert [buckets.take(name, rate=4) for _ in range(5)] == [0, 0, 0, 0, 0.25]


@pytest.mark.pure
@pytest.mark.parametrize(
    ("steps", "asked"),
    [
        ([CANCEL], Asked.CANCEL),
        ([CANCEL, CANCEL], Asked.CANCEL),
        ([{"cancelation_token": "t"}], Asked.CANCEL),
        ([CANCEL, SEND], Asked.INVOKE),
        ([], Asked.INVOKE),
        ("x", Asked.INVOKE),
        ([None], Asked.INVOKE),
    ],
)
def test_steps_that_only_cancel_are_a_cancel(steps: Any, asked: Asked) -> None:
    assert asked_by_steps({"steps": steps}) is asked


@pytest.mark.pure
def test_who_finds_no_room_waits_for_it_and_others_are_turned_away() -> None:
    room = Room()
    outcomes: list[bool] = []

    def enter() -> None:
        with room.held(most=1) as has_room:
            outcomes.append(has_room)

    with room.held(most=1):
        waiting = [threading.Thread(target=enter) for _ in range(limits.WAITING)]
        for thread in waiting:
            thread.start()
        while room._waiting < limits.WAITING:
            pass
        enter()  # there is no place left to wait in
        assert outcomes == [False]
    for thread in waiting:
        thread.join()
    assert outcomes == [False, True, True]


REFUSALS: list[tuple[str, str, dict[str, Any], Callable[[Any], Any], Any]] = [
    ("INVOKES_PER_SECOND", "/api/v1/invocations", AD_HOC, refused, (429, "rate_limited", [("", "rate_limited")])),
    ("INVOKES_PER_SECOND", "/automations/invoke", {"automation": AD_HOC["definition"]}, courier_refused,
     (429, "rate_limit_error")),
    ("INVOKES_PER_SECOND", "/automations/k/invoke", {}, courier_refused, (429, "rate_limit_error")),
    ("INVOKES_PER_SECOND", "/v1/workflows/k/trigger", {"recipients": ["u"]}, knock_refused, (429, "rate_limited")),
    ("INVOKES_PER_SECOND", "/trigger/", {"workflow": "k", "recipients": ["u"], "data": {}}, suprsend_refused,
     (429, "too_many_requests")),
    ("CANCELS_PER_SECOND", "/api/v1/cancellations", {"filter": {"token": "t"}}, refused,
     (429, "rate_limited", [("", "rate_limited")])),
    ("CANCELS_PER_SECOND", "/automations/invoke", {"automation": {"steps": [CANCEL]}}, courier_refused,
     (429, "rate_limit_error")),
    ("CANCELS_PER_SECOND", "/journeys/cancel", {"cancelation_token": "t"}, courier_refused, (429, "rate_limit_error")),
    ("CANCELS_PER_SECOND", "/v1/notify/cancel", {"name": "k", "cancelation_key": "t"}, knock_refused,
     (429, "rate_limited")),
    ("CANCELS_PER_SECOND", "/v1/workflow_run/cancel/", {"cancellation_key": "t"}, suprsend_refused,
     (429, "too_many_requests")),
]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize(("limit", "path", "body", "shape", "expected"), REFUSALS)
def test_each_dialect_says_429_in_its_own_words(
    api: Caller, settings: Any, limit: str, path: str, body: Any, shape: Any, expected: Any
) -> None:
    setattr(settings, limit, 1)
    assert api.post(path, body).status_code != 429
    answer = api.post(path, body)
    assert (shape(answer)[: len(expected)], answer["Retry-After"]) == (expected, "1")


@pytest.mark.django_db
def test_one_kind_never_uses_up_another_and_one_key_never_anothers(
    api: Caller,
    make_key: Callable[..., str],
    settings: Any,
) -> None:
    settings.INVOKES_PER_SECOND = settings.CANCELS_PER_SECOND = settings.REQUESTS_PER_SECOND = 1
    asked: list[Callable[[Caller], Any]] = [
        lambda by: by.post("/api/v1/invocations", AD_HOC),
        lambda by: by.post("/api/v1/cancellations", {"filter": {"token": "t"}}),
        lambda by: by.send("GET", "/api/v1/runs"),
    ]
    assert [call(api).status_code for call in asked for _ in range(2)] == [201, 429, 200, 429, 200, 429]
    other = Caller(make_key("read", "invoke", "cancel"))
    assert [call(other).status_code for call in asked] == [201, 200, 200]


@pytest.mark.django_db
def test_a_refusal_costs_no_more_than_the_keys_own_statement(
    api: Caller, settings: Any, django_assert_num_queries: Any
) -> None:
    settings.INVOKES_PER_SECOND = 1
    assert api.post("/api/v1/invocations", AD_HOC).status_code == 201
    with django_assert_num_queries(1):
        assert api.post("/api/v1/invocations", AD_HOC).status_code == 429


@pytest.mark.django_db
def test_0_is_no_limit(
    api: Caller,
    settings: Any,
) -> None:
    settings.REQUESTS_PER_SECOND = 0
    assert {api.send("GET", "/api/v1/runs").status_code for _ in range(20)} == {200}


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_cancel_is_answered_while_invokes_hold_all_they_may(
    make_key: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gunicorn = runpy.run_path(str(Path(django_settings.BASE_DIR) / "config/gunicorn.py"))
    assert gunicorn["threads"] - django_settings.INVOKES_AT_ONCE > limits.WAITING
    monkeypatch.setattr(limits, "PATIENCE", 0.3)
    api = Caller(make_key("read", "invoke", "cancel"))
    run = decoded(api.post("/api/v1/invocations", AD_HOC), 201)["runs"][0]["id"]
    released = threading.Event()
    flood = 4 * django_settings.INVOKES_AT_ONCE

    def hold(name: str) -> None:
        if name == "invoke.prepared":
            assert released.wait(30)

    def post(path: str, body: Any) -> Any:
        try:
            return Caller(api.text).post(path, body)
        finally:
            connection.close()

    with ThreadPoolExecutor(gunicorn["threads"]) as web, watched(hold):
        try:
            invokes: list[Future[Any]] = [
                web.submit(post, "/api/v1/invocations", AD_HOC) for _ in range(flood)
            ]
            cancel = web.submit(post, f"/api/v1/runs/{run}/cancel", {})
            receipt = decoded(cancel.result(timeout=20))
            turned_away = [invoke for invoke in invokes if invoke.done()]
        finally:
            released.set()
    assert receipt["cancelled_run_ids"] == [run]
    answers = [invoke.result() for invoke in invokes]
    assert [answer.status_code for answer in answers].count(201) >= django_settings.INVOKES_AT_ONCE
    assert {(refused(invoke.result())[1], invoke.result()["Retry-After"]) for invoke in turned_away} == {
        ("too_many_at_once", "1")
    }
