"""Why a run was or was not called off, over the native API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from automations.api.moments import stamp
from tests.api.conftest import Caller, decoded, refused
from tests.scenes import DELAY, SEND, cancel_runs, invoke, publish, run_of, work_off

pytestmark = pytest.mark.django_db
TOKEN = "onboarding-user_123"
NOWHERE = "0199d3f2-0000-7000-8000-000000000001"


def path(run: Any, cancellation: Any = None) -> str:
    asked = f"?cancellation={cancellation.pk}" if cancellation is not None else ""
    return f"/api/v1/runs/{run.uid}/explain-cancel{asked}"


def test_a_token_that_differs_is_named_beside_the_other(api: Caller) -> None:
    run, cancellation = run_of(invoke(DELAY, token=TOKEN)), cancel_runs(token="user_123")
    assert api.get(path(run, cancellation)) == {
        "run": str(run.uid), "cancellation": str(cancellation.pk), "hit": False, "reason": "token_differs",
        "sentence": f'token differs: the run has "{TOKEN}", the cancellation asked for "user_123"',
        "details": {"asked": "user_123", "run": {"token": TOKEN, "key": None}, "differs_by": ["prefix"]},
    }  # fmt: skip


def test_a_hit_is_explained_with_and_without_its_cancellation(api: Caller) -> None:
    run, cancellation = run_of(invoke(DELAY, token=TOKEN)), cancel_runs(token=TOKEN)
    told = api.get(path(run))
    assert told == api.get(path(run, cancellation)) == {
        "run": str(run.uid), "cancellation": str(cancellation.pk), "hit": True, "reason": "hit",
        "sentence": f'hit: the run matches token "{TOKEN}", and had not ended',
        "details": {"as_of": stamp(cancellation.as_of), "actor": "user/ana"},
    }  # fmt: skip


def test_times_are_told_as_everywhere(api: Caller) -> None:
    cancellation, run = cancel_runs(token=TOKEN), run_of(invoke(DELAY, token=TOKEN))
    told = api.get(path(run, cancellation))
    assert (told["reason"], told["details"]["as_of"]) == ("accepted_later", stamp(cancellation.as_of))
    assert told["details"]["created_at"] == stamp(run.created_at)


def test_a_run_that_was_not_called_off_names_what_came_near(api: Caller) -> None:
    run = run_of(invoke(DELAY, token=TOKEN))
    assert api.get(path(run)) == {
        "run": str(run.uid), "cancellation": None, "hit": False, "reason": "not_cancelled",
        "sentence": "no cancellation has hit this run, which is waiting", "details": {"near_misses": []},
    }  # fmt: skip
    first, second = cancel_runs(token="user_123"), cancel_runs(token=TOKEN.upper())
    told = api.get(path(run))
    assert told["sentence"] == "no cancellation has hit this run, which is waiting; 2 came near"
    near = told["details"]["near_misses"]
    assert [(miss["cancellation"], miss["details"]["differs_by"]) for miss in near] == [
        (str(second.pk), ["case"]), (str(first.pk), ["prefix"]),
    ]  # fmt: skip
    assert (near[0]["as_of"], near[0]["reason"]) == (stamp(second.as_of), "token_differs")


def test_a_run_whose_cancellation_was_undone_names_it(api: Caller) -> None:
    run = run_of(invoke(DELAY, token=TOKEN))
    row, _ = cancel_runs(run_ids=(run.uid,), undo_for=timedelta(minutes=1)), cancel_runs(token="user_123")
    decoded(api.post(f"/api/v1/cancellations/{row.pk}/undo", {}))
    row.refresh_from_db()
    told = api.get(path(run))
    near = told["details"].pop("near_misses")
    assert told == {
        "run": str(run.uid), "cancellation": None, "hit": False, "reason": "undone", "sentence": told["sentence"],
        "details": {"by": str(row.pk), "at": stamp(row.as_of), "undone_at": stamp(row.undone_at)},
    }  # fmt: skip
    assert told["sentence"].startswith(f"cancellation {row.pk} had called the run off, at 20")
    assert told["sentence"].endswith(" UTC; the run is waiting; 1 came near")
    assert [miss["reason"] for miss in near] == ["token_differs"]


def test_a_cancellation_that_matched_nothing_gets_near_misses(api: Caller) -> None:
    run = run_of(invoke(DELAY, token=TOKEN, recipients=["ada"]))
    cancellation = cancel_runs(token="user_123")
    assert api.get(f"/api/v1/cancellations/{cancellation.pk}/near-misses") == {
        "cancellation": str(cancellation.pk), "items": [{
            "run": str(run.uid), "status": "waiting", "recipient": "ada", "cancellation_token": TOKEN,
            "cancellation_key": None, "created_at": stamp(run.created_at), "hit": False,
            "reason": "token_differs",
            "sentence": f'token differs: the run has "{TOKEN}", the cancellation asked for "user_123"',
            "details": {"asked": "user_123", "run": {"token": TOKEN, "key": None}, "differs_by": ["prefix"]},
        }],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ("cancellation=x", "/cancellation", "invalid"),
        ("cancelation=x", "/cancelation", "unknown_parameter"),
    ],
)
def test_a_question_that_cannot_be_meant_is_refused(api: Caller, query: str, pointer: str, code: str) -> None:
    run = run_of(invoke(DELAY))
    assert refused(api.send("GET", f"{path(run)}?{query}")) == (400, code, [(pointer, code)])


def test_what_is_not_there_or_elsewhere_is_not_found(api: Caller, make_key: Callable[..., str]) -> None:
    run, cancellation = run_of(invoke(DELAY)), cancel_runs(token="t")
    elsewhere = Caller(make_key("read", environment="test"))
    near = "/api/v1/cancellations/{}/near-misses"
    for caller, address, code in (
        (api, f"{path(run)}?cancellation={NOWHERE}", "cancellation_not_found"),
        (api, path(run).replace(str(run.uid), NOWHERE), "run_not_found"),
        (api, near.format(NOWHERE), "cancellation_not_found"),
        (elsewhere, path(run, cancellation), "run_not_found"),
        (elsewhere, near.format(cancellation.pk), "cancellation_not_found"),
    ):
        assert refused(caller.send("GET", address))[:2] == (404, code)


def test_the_statements_are_counted(api: Caller, django_assert_num_queries: Any) -> None:
    publish("k", {"steps": [SEND, DELAY]})
    invoke(automation="k", definition=None, key="k1")
    run, gone = run_of(invoke(DELAY, SEND, token=TOKEN)), run_of(invoke(DELAY, token="gone"))
    work_off()
    hit = cancel_runs(token="gone")
    for _ in range(3):
        invoke(DELAY, token=f"{TOKEN}-1")
        missed = cancel_runs(token="user_123")
    with django_assert_num_queries(3):  # the key, the run, the cancellation
        decoded(api.send("GET", path(run, missed)))
    with django_assert_num_queries(2):  # the key, and the run with what hit it
        decoded(api.send("GET", path(gone, hit)))
    # the key, the run, the newest cancellations, what held, what came near, what was undone
    with django_assert_num_queries(6):
        assert len(decoded(api.send("GET", path(run)))["details"]["near_misses"]) == 3
    # the key, the cancellation, up to which run, the newest runs, tokens, keys, those found
    with django_assert_num_queries(7):
        decoded(api.send("GET", f"/api/v1/cancellations/{missed.pk}/near-misses"))
