"""An invoke step starts a child once, in the transaction of its run; a run that waits goes on when the child ends."""

from __future__ import annotations

from typing import Any

import pytest

from automations import execution, publication, testpoints
from automations.execution import housekeeping
from automations.expressions import MAX_DOCUMENT
from automations.models import Automation, Cancellation, Event, Invocation, Refusal, Run, steps_of_run
from automations.steps.invoke import MOST_GENERATIONS
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    expire_leases,
    finish,
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

INVOKE: dict[str, Any] = {"action": "invoke", "template": "child", "id": "bear"}
WAIT = {**INVOKE, "wait": True}


@pytest.fixture(autouse=True)
def _child() -> None:
    publish("child", {"steps": [DELAY, SEND]}, alias="Kid")


def parent_of(*steps: dict[str, Any], **given: Any) -> Run:
    """An ad hoc run of these steps, carried forward as far as it goes now."""
    run = run_of(invoke(*steps, **given))
    work_off()
    return run


def children_of(run: Run) -> list[Run]:
    return list(Run.objects.with_state().filter(parent=run.pk).order_by("pk"))


def child_of(run: Run) -> Run:
    (child,) = children_of(run)
    return child


def steps(run: Run) -> list[tuple[str, str, Any]]:
    return [(state.id, state.status, state.output) for state in steps_of_run(read(run))]


def error_of(run: Run) -> tuple[str, str, str]:
    """The status and its reason, and the kind of the first step's error."""
    run = read(run)
    return run.public_status, run.reason, steps_of_run(run)[0].error["kind"]


# -- being born ----------------------------------------------------------------------------------------------


def test_the_child_takes_over_recipient_data_profile_and_tenant() -> None:
    parent = parent_of(INVOKE, recipients=["ana"], data={"a": 1}, profile={"b": 2}, tenant="acme")
    child = child_of(parent)
    assert (child.recipient, child.profile, child.source) == ("ana", {"b": 2}, f"run/{parent.uid}")
    assert (child.invocation.data, child.invocation.tenant) == ({"a": 1}, "acme")
    assert (child.invocation.actor, child.live.parent_id) == (f"run/{parent.uid}", parent.pk)
    assert (status(parent), status(child)) == ("completed", "waiting")
    assert steps(parent) == [("bear", "completed", {"run": str(child.uid)})]


def test_what_the_step_says_is_resolved_by_the_parents_data() -> None:
    step = {
        "action": "invoke", "template": "{{data.which}}", "recipient": "refs.profile.boss",
        "data": {"order": "{{data.order}}", "list": [{"$ref": "data.order"}]}, "profile": {"x": "y"},
    }  # fmt: skip
    step["recipient"] = "{{profile.boss}}"
    child = child_of(parent_of(step, data={"which": "Kid", "order": 7}, profile={"boss": "eve"}))
    assert (child.recipient, child.profile) == ("eve", {"x": "y"})
    assert child.invocation.data == {"order": "7", "list": [7]}


def test_couriers_context_says_the_same() -> None:
    step = {**INVOKE, "context": {"data": {"n": 1}, "profile": {"p": 2}, "recipient": "ben"}}
    child = child_of(parent_of(step))
    assert (child.recipient, child.profile, child.invocation.data) == ("ben", {"p": 2}, {"n": 1})


def test_an_invoke_step_in_the_head_is_carried_out_by_a_worker() -> None:
    parent = run_of(invoke(INVOKE, SEND))
    assert (children_of(parent), status(parent)) == ([], "waiting")
    work_off()
    assert (len(children_of(parent)), status(parent)) == (1, "completed")


def test_a_step_whose_condition_is_false_bears_no_child_and_waits_for_none() -> None:
    parent = parent_of({**WAIT, "if": "data.no"}, SEND)
    assert (children_of(parent), status(parent)) == ([], "completed")
    assert steps(parent)[0] == ("bear", "skipped", None)


def test_several_children_are_born_in_one_transition() -> None:
    parent = parent_of(SEND, INVOKE, {**INVOKE, "id": "again"}, DELAY)
    first, second = children_of(parent)
    assert [output for _, _, output in steps(parent)][1:3] == [
        {"run": str(first.uid)},
        {"run": str(second.uid)},
    ]


def test_a_cancel_step_finds_the_child_that_was_born_before_it() -> None:
    publish("labelled", {"cancellation_token": "t-{{data.user_id}}", "steps": [DELAY, SEND]})
    parent = parent_of(
        {**INVOKE, "template": "labelled"}, {"action": "cancel", "cancellation_token": "t-u1"}, SEND
    )
    assert (status(child_of(parent)), status(parent)) == ("cancelled", "completed")


