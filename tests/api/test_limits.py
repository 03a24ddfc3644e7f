"""Limits of a key: each kind of request for itself, in each dialect's words, and never a cancel behind invokes."""

from __future__ import annotations

import runpy
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection

from automations import execution
from automations.api import limits
from automations.api.limits import Asked, Buckets, Room, asked_by_steps
from automations.testpoints import watched
from tests.api.conftest import Caller, courier_refused, decoded, knock_refused, refused, suprsend_refused
from tests.scenes import DELAY, SEND, finish, invoke, start

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


@pytest.mark.pure
def test_half_of_the_room_is_lent_and_what_is_lent_is_not_there_for_invokes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "PATIENCE", 0.0)
    room = Room()
    with room.lent(most=5) as first, room.lent(most=5) as second, room.lent(most=5) as third:
        assert (first, second, third) == (True, True, False)
        with room.held(most=2) as has_room:
            assert has_room is False
        with room.held(most=3) as has_room, room.lent(most=3) as lent:
            assert (has_room, lent) == (True, False)
    assert (room._inside, room._lent) == (0, 0)
    with room.held(most=2), room.held(most=2), room.lent(most=2) as lent:
        assert lent is False
    with room.lent(most=1) as lent:
        assert lent is False


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


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_cancel_is_answered_while_others_wait_for_steps_in_flight(make_key: Callable[..., str]) -> None:
    threads = runpy.run_path(str(Path(django_settings.BASE_DIR) / "config/gunicorn.py"))["threads"]
    api = Caller(make_key("read", "cancel"))
    invoke(SEND, token="a")
    tasks = start()
    by_token = {"filter": {"token": "a"}}
    first = decoded(api.post("/api/v1/cancellations", by_token, Idempotency_Key="k"), 200)
    waiters = django_settings.INVOKES_AT_ONCE // 2

    def wait() -> Any:
        try:
            caller = Caller(api.text)
            return caller.post("/api/v1/cancellations?wait=30", by_token, Idempotency_Key="k")
        finally:
            connection.close()

    def cancel() -> Any:
        try:
            return Caller(api.text).post("/api/v1/cancellations", {"filter": {"token": "b"}})
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as web:
        waits = [web.submit(wait) for _ in range(2 * threads)]
        assert decoded(web.submit(cancel).result(timeout=20))["cancelled"] == 0
        deadline = time.monotonic() + 15
        while sum(answer.done() for answer in waits) < len(waits) - waiters and time.monotonic() < deadline:
            time.sleep(0.05)
        told_at_once = [decoded(answer.result()) for answer in waits if answer.done()]
        finish(*map(execution.perform, tasks))
        answers = [decoded(answer.result()) for answer in waits]
    assert [answer["settled"] for answer in told_at_once] == [False] * (2 * threads - waiters)
    assert [answer["settled"] for answer in answers].count(True) == waiters
    assert {answer["id"] for answer in answers} == {first["id"]}
