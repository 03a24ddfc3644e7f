"""A definition's concurrency: the newest run supersedes the one before, or is refused while that is unfinished."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from automations import concurrency, publication
from automations.execution import Accepted
from automations.models import Cancellation, LiveRun, No, Refusal, Run
from tests.captured import Captured
from tests.scenes import (
    DELAY,
    SEND,
    cancel_runs,
    invoke,
    make_due,
    production,
    publish,
    read,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db


def definition(
    policy: str = "cancel_previous", *, key: str = "refs.data.cart", **given: Any
) -> dict[str, Any]:
    return {"concurrency": {"key": key, "policy": policy}, "steps": [DELAY, SEND], **given}


def ask(cart: object = "c1", *, policy: str = "cancel_previous", **given: Any) -> Accepted:
    """An accepted invocation for that cart."""
    return invoke(**{"definition": definition(policy), "data": {"cart": cart}, **given})


def test_the_newest_run_supersedes_the_one_before() -> None:
    first, other = run_of(ask()), run_of(ask("c2"))
    assert ask("c2").runs[0]["supersedes"] is not None
    accepted = ask()
    assert [status(run) for run in (first, other, run_of(accepted))] == ["cancelled", "cancelled", "waiting"]
    row = read(first).called_off_by
    assert row is not None
    assert (row.origin, row.reason, row.actor, row.cancelled) == (
        "rule",
        "superseded",
        f"invocation/{accepted.invocation.uid}",
        1,
    )
    assert (accepted.runs[0]["supersedes"], read(first).reason) == (str(row.pk), "superseded")
    assert run_of(accepted).live.concurrency_key == "c1"


def test_the_first_run_supersedes_nothing_and_its_answer_does_not_speak_of_it() -> None:
    assert set(ask().runs[0]) == {"id", "status", "recipient", "cancellation_token", "cancellation_key"}
    assert Cancellation.objects.count() == 0


def test_a_step_under_way_is_on_the_receipt_and_nothing_follows_it() -> None:
    first = run_of(ask(definition=definition(steps=[SEND, SEND])))
    (task,) = start()
    second = run_of(ask(definition=definition(steps=[SEND, SEND])))
    assert [entry["run"] for entry in Cancellation.objects.get().in_flight] == [str(first.uid)]
    assert (read(first).is_settling, task.run) == (True, str(first.uid))
    assert [task.run for task in start()] == [str(second.uid)]


def test_finished_and_cancelled_runs_are_left_alone() -> None:
    ended = run_of(ask(definition=definition(steps=[SEND])))
    work_off()
    ask(cancelled := "c3", key="k")
    cancel_runs(key="k")
    before = Cancellation.objects.count()
    for cart in ("c1", cancelled):
        assert "supersedes" not in ask(cart).runs[0]
    assert (status(ended), Cancellation.objects.count()) == ("completed", before)


def test_runs_of_one_invocation_do_not_supersede_one_another() -> None:
    for policy in ("cancel_previous", "reject_new"):
        accepted = ask("all", policy=policy, recipients=["a", "b"], definition=definition(policy))
        assert [status(run_of(accepted, index)) for index in (0, 1)] == ["waiting", "waiting"]
        cancel_runs(run_pks=tuple(Run.objects.values_list("pk", flat=True)))


def test_the_key_is_each_run_s_own() -> None:
    mine = definition(key="refs.recipient")
    first = invoke(definition=mine, recipients=["a", "b"])
    second = invoke(definition=mine, recipients=["b", "c"])
    assert [status(run_of(first, index)) for index in (0, 1)] == ["waiting", "cancelled"]
    assert ["supersedes" in run for run in second.runs] == [True, False]


def test_a_key_is_one_automation_s() -> None:
    publish("a", definition())
    publish("b", definition())
    runs = [run_of(invoke(automation=name, data={"cart": "c1"})) for name in ("a", "b")]
    brought = run_of(ask())
    assert [status(run) for run in (*runs, brought)] == ["waiting"] * 3
    publication.save_draft(environment=production(), key="a", definition=definition(name="2"), by="t")
    publication.publish(environment=production(), key="a", by="t")
    invoke(automation="a", data={"cart": "c1"})
    assert [status(run) for run in (*runs, brought)] == ["cancelled", "waiting", "waiting"]


def test_reject_new_refuses_while_one_is_unfinished_and_names_it() -> None:
    first = run_of(ask(policy="reject_new"))
    with pytest.raises(Refusal) as refused:
        ask(policy="reject_new")
    assert (refused.value.kind, refused.value.code) == (No.INVALID, "already_running")
    assert refused.value.facts == {"run": str(first.uid)}
    assert str(first.uid) in refused.value.message
    assert Run.objects.count() == 1
    make_due(first)
    work_off()
    assert status(run_of(ask(policy="reject_new"))) == "waiting"


def test_a_refusal_points_at_the_recipients_concerned_and_stores_nothing() -> None:
    each = definition("reject_new", key="refs.recipient")
    invoke(definition=each, recipients=["b"])
    with pytest.raises(Refusal) as refused:
        invoke(definition=each, recipients=["a", "b"], idempotency_key="k", fingerprint="f")
    assert [problem.pointer for problem in refused.value.problems] == ["/recipients/1"]
    assert Run.objects.count() == 1
    cancel_runs(run_pks=tuple(Run.objects.values_list("pk", flat=True)))
    accepted = invoke(definition=each, recipients=["a", "b"], idempotency_key="k", fingerprint="f")
    assert accepted.replayed is False


def test_allow_lets_any_number_run_and_a_stricter_version_sees_them() -> None:
    runs = [run_of(ask(policy="allow")) for _ in range(3)]
    assert [status(run) for run in runs] == ["waiting"] * 3
    ask()
    assert [status(run) for run in runs] == ["cancelled"] * 3
    assert Cancellation.objects.get().cancelled == 3


@pytest.mark.parametrize("policy", ["allow", "cancel_previous", "reject_new"])
def test_a_key_that_does_not_resolve_is_refused_by_the_missing_path(policy: str) -> None:
    with pytest.raises(Refusal) as refused:
        invoke(definition=definition(policy, on_unresolved_token="run_without_token"), data={})
    assert (refused.value.kind, refused.value.code) == (No.INVALID, "concurrency_key_unresolved")
    assert [problem.pointer for problem in refused.value.problems] == ["/data/cart"]
    assert Run.objects.count() == 0


def test_a_run_that_ends_in_its_head_supersedes_all_the_same() -> None:
    first = run_of(ask())
    accepted = ask(definition=definition(steps=[{"action": "cancel", "cancellation_token": "nobody"}]))
    assert (status(first), accepted.runs[0]["status"]) == ("cancelled", "completed")


def test_a_replay_says_again_what_was_superseded() -> None:
    ask()
    answers = [ask(idempotency_key="k", fingerprint="f") for _ in range(2)]
    assert [accepted.replayed for accepted in answers] == [False, True]
    assert answers[0].runs == answers[1].runs
    assert "supersedes" in answers[0].runs[0]
    assert Cancellation.objects.count() == 1


def test_a_run_that_cancels_itself_and_supersedes_is_told_as_both() -> None:
    ask()
    steps = [{"action": "cancel", "cancellation_token": "t", "include_self": True}, SEND]
    (told,) = ask(definition=definition(steps=steps, cancellation_token="t")).runs
    assert (told["status"], "supersedes" in told) == ("cancelled", True)


def test_an_invoke_of_many_keys_costs_the_same_few_locks() -> None:
    each = definition(key="refs.recipient")
    with Captured() as captured:
        invoke(definition=each, recipients=[f"r{n}" for n in range(300)])
    locks = [query for query in captured if "pg_advisory_xact_lock(" in query["sql"]]
    assert len(locks) == (concurrency.LOCKS if connection.vendor == "postgresql" else 0)


def test_an_invoke_that_supersedes_costs_the_same_for_one_and_for_many() -> None:
    publish("a", definition(key="refs.recipient"))
    invoke(automation="a", recipients=["r0"])
    counts = []
    for amount in (10, 100):
        recipients = [f"r{n}" for n in range(amount)]
        invoke(automation="a", recipients=recipients)
        with Captured() as captured:
            invoke(automation="a", recipients=recipients)
        counts.append(len([query for query in captured if not _aside(query["sql"])]))
    assert counts[0] == counts[1]
    assert LiveRun.objects.filter(state="waiting").count() == 100


def _aside(statement: str) -> bool:
    return "SAVEPOINT" in statement or "pg_advisory_xact_lock(" in statement