@pytest.mark.parametrize(("left", "own"), [({}, "cancelled"), ({"on_parent_cancel": "leave"}, "waiting")])
def test_a_child_that_calls_its_parent_off_is_beneath_it(left: dict[str, Any], own: str) -> None:
    """Its step spares its own invocation, whose runs bear the token as well; not what goes with the parent."""
    cancel = {"action": "cancel", "cancellation_token": "shared"}
    publish("shares", {"cancellation_token": "shared", "steps": [SEND, cancel, DELAY, SEND]})
    parent = parent_of({**INVOKE, "template": "shares", **left}, DELAY, token="shared")
    receipt = Cancellation.objects.get()
    hit = [parent] if left else [parent, child_of(parent)]
    assert receipt.cancelled_run_ids == sorted(str(run.uid) for run in hit)
    assert (status(parent), status(child_of(parent))) == ("cancelled", own)


def test_a_child_is_not_born_when_its_parent_was_called_off_since_its_step_started() -> None:
    parent = run_of(invoke(SEND, INVOKE))
    (done,) = [execution.perform(task) for task in start()]
    cancel_runs(run_pks=(parent.pk,))
    finish(done)
    assert (children_of(parent), status(parent), Invocation.objects.count()) == ([], "cancelled", 1)


def test_a_late_worker_bears_no_second_child() -> None:
    parent = run_of(invoke(SEND, INVOKE))
    (late,) = [execution.perform(task) for task in start()]
    expire_leases()
    housekeeping.reap(production())
    work_off()
    finish(late)
    assert len(children_of(parent)) == 1


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "kind"),
    [("nobody", "automation_not_found"), ("disabled", "disabled"), ("draft", "unpublished"),
     ("tokened", "cancellation_token_unresolved"), ("{{data.missing}}", "invalid_template")],
)  # fmt: skip
def test_a_child_that_is_refused_fails_the_step_with_its_code(template: str, kind: str) -> None:
    publish("disabled", {"steps": [SEND]})
    Automation.objects.filter(key="disabled").update(disabled_at="2026-01-01T00:00Z")
    publish("draft", {"steps": [SEND]})
    Automation.objects.filter(key="draft").update(published=None)
    publish("tokened", {"cancellation_token": "{{data.absent}}", "steps": [SEND]})
    parent = parent_of({**INVOKE, "template": template}, SEND)
    assert error_of(parent) == ("failed", "step_failed", kind)
    assert children_of(parent) == []


