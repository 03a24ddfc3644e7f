"""Cancellations over the native API."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from automations import execution, machine
from automations.api.moments import stamp
from automations.models import Cancellation, LiveRun, Origin, Run
from automations.steps import Outcome
from tests.api.conftest import Caller, decoded, refused
from tests.scenes import (
    DELAY,
    SEND,
    cancel_runs,
    expire_leases,
    finish,
    invoke,
    production,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db
PATH = "/api/v1/cancellations"


def test_a_run_is_found_by_the_longest_tag_that_it_may_have(api: Caller) -> None:
    tag = "t" * 128
    body = {"definition": {"steps": [DELAY]}, "tags": [tag]}
    (run,) = decoded(api.post("/api/v1/invocations", body), 201)["runs"]
    assert decoded(api.post(PATH, {"filter": {"tags": [tag]}}))["cancelled_run_ids"] == [run["id"]]
    assert refused(api.post(PATH, {"filter": {"tags": [tag + "t"]}}))[:2] == (422, "too_long")


def test_a_cancel_by_token_answers_with_a_receipt(api: Caller) -> None:
    hit = [run_of(invoke(DELAY, token="a")), run_of(invoke(DELAY, key="a"))]
    finished, spared = run_of(invoke(SEND, token="a")), run_of(invoke(DELAY, token="b"))
    work_off()
    answer = decoded(api.post(PATH, {"filter": {"token": "a"}, "reason": "upgraded"}, X_Request_ID="req-1"))
    row = Cancellation.objects.get()
    assert answer == {
        "id": str(row.pk), "as_of": stamp(row.as_of), "actor": "key/backend", "reason": "upgraded",
        "filter": {"token": "a"}, "matched": 3, "cancelled": 2, "cancelled_run_ids": [str(run.uid) for run in hit],
        "already_finished": 1, "in_flight": [], "settled": True, "counted": True, "dry_run": False,
    }  # fmt: skip
    assert [status(run) for run in (*hit, finished, spared)] == [
        "cancelled",
        "cancelled",
        "completed",
        "waiting",
    ]
    assert (row.origin, row.request_id) == ("api", "req-1")
    assert api.get(PATH) == {"items": [answer], "next_cursor": None}
    assert api.get(f"{PATH}/{row.pk}") == answer


def test_the_fields_of_a_filter_are_anded(api: Caller) -> None:
    runs = [run_of(invoke(DELAY, token="a", key=key)) for key in ("x", "y")] + [
        run_of(invoke(DELAY, key="x"))
    ]
    body = {"filter": {"token": "a", "key": "x", "run_ids": [str(run.uid) for run in runs]}}
    answer = decoded(api.post(PATH, body))
    assert (answer["cancelled_run_ids"], answer["filter"]) == ([str(runs[0].uid)], body["filter"])


def test_a_key_is_the_key_alone(api: Caller) -> None:
    by_token, by_key = run_of(invoke(DELAY, token="a")), run_of(invoke(DELAY, key="a"))
    decoded(api.post(PATH, {"filter": {"key": "a", "token": None}}))
    assert (status(by_token), status(by_key)) == ("waiting", "cancelled")


def test_runs_are_cancelled_by_their_ids_and_unknown_ones_match_nothing(api: Caller) -> None:
    runs = [run_of(invoke(DELAY)) for _ in range(3)]
    ids = [str(runs[0].uid), str(runs[1].uid).upper(), "0199d3f2-0000-7000-8000-000000000001"]
    answer = decoded(api.post(PATH, {"filter": {"run_ids": ids}}))
    assert (answer["matched"], answer["cancelled"]) == (2, 2)
    assert [status(run) for run in runs] == ["cancelled", "cancelled", "waiting"]


def test_ten_thousand_ids_are_one_cancel(api: Caller) -> None:
    run = run_of(invoke(DELAY))
    ids = [f"0199d3f2-0000-7000-8000-{n:012}" for n in range(9_999)]
    assert decoded(api.post(PATH, {"filter": {"run_ids": [*ids, str(run.uid)]}}))["cancelled"] == 1
    response = api.post(PATH, {"filter": {"run_ids": [*ids, "a", "b"]}})
    assert refused(response) == (422, "too_many", [("/filter/run_ids", "too_many")])


def test_a_cancel_that_matches_nothing_is_kept_too(api: Caller) -> None:
    answer = decoded(api.post(PATH, {"filter": {"token": "nobody"}}))
    assert (answer["matched"], answer["cancelled"], answer["already_finished"]) == (0, 0, 0)
    assert api.get(f"{PATH}/{answer['id']}") == answer


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (400, "empty_filter", [("/filter", "empty_filter")])),
        ({"filter": None}, (400, "empty_filter", [("/filter", "empty_filter")])),
        ({"filter": {}}, (400, "empty_filter", [("/filter", "empty_filter")])),
        ({"filter": {"token": None}}, (400, "empty_filter", [("/filter", "empty_filter")])),
        ({"filter": []}, (422, "invalid", [("/filter", "invalid")])),
        ({"filter": "all"}, (422, "invalid", [("/filter", "invalid")])),
        ({"filter": {"token": ""}}, (422, "invalid", [("/filter/token", "invalid")])),
        ({"filter": {"token": 5}}, (422, "invalid", [("/filter/token", "invalid")])),
        ({"filter": {"token": ["a"]}}, (422, "invalid", [("/filter/token", "invalid")])),
        ({"filter": {"token": "a\n"}}, (422, "invalid", [("/filter/token", "invalid")])),
        ({"filter": {"token": "t" * 513}}, (422, "too_long", [("/filter/token", "too_long")])),
        ({"filter": {"key": "k" * 256}}, (422, "too_long", [("/filter/key", "too_long")])),
        ({"filter": {"run_ids": []}}, (400, "empty_list", [("/filter/run_ids", "empty_list")])),
        ({"filter": {"recipients": []}}, (400, "empty_list", [("/filter/recipients", "empty_list")])),
        ({"filter": {"run_ids": "x"}}, (422, "invalid", [("/filter/run_ids", "invalid")])),
        ({"filter": {"run_ids": ["x"]}}, (422, "invalid", [("/filter/run_ids/0", "invalid")])),
        ({"filter": {"run_ids": [None]}}, (422, "invalid", [("/filter/run_ids/0", "invalid")])),
        (
            {"filter": {"token": "a", "tokn": "b"}},
            (400, "unknown_field", [("/filter/tokn", "unknown_field")]),
        ),
        ({"filter": {"token": "a"}, "filters": {}}, (400, "unknown_field", [("/filters", "unknown_field")])),
        ({"filter": {"token": "a"}, "reason": "r" * 501}, (422, "too_long", [("/reason", "too_long")])),
        ({"all": True}, (400, "not_confirmed", [("/confirm", "not_confirmed")])),
        ({"filter": {"all": True}}, (400, "not_confirmed", [("/filter/confirm", "not_confirmed")])),
        ({"all": True, "confirm": "test"}, (400, "not_confirmed", [("/confirm", "not_confirmed")])),
        ({"all": "yes", "filter": {"token": "a"}}, (422, "invalid", [("/all", "invalid")])),
        (
            {"all": True, "confirm": "production", "filter": {"token": "a"}},
            (400, "ambiguous", [("/all", "ambiguous"), ("/filter", "unknown_field")]),
        ),
        (
            {"filter": {"all": True, "confirm": "production", "token": "a"}},
            (400, "unknown_field", [("/filter/token", "unknown_field")]),
        ),
        *(
            ({"filter": {"token": "a", name: value}}, (422, code, [(f"/filter/{name}", code)]))
            for name, value, code in [
                ("recipients", "u", "invalid"),
                ("automation", "a", "automation_not_found"),
                ("automation", 5, "invalid"),
                ("invocation", "i", "invalid"),
                ("idempotency_key", "", "invalid"),
                ("source", ["s"], "invalid"),
                ("tags", {}, "invalid"),
                ("created_before", "x", "invalid"),
                ("created_after", 1, "invalid"),
                ("due_before", "tomorrow", "invalid"),
                ("due_after", "", "invalid"),
            ]
        ),
        *(
            ({"filter": {"token": "a", name: []}}, (400, "empty_list", [(f"/filter/{name}", "empty_list")]))
            for name in ("recipients", "tags", "run_ids")
        ),
    ],
)
def test_what_cannot_be_meant_cancels_nothing(api: Caller, body: Any, expected: Any) -> None:
    run = run_of(invoke(DELAY, token="a"))
    assert refused(api.post(PATH, body)) == expected
    assert (status(run), Cancellation.objects.count()) == ("waiting", 0)


def test_asking_for_what_happens_anyway_is_no_mistake(api: Caller) -> None:
    answer = decoded(api.post(PATH, {"filter": {"token": "a"}, "dry_run": False, "all": False}))
    assert answer["dry_run"] is False


def test_the_same_key_and_body_give_the_same_receipt(api: Caller) -> None:
    invoke(DELAY, token="a")
    first = api.post(PATH, {"filter": {"token": "a"}}, Idempotency_Key="once")
    later = run_of(invoke(DELAY, token="a"))
    again = api.post(f"{PATH}?wait=1", {"filter": {"token": "a"}}, Idempotency_Key="once")
    assert decoded(again) == decoded(first)
    assert (first.get("Idempotent-Replayed"), again["Idempotent-Replayed"]) == (None, "true")
    assert (status(later), Cancellation.objects.count()) == ("waiting", 1)


def test_the_same_key_with_another_body_is_refused(api: Caller) -> None:
    decoded(api.post(PATH, {"filter": {"token": "a"}}, Idempotency_Key="once"))
    expected = (422, "idempotency_key_reused", [("", "idempotency_key_reused")])
    assert refused(api.post(PATH, {"filter": {"token": "b"}}, Idempotency_Key="once")) == expected
    assert refused(api.post(PATH, {"filter": {"token": "a"}}, Idempotency_Key="é"))[:2] == (
        422,
        "invalid_idempotency_key",
    )


def in_flight(run: Run) -> list[dict[str, Any]]:
    """What the receipt says of a run whose first step has started."""
    row = Cancellation.objects.latest("pk")
    (entry,) = row.in_flight or [{}]
    started_at = stamp(run.live.started_at) if run.live_run else entry["started_at"]
    return [{"run": str(run.uid), "step": "0", "action": "send", "attempt": 1, "started_at": started_at}]


def test_a_step_in_flight_is_listed_and_followed_to_its_end(api: Caller) -> None:
    run = run_of(invoke(SEND, DELAY, token="a"))
    tasks = start()
    run.live.refresh_from_db()
    answer = decoded(api.post(PATH, {"filter": {"token": "a"}}))
    assert (answer["cancelled"], answer["in_flight"], answer["settled"]) == (1, in_flight(run), False)
    path = f"{PATH}/{answer['id']}"
    assert api.get(path) == {**answer, "in_flight": [{**answer["in_flight"][0], "outcome": None}]}
    assert api.get(PATH)["items"] == [answer]
    finish(*map(execution.perform, tasks))
    told = api.get(path)
    assert (told["settled"], told["in_flight"][0]["outcome"]) == (True, "completed_after_cancel")
    assert api.get(PATH)["items"] == [{**answer, "settled": True}]
    assert api.get(f"/api/v1/runs/{run.uid}")["steps"][0]["outcome_after_cancel"] == "completed_after_cancel"
    execution.keep_house(production())
    assert api.get(path) == told


@pytest.mark.parametrize("retryable", [False, True])
def test_a_failed_attempt_is_not_tried_again(api: Caller, retryable: bool) -> None:
    run = run_of(invoke(SEND, token="a"))
    (task,) = start()
    assert task.step is not None
    answer = decoded(api.post(PATH, {"filter": {"token": "a"}}))
    outcome = Outcome.failed("delivery", "refused", retryable=retryable)
    plan = machine.after_failure(step=task.step, attempt=1, retryable=retryable, now=task.now())
    finish(execution.Done(task=task, outcome=outcome, plan=plan))
    told = api.get(f"{PATH}/{answer['id']}")
    assert [entry["outcome"] for entry in told["in_flight"]] == ["failed_after_cancel"]
    assert (told["settled"], status(run), start()) == (True, "cancelled", [])


def test_a_step_whose_worker_was_lost_has_an_unknown_outcome(api: Caller) -> None:
    invoke({**SEND, "timeout": "1 second"}, token="a")
    start()
    answer = decoded(api.post(PATH, {"filter": {"token": "a"}}))
    expire_leases()
    execution.keep_house(production())
    path = f"{PATH}/{answer['id']}"
    assert (api.get(path)["settled"], api.get(path)["in_flight"][0]["outcome"]) == (False, None)
    unsettled: Any = LiveRun.objects.get().unsettled
    past = "2026-01-01T00:00:00+00:00"
    LiveRun.objects.update(unsettled=[{**entry, "deadline": past} for entry in unsettled])
    execution.keep_house(production())
    assert (api.get(path)["settled"], api.get(path)["in_flight"][0]["outcome"]) == (True, "unknown")


def test_waiting_for_a_step_that_does_not_end_takes_the_time_given(api: Caller) -> None:
    invoke(SEND, token="a")
    start()
    assert decoded(api.post(f"{PATH}?wait=0.1", {"filter": {"token": "a"}}))["settled"] is False


def test_the_list_is_paged_newest_first(api: Caller) -> None:
    made = [str(cancel_runs(token=token, origin=Origin.BROWSER).pk) for token in "abc"]
    made.sort(reverse=True)  # within one millisecond ids are in no order
    first = api.get(f"{PATH}?limit=2")
    assert [item["id"] for item in first["items"]] == made[:2]
    second = api.get(f"{PATH}?limit=2&cursor={first['next_cursor']}")
    assert ([item["id"] for item in second["items"]], second["next_cursor"]) == (made[2:], None)
    assert second["items"][0]["actor"] == "user/ana"


@pytest.mark.parametrize("count", [1, 3])
def test_a_list_of_any_length_costs_three_statements(
    api: Caller, count: int, django_assert_num_queries: Any
) -> None:
    for index in range(count):
        invoke(SEND, token=f"t{index}")
        start()
        cancel_runs(token=f"t{index}")
    with django_assert_num_queries(3):  # the key, the cancellations, which of them settle
        assert [item["settled"] for item in api.get(PATH)["items"]] == [False] * count


@pytest.mark.parametrize("count", [1, 3])
def test_a_receipt_is_followed_in_four_statements(
    api: Caller, count: int, django_assert_num_queries: Any
) -> None:
    invoke(SEND, token="t", recipients=[f"u{n}" for n in range(count)])
    start()
    made = cancel_runs(token="t")
    with django_assert_num_queries(4):  # the key, the cancellation, what is left, what is known
        assert len(api.get(f"{PATH}/{made.pk}")["in_flight"]) == count


def test_a_cancel_costs_the_same_for_one_run_and_for_three(
    api: Caller, django_assert_max_num_queries: Any
) -> None:
    for count in (1, 3):
        invoke(DELAY, token=f"t{count}", recipients=[f"u{n}" for n in range(count)])
        with django_assert_max_num_queries(13):
            assert decoded(api.post(PATH, {"filter": {"token": f"t{count}"}}))["cancelled"] == count


@pytest.mark.parametrize("uid", ["0199d3f2-0000-7000-8000-000000000001", "x", "%00", "0" * 32])
def test_a_cancellation_that_is_not_there_is_not_found(api: Caller, uid: str) -> None:
    assert refused(api.send("GET", f"{PATH}/{uid}"))[0] == 404


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_waiting_ends_with_the_step(api: Caller) -> None:
    run = run_of(invoke(SEND, token="a"))
    tasks = start()

    def end_after_the_cancel() -> None:
        while LiveRun.objects.get(pk=run.pk).state != "cancelling":
            time.sleep(0.01)
        finish(*map(execution.perform, tasks))
        connection.close()

    with ThreadPoolExecutor(max_workers=1) as pool:
        ended = pool.submit(end_after_the_cancel)
        began = time.monotonic()
        answer = decoded(api.post(f"{PATH}?wait=20", {"filter": {"token": "a"}}))
        ended.result()
    assert (answer["settled"], len(answer["in_flight"]), answer["cancelled"]) == (True, 1, 1)
    assert time.monotonic() - began < 10
