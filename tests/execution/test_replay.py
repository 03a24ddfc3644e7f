"""Repeating finished runs: what the new run takes over, and what stands against it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from automations import execution, publication, undo
from automations.execution import ReplayRequest
from automations.models import Automation, Invocation, LiveRun, No, Refusal, Run, database_now
from tests.races.held import overlap
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    invoke,
    make_due,
    production,
    publish,
    read,
    run_of,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db
TOKEN = "${`onboarding-${data.user_id}`}"
CANCEL: dict[str, Any] = {"action": "cancel", "cancellation_token": "other"}


def replay(run: Run, **given: Any) -> Run:
    """The run that repeats it."""
    return run_of(execution.replay(request(run, **given)))


def request(run: Run, **given: Any) -> ReplayRequest:
    return ReplayRequest(environment=production(), actor="key/test", run=read(run), **given)


def ended(*steps: dict[str, Any], **given: Any) -> Run:
    """A run that was called off before its first step."""
    run = run_of(invoke(*steps, **given))
    cancel_runs(run_pks=(run.pk,))
    return run


def refusal(run: Run, **given: Any) -> tuple[str, str, str]:
    """The code, pointer and message with which a replay is refused."""
    before = Run.objects.count()
    with pytest.raises(Refusal) as refused:
        replay(run, **given)
    assert (Run.objects.count(), refused.value.kind) == (before, No.INVALID)
    return refused.value.code, refused.value.problems[0].pointer, refused.value.message


def test_everything_is_taken_over_as_it_was_stored() -> None:
    request = {
        "profile": {"name": "Ada"},
        "recipients": ["ada"],
        "key": "order-7",
        "tags": ["a"],
        "tenant": "x",
    }
    old = ended(DELAY, SEND, token=TOKEN, **request)
    again = replay(old)
    assert (again.replay_of, again.source, again.invocation.actor) == (old.uid, f"run/{old.uid}", "key/test")
    columns = ("recipient", "profile", "token", "token_error", "key", "automation_id", "version_id")
    assert [getattr(again, name) for name in columns] == [getattr(old, name) for name in columns]
    assert again.token == "onboarding-u1"
    kept = ("definition", "data", "tags", "tenant")
    assert [getattr(again.invocation, name) for name in kept] == [
        getattr(old.invocation, name) for name in kept
    ]
    assert again.invocation_id != old.invocation_id
    assert (again.public_status, again.live.position, again.live.key, again.live.tags) == (
        "waiting", "1", "order-7", ["a"],
    )  # fmt: skip
    assert status(old) == "cancelled"


def test_the_logs_of_both_tell_of_each_other() -> None:
    old = ended(DELAY, SEND)
    again = replay(old)
    first, last = again.events.get(), old.events.last()
    assert (first.kind, first.data["replay_of"], first.data["from_step"]) == ("invoked", str(old.uid), 0)
    assert last is not None
    assert (last.kind, last.data) == (
        "replayed", {"run": str(again.uid), "from_step": 0, "actor": "key/test"},
    )  # fmt: skip


def test_the_token_is_never_resolved_again() -> None:
    old = ended(DELAY, token=TOKEN)
    again = replay(old, data={"user_id": "u2"})
    assert (again.token, again.invocation.data) == ("onboarding-u1", {"user_id": "u2"})
    assert cancel_runs(token="onboarding-u1").cancelled_run_ids == [str(again.uid)]


def test_a_run_without_a_token_is_repeated_without_one() -> None:
    definition = {"cancellation_token": TOKEN, "on_unresolved_token": "run_without_token", "steps": [DELAY]}
    old = ended(definition=definition, data={})
    assert "data.user_id" in replay(old, data={"user_id": "u1"}).token_error


def test_a_replay_keeps_the_version_whatever_was_published_since() -> None:
    publish("k", {"steps": [DELAY, {"id": "old", **SEND}]})
    old = ended(automation="k", definition=None)
    publication.save_draft(environment=production(), key="k", definition={"steps": [SEND]}, by="test")
    publication.publish(environment=production(), key="k", by="test")
    again = replay(old, from_step="old")
    assert again.version is not None
    assert (again.version.number, again.version_id, again.live.position) == (1, old.version_id, "1")


def test_a_replay_does_its_steps_anew_and_leaves_the_old_run_alone() -> None:
    old = run_of(invoke(SEND))
    work_off()
    before = list(old.events.values_list("pk", flat=True))
    again = replay(old)
    work_off()
    assert (status(old), status(again)) == ("completed", "completed")
    assert list(old.events.exclude(kind="replayed").values_list("pk", flat=True)) == before
    assert again.events.filter(kind="step_completed").count() == 1


@pytest.mark.parametrize(
    ("from_step", "position"), [("last", "2"), (2, "2"), ("2", "2"), (1, "1"), ("1", "1"), (None, "1")]
)
def test_a_replay_begins_at_a_step_s_id_or_index(from_step: str | int | None, position: str) -> None:
    old = ended(DELAY, SEND, {"id": "last", **SEND})
    assert replay(old, from_step=from_step).live.position == position


@pytest.mark.parametrize("from_step", ["first", 3, "3", "-1", "٣", "", "9" * 40])
def test_a_step_that_is_not_there_is_refused(from_step: str | int) -> None:
    assert refusal(ended(DELAY, SEND, SEND), from_step=from_step) == (
        "unknown_step", "/from_step", f"the run has no step “{from_step}”",
    )  # fmt: skip


def test_a_delay_it_begins_with_is_waited_for_anew() -> None:
    old = run_of(invoke(SEND, DELAY, SEND))
    work_off()
    make_due(old)
    work_off()
    again = replay(old, from_step=1)
    left = again.live.due_at - database_now()
    assert (again.live.position, timedelta(minutes=59) < left <= timedelta(hours=1)) == ("2", True)


BRANCHES = ({**SEND, "ref": "first"}, {**SEND, "if": "${refs.first.status === 'SENT'}"})


def test_what_came_of_earlier_steps_is_carried_over() -> None:
    old = run_of(invoke(*BRANCHES))
    work_off()
    again = replay(old, from_step=1)
    work_off()
    assert [(event.kind, event.step) for event in again.events.all()] == [
        ("invoked", ""), ("carried", "0"), ("step_completed", "1"),
    ]  # fmt: skip
    carried = again.events.get(kind="carried")
    assert (carried.data["outcome"], carried.data["run"]) == ("completed", str(old.uid))
    assert carried.data["output"]["body"] == "Hello u1"
    third = replay(again, from_step=1)
    work_off()
    assert third.events.get(kind="carried").data["outcome"] == "completed"
    assert status(third) == "completed"
    assert third.events.last().kind == "step_completed"


def test_what_was_carried_over_can_be_read_by_the_first_steps_too() -> None:
    nap = {**DELAY, "if": "${refs.first.status === 'SENT'}"}
    old = run_of(invoke({**SEND, "ref": "first"}, nap, SEND))
    work_off()
    cancel_runs(run_pks=(old.pk,))
    assert replay(old, from_step=1).live.due_at > database_now() + timedelta(minutes=59)


def test_a_step_that_never_happened_is_not_carried_over() -> None:
    old = ended(DELAY, *BRANCHES)
    again = replay(old, from_step=2)
    assert not again.events.filter(kind="carried").exists()
    assert not replay(ended_copy(again), from_step=2).events.filter(kind="carried").exists()


def ended_copy(run: Run) -> Run:
    cancel_runs(run_pks=(run.pk,))
    return run


def test_the_steps_of_a_replay_say_what_was_left_out() -> None:
    old = run_of(invoke(SEND, DELAY, SEND))
    work_off()
    cancel_runs(run_pks=(old.pk,))
    from automations.models import steps_of_run

    states = steps_of_run(replay(old, from_step=2))
    assert [(state.status, state.skip_reason) for state in states] == [
        ("skipped", "carried_over"), ("skipped", "not_replayed"), ("waiting", None),
    ]  # fmt: skip
    assert states[0].output["body"] == "Hello u1"


def test_the_head_s_cancels_are_carried_out_again() -> None:
    old = ended(CANCEL, DELAY)
    other = run_of(invoke(DELAY, token="other"))
    replay(old)
    assert status(other) == "cancelled"


@pytest.mark.parametrize("state", ["waiting", "running"])
def test_a_run_that_has_not_finished_is_not_replayed(state: str) -> None:
    run = run_of(invoke(DELAY if state == "waiting" else SEND))
    if state == "running":
        execution.turn(environment=production(), done=[], room=1)
    message = f"the run is {state}; only a finished run can be replayed"
    assert refusal(run) == ("not_finished", "", message)


def test_a_run_that_an_undo_is_still_to_bring_back_is_not_replayed() -> None:
    old = run_of(invoke(DELAY))
    receipt = cancel_runs(run_pks=(old.pk,))
    archive_all()
    row = undo.undo(environment=production(), pk=receipt.pk, actor="user/ana")
    assert (row.restored_at, status(old)) == (None, "cancelled")
    message = "the run is being brought back by an undo; only a finished run can be replayed"
    assert refusal(old) == ("not_finished", "", message)
    undo.restore(production(), row)
    assert refusal(old) == ("not_finished", "", "the run is waiting; only a finished run can be replayed")
    cancel_runs(run_pks=(old.pk,))
    archive_all()
    assert status(replay(old)) == "waiting"


def exclusive(policy: str, **given: Any) -> dict[str, Any]:
    """What an invoke is given for a run of a cart, for which there is to be but one."""
    definition = {"concurrency": {"key": "refs.data.cart", "policy": policy}, "steps": [DELAY, SEND]}
    return {"definition": definition, "data": {"cart": "c1"}, **given}


def test_a_replay_supersedes_the_run_of_its_concurrency_key_and_is_superseded() -> None:
    old = ended(**exclusive("cancel_previous"))
    other = run_of(invoke(**exclusive("cancel_previous")))
    accepted = execution.replay(request(old))
    again, by = run_of(accepted), read(other).called_off_by
    assert (status(other), status(again), again.live.concurrency_key) == ("cancelled", "waiting", "c1")
    assert by is not None
    assert (accepted.runs[0]["supersedes"], by.cancelled_run_ids) == (str(by.pk), [str(other.uid)])
    invoke(**exclusive("cancel_previous"))
    assert (status(again), read(again).reason) == ("cancelled", "superseded")


def test_a_replay_is_refused_while_a_run_of_its_concurrency_key_is_unfinished() -> None:
    old = ended(**exclusive("reject_new", recipients=["ada"]))
    other = run_of(invoke(**exclusive("reject_new", recipients=["ada"])))
    message = f"the run {other.uid} of the same concurrency key has not finished"
    assert refusal(old) == ("already_running", "", message)
    assert replay(old, data={"cart": "c2"}).live.concurrency_key == "c2"
    cancel_runs(run_pks=(other.pk,))
    assert status(replay(old)) == "waiting"


def test_a_replay_whose_data_give_no_concurrency_key_is_refused() -> None:
    code, pointer, _ = refusal(ended(**exclusive("reject_new")), data={})
    assert (code, pointer) == ("concurrency_key_unresolved", "/data/cart")


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.parametrize("policy", ["cancel_previous", "reject_new"])
def test_of_a_replay_and_an_invoke_with_its_concurrency_key_one_is_left(policy: str) -> None:
    old = ended(**exclusive(policy))

    def attempt(verb: Callable[[], Any]) -> str:
        try:
            verb()
        except Refusal as refused:
            return refused.code
        return "accepted"

    told = overlap(
        lambda: attempt(lambda: execution.replay(request(old))),
        lambda: attempt(lambda: invoke(**exclusive(policy))),
        at="gate.passed",
    )
    assert sorted(told) == ["accepted", "accepted" if policy == "cancel_previous" else "already_running"]
    assert LiveRun.objects.filter(state="waiting").count() == 1


@pytest.mark.parametrize("how", ["disabled", "archived"])
def test_an_automation_that_accepts_no_runs_accepts_no_replays(how: str) -> None:
    publish("k", {"steps": [DELAY]})
    old = ended(automation="k", definition=None)
    Automation.objects.filter(key="k").update(**{f"{how}_at": database_now()})
    assert refusal(old) == (how, "", f"the automation “k” is {how}")


def test_the_same_idempotency_key_gives_the_same_run() -> None:
    old = ended(DELAY)
    given = {"idempotency_key": "a", "fingerprint": "f"}
    first = execution.replay(request(old, **given))
    second = execution.replay(request(old, **given))
    assert (first.replayed, second.replayed, second.runs) == (False, True, first.runs)
    assert Invocation.objects.count() == 2
    with pytest.raises(Refusal) as refused:
        replay(old, idempotency_key="a", fingerprint="other")
    assert (refused.value.code, Invocation.objects.count()) == ("idempotency_key_reused", 2)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_replay_against_its_twin_makes_one_run() -> None:
    old = ended(DELAY)

    def twin() -> Any:
        return execution.replay(request(old, idempotency_key="a", fingerprint="f"))

    first, second = overlap(twin, twin, at="gate.passed")
    assert {first.replayed, second.replayed} == {False, True}
    assert (first.runs, LiveRun.objects.filter(cancellation=None).count()) == (second.runs, 1)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_an_automation_disabled_meanwhile_bears_no_replay() -> None:
    publish("k", {"steps": [DELAY]})
    old = ended(automation="k", definition=None)

    def disable() -> Any:
        return publication.disable(environment=production(), key="k", by="test")

    def attempt() -> str:
        try:
            execution.replay(request(old))
        except Refusal as refused:
            return refused.code
        return "accepted"

    told, _ = overlap(attempt, disable, at="invoke.prepared")
    assert (told, Run.objects.count()) == ("disabled", 1)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_cancel_by_token_hits_a_replay_that_was_there_before_it() -> None:
    old = ended(DELAY, token="t")
    _, receipt = overlap(
        lambda: execution.replay(request(old)), lambda: cancel_runs(token="t"), at="invoke.committed"
    )
    assert receipt.cancelled == 1
    assert status(Run.objects.get(replay_of=old.uid)) == "cancelled"
