"""Why a run was or was not hit: one sentence that names the values, whatever the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from automations import cancellation as cancelling
from automations import execution
from automations.explanation import FIELDS, Explanation, explain
from automations.models import Automation, Cancellation, CancellationFilter, LiveRun, Run, database_now
from tests.captured import Captured
from tests.races.held import overlap
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    invoke,
    publish,
    read,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db
TOKEN = "onboarding-user_123"
MINUTE = timedelta(minutes=1)
# What takes a statement: the automation's name; and whether another cancellation, undone since, came before.
LOOKED_UP_FOR = {"automation_differs", "accepted_meanwhile", "not_due", "unknown"}
OTHER = UUID("0199d3f2-0000-7000-8000-000000000001")


def run(**given: Any) -> Run:
    return run_of(invoke(DELAY, SEND, **{"token": TOKEN, **given}))


def told(one: Run, cancellation: Cancellation) -> Explanation:
    """The explanation, of both as they stand now; what it rests on was read with them."""
    now, of = Run.objects.explained().get(pk=one.pk), Cancellation.objects.get(pk=cancellation.pk)
    with Captured() as captured:
        found = explain(now, of)
    assert len(captured) == (found.reason in LOOKED_UP_FOR or "undone_at" in found.details)
    assert found == explain(read(one), of)
    return found


def test_a_hit_says_what_matched() -> None:
    one = run(key="k")
    found = told(one, cancel_runs(token=TOKEN))
    assert (found.hit, found.reason) == (True, "hit")
    assert found.sentence == f'hit: the run matches token "{TOKEN}", and had not ended'
    archive_all()
    assert told(one, Cancellation.objects.get()) == found


@pytest.mark.parametrize(
    ("asked", "tail", "differs_by"),
    [
        ("user_123", "", ["prefix"]),
        (f"{TOKEN}-2", "", ["suffix"]),
        ("Onboarding-User_123", " (they differ in case alone)", ["case"]),
        (f"{TOKEN} ", " (they differ in whitespace alone)", ["whitespace"]),
        ("order-7", "", []),
    ],
)
def test_a_token_that_differs_is_shown_beside_the_one_asked_for(
    asked: str, tail: str, differs_by: list[str]
) -> None:
    found = told(run(), cancel_runs(token=asked))
    assert (found.hit, found.reason) == (False, "token_differs")
    assert found.sentence == (
        f'token differs: the run has "{TOKEN}", the cancellation asked for "{asked}"{tail}'
    )
    assert found.details["differs_by"] == differs_by
    assert (found.details["asked"], found.details["run"]) == (asked, {"token": TOKEN, "key": None})


def test_of_token_and_key_the_nearer_one_is_shown() -> None:
    found = told(run(key="USER-7"), cancel_runs(token="user-7"))
    assert found.sentence.startswith(
        'token differs: the run has "USER-7", the cancellation asked for "user-7"'
    )


def test_a_run_without_a_label_has_none() -> None:
    one = run_of(invoke(DELAY))
    assert told(one, cancel_runs(token="t")).sentence == (
        'token differs: the run has no token or key, the cancellation asked for "t"'
    )
    assert told(one, cancel_runs(key="k")).sentence == (
        'key differs: the run has no key, the cancellation asked for "k"'
    )


def test_another_key() -> None:
    found = told(run(key="a"), cancel_runs(key="b"))
    assert (found.reason, found.sentence) == (
        "key_differs", 'key differs: the run has "a", the cancellation asked for "b"',
    )  # fmt: skip


def test_not_among_the_run_ids() -> None:
    one, other = run(), run()
    found = told(one, cancel_runs(run_ids=(other.uid, OTHER)))
    assert (found.reason, found.details["named"]) == ("not_among_run_ids", 2)
    assert found.sentence == f"the run {one.uid} is not among the 2 runs that the cancellation named"
    named = told(one, cancel_runs(run_pks=(other.pk,)))
    assert (named.reason, named.sentence) == (
        "not_among_run_ids", f"the run {one.uid} is not the run that the cancellation named",
    )  # fmt: skip


def test_another_automation() -> None:
    for key in ("welcome", "trial"):
        publish(key, {"cancellation_token": "t", "steps": [DELAY]})
    one = run_of(invoke(automation="welcome", definition=None))
    trial = Automation.objects.get(key="trial")
    found = told(one, cancel_runs(automation_id=trial.pk))
    assert found.sentence == (
        'automation differs: the run follows "welcome", the cancellation asked for "trial"'
    )
    assert told(run(), cancel_runs(automation_id=trial.pk)).sentence == (
        'automation differs: the run brought its own steps, the cancellation asked for "trial"'
    )


def test_a_cancel_step_spares_its_own_invocation() -> None:
    cancel = {"action": "cancel", "cancellation_token": "t"}
    one = run_of(invoke(cancel, DELAY, token="t"))
    found = told(one, Cancellation.objects.get())
    assert (found.reason, status(one)) == ("own_invocation", "waiting")
    assert "spares its own invocation" in found.sentence


def test_accepted_later_by_how_much() -> None:
    cancellation, one = cancel_runs(token=TOKEN), run()
    late = one.created_at - cancellation.as_of
    found = told(one, cancellation)
    assert (found.reason, found.details["seconds"]) == ("accepted_later", late.total_seconds())
    Cancellation.objects.update(as_of=one.created_at - timedelta(minutes=12))
    assert told(one, cancellation).sentence == (
        "accepted 12 min after the cancellation, which hits what was there before"
    )


def test_already_finished_when_and_how() -> None:
    one = run_of(invoke(SEND, token=TOKEN))
    work_off()
    cancellation = cancel_runs(token=TOKEN)
    Cancellation.objects.update(as_of=read(one).ended_at + timedelta(hours=3))  # type: ignore[operator]
    found = told(one, cancellation)
    assert (found.reason, found.details["status"], found.details["seconds"]) == (
        "already_finished", "completed", 10_800,
    )  # fmt: skip
    assert found.sentence.startswith("the run had already finished: completed at 20")
    assert found.sentence.endswith(" UTC, 3 h before")


def test_called_off_before_and_by_which() -> None:
    one = run()
    first, second = cancel_runs(token=TOKEN), cancel_runs(token=TOKEN)
    for _ in range(2):
        found = told(one, second)
        assert (found.reason, found.details["by"]) == ("called_off_before", str(first.pk))
        assert found.sentence.startswith(f"cancellation {first.pk} had called the run off before, at 20")
        archive_all()


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_run_accepted_while_the_cancel_was_carried_out_says_so() -> None:
    """On SQLite one comes wholly before the other; then it was accepted later."""
    receipt, accepted = overlap(
        lambda: cancel_runs(token=TOKEN), lambda: invoke(DELAY, token=TOKEN), at="cancel.moved"
    )
    one = run_of(accepted)
    Cancellation.objects.update(as_of=one.created_at + timedelta(milliseconds=1))  # its clock was read first
    assert told(one, receipt).reason == "accepted_meanwhile"


def test_a_cancellation_that_was_undone_says_so() -> None:
    finished = run_of(invoke(SEND, token=TOKEN))
    work_off()
    cancellation = cancel_runs(token="nobody")
    waiting, ended = (run_of(invoke(SEND, token=TOKEN)) for _ in range(2))
    # As if it had called these two off, and was undone before one of them ended.
    Cancellation.objects.update(
        as_of=ended.created_at, undone_at=database_now(), filter={"token": TOKEN}
    )  # fmt: skip
    Run.objects.filter(pk=waiting.pk).update(created_at=finished.created_at)
    work_off()
    assert [told(one, cancellation).reason for one in (waiting, ended, finished)] == [
        "undone", "undone", "already_finished",
    ]  # fmt: skip


def test_a_run_that_was_hit_in_flight_was_hit() -> None:
    one = run_of(invoke(SEND, token=TOKEN))
    start()
    assert told(one, cancel_runs(token=TOKEN)).hit


def test_the_filter_comes_before_time_and_all_that_it_misses_is_told() -> None:
    cancellation = cancel_runs(token="user_123", key="k")
    found = told(run(), cancellation)
    assert (found.reason, found.details["also"]) == ("token_differs", ["key_differs"])


# -- every field of a filter -------------------------------------------------------------------------------

# A filter that leaves the run out by that field alone; a new field without a row here fails the test below.
MISSES: dict[str, Callable[[Run], dict[str, Any]]] = {
    "token": lambda one: {"token": "other"},
    "key": lambda one: {"key": "other"},
    "run_ids": lambda one: {"run_ids": (OTHER,), "run_pks": ()},
    "run_pks": lambda one: {"run_pks": (one.pk + 1,)},
    "recipients": lambda one: {"recipients": ("other",)},
    "automation": lambda one: {"automation": "other"},
    "automation_id": lambda one: {"automation_id": 2**31},
    "invocation": lambda one: {"invocation": OTHER, "invocation_pks": ()},
    "idempotency_key": lambda one: {"idempotency_key": "other", "invocation_pks": ()},
    "invocation_pks": lambda one: {"invocation_pks": (one.invocation_id + 1,)},
    "source": lambda one: {"source": "other"},
    "tenant": lambda one: {"tenant": "other"},
    "tags": lambda one: {"tags": ("other", "another")},
    "created_after": lambda one: {"created_after": one.created_at + MINUTE},
    "created_before": lambda one: {"created_before": one.created_at - MINUTE},
    "due_after": lambda one: {"due_after": one.live.due_at + MINUTE},
    "due_before": lambda one: {"due_before": one.live.due_at},
    "not_invocation_id": lambda one: {"token": TOKEN, "not_invocation_id": one.invocation_id},
    "up_to": lambda one: {"up_to": one.pk - 1},
}
LEAVE_NOTHING_OUT = {"everything"}
LOOKED_UP = {"automation"}  # into another field, before it is asked for


@pytest.mark.parametrize("name", [field.name for field in fields(CancellationFilter)])
def test_every_field_that_leaves_a_run_out_is_explained(name: str) -> None:
    if name in LEAVE_NOTHING_OUT:
        assert FIELDS[name](CancellationFilter(everything=True), run()) is None
        return
    run()
    one = run(tags=["a"])
    scope = CancellationFilter(**MISSES[name](one))
    assert name in LOOKED_UP or not LiveRun.objects.filter(scope.condition(), pk=one.pk).exists()
    found = FIELDS[name](scope, one)
    assert found is not None
    assert (found.hit, found.sentence != "") == (False, True)
    cancellation = Cancellation(as_of=database_now(), filter=scope.as_json())
    assert explain(one, cancellation).reason == found.reason
    asked = Run.objects.explained().get(pk=one.pk)
    with Captured() as captured:
        assert FIELDS[name](scope, asked) == found
    assert len(captured) == (name == "automation_id")  # whose name is looked up


@pytest.mark.parametrize("name", [field.name for field in fields(CancellationFilter)])
def test_a_field_that_is_not_set_leaves_nothing_out(name: str) -> None:
    assert FIELDS[name](CancellationFilter(), run()) is None


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            {"recipients": ("u0", "u1", "u2", "u3")},
            'recipient differs: the run has "ada", the cancellation asked for "u0", "u1", "u2", …',
        ),
        ({"source": "cron"}, 'source differs: the run has "api/test", the cancellation asked for "cron"'),
        ({"tags": ("x",)}, 'tag differs: the run has "a", "b", the cancellation asked for "x"'),
        (
            {"idempotency_key": "i"},
            'idempotency key differs: the run has none, the cancellation asked for "i"',
        ),
        (
            {"created_after": datetime(2100, 1, 2, 3, 4, 5, tzinfo=UTC)},
            "the cancellation asked for created_after 2100-01-02 03:04:05 UTC",
        ),
        (
            {"due_before": datetime(2001, 1, 2, 3, 4, 5, tzinfo=UTC)},
            "the cancellation asked for due_before 2001-01-02 03:04:05 UTC",
        ),
    ],
)
def test_both_values_are_named(asked: dict[str, Any], sentence: str) -> None:
    one = run(recipients=["ada"], tags=["a", "b"])
    found = told(one, cancel_runs(**asked))
    assert found.sentence.endswith(sentence)


@pytest.mark.parametrize(
    ("apart", "own", "asked"),
    [
        (timedelta(seconds=1), "05", "04"),
        (timedelta(milliseconds=1), "05.500", "05.499"),
        (timedelta(microseconds=1), "05.500500", "05.500499"),
    ],
)
def test_times_have_as_many_digits_as_tell_them_apart(apart: timedelta, own: str, asked: str) -> None:
    one, at = run(), datetime(2026, 1, 2, 3, 4, 5, 500_500, tzinfo=UTC)
    one.created_at = at
    found = FIELDS["created_before"](CancellationFilter(created_before=at - apart), one)
    assert found is not None
    assert found.sentence == (
        f"accepted too late: at 2026-01-02 03:04:{own} UTC, "
        f"the cancellation asked for created_before 2026-01-02 03:04:{asked} UTC"
    )


def test_a_run_that_is_due_at_the_very_moment_is_told_so_to_the_last_digit() -> None:
    one = run()
    one.live.due_at = at = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    found = FIELDS["due_before"](CancellationFilter(due_before=at), one)
    assert found is not None
    assert found.sentence.count("2026-01-02 03:04:05.000006 UTC") == 2


def test_a_run_that_had_started_was_not_due_any_more() -> None:
    one = run_of(invoke(SEND, token=TOKEN))
    start()
    cancellation = cancel_runs(due_before=database_now() + timedelta(days=1))
    found = told(one, cancellation)
    assert (cancellation.cancelled, found.hit, found.reason) == (0, False, "not_due")


def test_a_bar_hits_what_it_stands_over_swept_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 1)
    first, second = run(), run()
    bar = cancel_runs(token=TOKEN)
    later = run()
    assert bar.bar is not None
    assert [told(one, bar).reason for one in (first, second, later)] == ["hit", "hit", "accepted_later"]
    archive_all()
    assert [told(one, bar).reason for one in (first, second, later)] == ["hit", "hit", "accepted_later"]


def test_it_costs_no_statement_but_for_an_automation_s_name(django_assert_num_queries: Any) -> None:
    one, cancellation = read(run(key="k")), cancel_runs(token="user_123", key="x")
    with django_assert_num_queries(0):
        explain(one, cancellation)
    assert execution.what_is_due() is not None
