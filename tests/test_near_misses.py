"""Cancellations that nearly hit a run, and runs that a cancellation nearly hit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automations import near_misses
from automations.models import Cancellation, Environment, Run
from tests.scenes import DELAY, SEND, cancel_runs, invoke, read, run_of, work_off

pytestmark = pytest.mark.django_db
TOKEN = "onboarding-user_123"


def of_run(run: Run) -> list[tuple[Any, str]]:
    """What each asked for, and why it missed."""
    return [(row.filter["token"], why.reason) for row, why in near_misses.of_run(read(run))]


def of_cancellation(cancellation: Cancellation) -> list[tuple[str | None, str]]:
    """The token of each run, and why it was missed."""
    return [(run.token, why.reason) for run, why in near_misses.of_cancellation(cancellation)]


def test_the_newest_cancellations_that_came_near_a_run() -> None:
    cancel_runs(token=TOKEN)
    run = run_of(invoke(DELAY, token=TOKEN))
    for token in ("user_123", "order-7", TOKEN.upper(), f"{TOKEN} ", f"{TOKEN}4"):
        cancel_runs(token=token)
    assert of_run(run) == [
        (f"{TOKEN} ", "token_differs"), (TOKEN.upper(), "token_differs"), ("user_123", "token_differs"),
        (TOKEN, "accepted_later"),
    ]  # fmt: skip


def test_a_run_that_had_finished_is_told_so() -> None:
    run = run_of(invoke(SEND, token=TOKEN))
    work_off()
    cancel_runs(token=TOKEN)
    assert of_run(run) == [(TOKEN, "already_finished")]


def test_what_a_run_was_hit_by_is_no_near_miss() -> None:
    run = run_of(invoke(DELAY, token=TOKEN, key="k"))
    cancel_runs(token=TOKEN)
    assert of_run(run) == []


def test_only_those_of_the_run_s_lifetime_and_environment_are_looked_at() -> None:
    run = run_of(invoke(DELAY, token=TOKEN))
    long_ago = run.created_at - timedelta(hours=1)
    Run.objects.filter(pk=run.pk).update(created_at=run.created_at + timedelta(days=1))
    cancel_runs(token="user_123")
    assert (of_run(run), long_ago < run.created_at) == ([], True)
    Run.objects.filter(pk=run.pk).update(created_at=run.created_at)
    assert of_run(run) == [("user_123", "token_differs")]
    Cancellation.objects.update(environment=Environment.objects.get(key="test"))
    assert of_run(run) == []


def test_a_run_without_a_label_has_no_near_misses() -> None:
    run = run_of(invoke(DELAY))
    cancel_runs(token="t")
    assert of_run(run) == []


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        (TOKEN, "user_123"),
        ("user_123", TOKEN),
        ("user_123-extra", "user_123"),
        (TOKEN, TOKEN.upper()),
        ("User_123", "user_123"),
        (f" {TOKEN}", TOKEN),
        (TOKEN, f"{TOKEN} "),
    ],
)
def test_runs_that_nearly_bear_what_was_asked_for(held: str, asked: str) -> None:
    invoke(DELAY, token="order-7")
    invoke(DELAY, key=held)
    invoke(DELAY, token=held)
    cancellation = cancel_runs(token=asked)
    assert cancellation.cancelled == 0
    assert of_cancellation(cancellation) == [(held, "token_differs"), (None, "token_differs")]


def test_an_index_finds_what_is_no_longer_among_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_misses, "NEWEST", 2)
    for token in ("user_123", "User_123", "user_123-b", TOKEN):
        invoke(DELAY, token=token)
    for number in range(2):
        invoke(DELAY, token=f"onboarding-user_{number}")
    assert sorted(of_cancellation(cancel_runs(token="USER_123"))) == [
        ("User_123", "token_differs"), ("user_123", "token_differs"),
    ]  # fmt: skip
    assert sorted(of_cancellation(cancel_runs(token="user_123"))) == [
        ("User_123", "token_differs"), (TOKEN, "token_differs"), ("user_123-b", "token_differs"),
    ]  # fmt: skip


def test_runs_that_came_too_early_or_too_late() -> None:
    invoke(SEND, token=TOKEN)
    work_off()
    cancellation = cancel_runs(token=TOKEN)
    assert of_cancellation(cancellation) == [(TOKEN, "already_finished")]
    invoke(DELAY, token=TOKEN)
    # One for each spelling; the newest of those that an index finds, and what was there at the time.
    assert of_cancellation(cancellation) == [(TOKEN, "accepted_later"), (TOKEN, "already_finished")]


def test_runs_that_were_hit_and_runs_elsewhere_are_none() -> None:
    invoke(DELAY, token=TOKEN)
    invoke(DELAY, token=f"{TOKEN} ", environment=Environment.objects.get(key="test"))
    assert of_cancellation(cancel_runs(token=TOKEN)) == []


def test_a_key_is_compared_with_keys_alone() -> None:
    invoke(DELAY, token="Order-7")
    run = run_of(invoke(DELAY, key="ORDER-7"))
    cancellation = cancel_runs(key="order-7")
    assert [(found.pk, why.reason) for found, why in near_misses.of_cancellation(cancellation)] == [
        (run.pk, "key_differs")
    ]


def test_a_cancellation_that_names_runs_has_none() -> None:
    run = run_of(invoke(DELAY, token=TOKEN))
    assert of_cancellation(cancel_runs(run_pks=(run.pk + 1,))) == []


def test_the_cost_does_not_depend_on_what_is_there(django_assert_num_queries: Any) -> None:
    for count in (1, 20):
        for number in range(count):
            invoke(DELAY, token=f"user_123-{number}")
        run = read(run_of(invoke(DELAY, token=TOKEN)))
        cancellation = cancel_runs(token="user_123")
        with django_assert_num_queries(3):  # the newest, those that held, and those of them that came near
            assert len(near_misses.of_run(run)) >= 1
        with django_assert_num_queries(5):  # up to which run, the newest, tokens, keys, and the runs found
            assert len(near_misses.of_cancellation(cancellation)) >= 2