@pytest.mark.parametrize(
    ("field", "kind"),
    [({"data": {"$ref": "data.user_id"}}, "invalid_data"), ({"profile": {"$ref": "data.none"}}, "invalid_profile"),
     ({"recipient": "refs.data.none"}, "invalid_recipient"), ({"recipient": "${'x'.repeat(256)}"}, "invalid_recipient"),
     ({"recipient": "${true}"}, "invalid_recipient")],
)  # fmt: skip
def test_what_resolves_to_something_unfit_fails_the_step(field: dict[str, Any], kind: str) -> None:
    assert error_of(parent_of({**INVOKE, **field})) == ("failed", "step_failed", kind)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("${'\\0'}", "invalid_text"), ("${'\\ud800'}", "invalid_text"), ("{{data.big}}", "data_too_large")],
)  # fmt: skip
def test_data_that_cannot_be_stored_fails_the_step(text: str, kind: str) -> None:
    big = "x" * (MAX_DOCUMENT // 5)
    parent = parent_of({**INVOKE, "data": {str(n): text for n in range(5)}}, data={"big": big})
    assert error_of(parent)[::2] == ("failed", kind)


@pytest.mark.parametrize("name", ["data", "profile"])
def test_what_a_child_is_given_has_at_most_64_levels(name: str) -> None:
    deep: Any = "x"
    for _ in range(62):
        deep = [deep]
    parent = parent_of({**INVOKE, name: {"a": "refs.data.deep"}}, data={"deep": deep})
    child = child_of(parent)
    assert (child.invocation.data if name == "data" else child.profile) == {"a": deep}
    parent = parent_of({**INVOKE, name: {"a": {"b": ["refs.data.deep"]}}}, data={"deep": deep})
    assert error_of(parent) == ("failed", "step_failed", f"{name}_too_deep")


def test_what_was_carried_out_before_a_refused_child_stays() -> None:
    parent = parent_of(INVOKE, {**INVOKE, "id": "second", "template": "nobody"})
    assert [one for one, _, _ in steps(parent)] == ["bear", "second"]
    assert [state for _, state, _ in steps(parent)] == ["completed", "failed"]
    assert len(children_of(parent)) == 1


def test_an_automation_that_invokes_itself_ends() -> None:
    publish("loop", {"steps": [{"action": "invoke", "template": "loop", "on_parent_cancel": "leave"}]})
    first = run_of(invoke(definition=None, automation="loop"))
    work_off()
    assert Run.objects.count() == MOST_GENERATIONS
    last = Run.objects.order_by("-pk")[0]
    assert error_of(last) == ("failed", "step_failed", "too_deep")
    assert status(first) == "completed"


def test_an_automation_published_anew_meanwhile_is_prepared_again() -> None:
    parent = run_of(invoke(INVOKE))
    (done,) = [execution.perform(task) for task in start()]
    passed: list[str] = []

    def publish_anew(name: str) -> None:
        passed.append(name)
        if passed.count("finish.begins") == 1 and name == "finish.begins":
            publication.save_draft(
                environment=production(), key="child", definition={"steps": [DELAY]}, revision=None, by="x"
            )
            publication.publish(environment=production(), key="child", by="x")

    with testpoints.watched(publish_anew):
        finish(done)
    assert (passed.count("finish.begins"), child_of(parent).version.number) == (2, 2)


# -- concurrency ---------------------------------------------------------------------------------------------


def test_a_child_whose_key_is_taken_fails_the_step() -> None:
    key = {"key": "{{data.user_id}}", "policy": "reject_new"}
    publish("single", {"concurrency": key, "steps": [DELAY]})
    step = {**INVOKE, "template": "single"}
    parent_of(step)
    second = parent_of(step)
    assert error_of(second) == ("failed", "step_failed", "already_running")


def test_a_child_supersedes_an_earlier_one() -> None:
    key = {"key": "{{data.user_id}}", "policy": "cancel_previous"}
    publish("single", {"concurrency": key, "steps": [DELAY]})
    first = parent_of({**INVOKE, "template": "single"})
    second = parent_of({**INVOKE, "template": "single"})
    assert (status(child_of(first)), status(child_of(second))) == ("cancelled", "waiting")


def test_a_child_that_supersedes_its_parent_lives_on() -> None:
    key = {"key": "{{data.user_id}}", "policy": "cancel_previous"}
    again = {
        "action": "invoke",
        "template": "single",
        "if": "!data.again",
        "data": {"user_id": "u1", "again": True},
    }
    publish("single", {"concurrency": key, "steps": [again, DELAY]})
    parent = run_of(invoke(definition=None, automation="single"))
    work_off()
    assert (status(parent), status(child_of(parent))) == ("cancelled", "waiting")


# -- waiting for the child -----------------------------------------------------------------------------------


def test_a_run_waits_until_its_child_has_ended_and_says_how() -> None:
    parent = parent_of({**WAIT, "ref": "kid"}, {**SEND, "if": "refs.kid.status == 'completed'"})
    child = child_of(parent)
    waits = read(parent)
    assert (waits.public_status, waits.due_at, waits.awaits_child) == ("waiting", None, True)
    assert steps(parent) == [("bear", "waiting", {"run": str(child.uid)}), ("1", "pending", None)]
    make_due(child)
    work_off()
    assert (status(child), status(parent)) == ("completed", "completed")
    assert steps(parent)[0] == ("bear", "completed", {"run": str(child.uid), "status": "completed"})
    assert [state for _, state, _ in steps(parent)] == ["completed", "completed"]


def test_a_child_that_fails_lets_its_parent_go_on() -> None:
    publish("child2", {"steps": [{**INVOKE, "template": "nobody"}]})
    parent = parent_of(
        {**WAIT, "template": "child2", "ref": "kid"}, {**SEND, "if": "refs.kid.status == 'completed'"}
    )
    assert (status(child_of(parent)), status(parent)) == ("failed", "completed")
    assert [state for _, state, _ in steps(parent)] == ["completed", "skipped"]


def test_a_cancelled_child_lets_its_parent_go_on() -> None:
    parent = parent_of(WAIT, SEND)
    child = child_of(parent)
    cancel_runs(run_pks=(child.pk,))
    archive_all()
    work_off()
    assert (status(parent), steps(parent)[0][2]) == (
        "completed",
        {"run": str(child.uid), "status": "cancelled"},
    )


def test_a_child_whose_worker_is_lost_for_good_lets_its_parent_go_on() -> None:
    publish("once", {"steps": [{**SEND, "on_crash": "fail"}]})
    parent = run_of(invoke({**WAIT, "template": "once"}, DELAY))
    finish(*[execution.perform(task) for task in start()])
    assert len(start()) == 1  # the child's
    expire_leases()
    housekeeping.reap(production())
    work_off()
    assert (status(child_of(parent)), steps(parent)[0][1]) == ("failed", "completed")
    assert steps(parent)[0][2]["status"] == "failed"


def test_a_run_called_off_while_it_waits_is_not_woken() -> None:
    parent = parent_of({**WAIT, "on_parent_cancel": "leave"}, SEND)
    child = child_of(parent)
    cancel_runs(run_pks=(parent.pk,))
    make_due(child)
    work_off()
    assert (status(parent), status(child)) == ("cancelled", "completed")
    assert Event.objects.filter(kind="child_ended").count() == 0


def test_a_child_that_cancels_the_parent_which_waits_for_it_ends() -> None:
    publish("ungrateful", {"steps": [SEND, {"action": "cancel", "cancellation_token": "t"}]})
    parent = parent_of({**WAIT, "template": "ungrateful"}, SEND, token="t")
    assert (status(parent), status(child_of(parent))) == ("cancelled", "completed")
    assert Event.objects.filter(kind="child_ended").count() == 0


def test_a_run_that_waits_for_its_child_takes_no_other_time() -> None:
    parent = parent_of(WAIT, SEND)
    with pytest.raises(Refusal) as refused:
        execution.reschedule(environment=production(), run=parent, when=execution.NOW, actor="key/test")
    assert refused.value.code == "awaits_child"
    assert read(parent).live.awaits == child_of(parent).pk
