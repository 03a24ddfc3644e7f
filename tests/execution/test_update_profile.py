"""An update-profile step changes what is known of a recipient once, in the transaction of its run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from automations import execution
from automations.execution import housekeeping
from automations.expressions import MAX_DOCUMENT
from automations.models import Recipient, Run, clock, identify, steps_of_run
from tests.captured import Captured
from tests.scenes import (
    DELAY,
    SEND,
    cancel_runs,
    expire_leases,
    finish,
    invoke,
    production,
    publish,
    read,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db
UPDATE: dict[str, Any] = {"action": "update-profile", "id": "say", "profile": {"plan": "pro"}}


def stored(key: str) -> Any:
    row = Recipient.objects.filter(environment=production(), key=key).first()
    return None if row is None else row.profile


def know(key: str, profile: Mapping[str, Any]) -> None:
    identify({key: profile}, environment_id=production().pk, now=clock())


def after(*steps: dict[str, Any], **given: Any) -> Run:
    """A run of these steps for Ana, carried forward as far as it goes now."""
    run = run_of(invoke(*steps, **{"recipients": ["ana"], **given}))
    work_off()
    return read(run)


def told(run: Run) -> tuple[str, str, Any]:
    """Of the run its status and reason, and of its first step the kind of its error or its output."""
    first = steps_of_run(run)[0]
    return run.public_status, run.reason, first.error["kind"] if first.error else first.output


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        (None, {"plan": "pro", "name": "Ana", "new": 1}),
        ("overwrite", {"plan": "pro", "name": "Ana", "new": 1}),
        ("soft-merge", {"plan": "free", "name": "Ana", "old": 1, "new": 1}),
        ("replace", {"plan": "pro", "new": 1}),
        ("none", {"plan": "free", "name": "Ana", "old": 1}),
    ],
)
def test_what_is_said_is_laid_over_what_is_known_as_the_step_says(merge: str | None, expected: Any) -> None:
    know("ana", {"plan": "free", "name": "Ana", "old": 1})
    run = after({**UPDATE, "profile": {"plan": "pro", "old": None, "new": 1}, "merge": merge}, SEND)
    assert (stored("ana"), run.profile) == (expected, expected)
    output = {"recipient": "ana", "merge": merge or "overwrite", "members": ["new", "old", "plan"]}
    assert told(run) == ("completed", "end", output)


@pytest.mark.parametrize("merge", ["overwrite", "soft-merge", "replace", "none"])
def test_of_whom_nothing_is_known_all_is_new(merge: str) -> None:
    after({**UPDATE, "merge": merge})
    assert stored("ana") == {"plan": "pro"}


def test_the_step_may_name_another_recipient_and_resolves_what_it_says() -> None:
    know("ben", {"a": 1})
    said = {"boss_of": "{{data.who}}", "list": [{"n": "refs.data.n"}]}
    run = after(
        {**UPDATE, "recipient_id": "refs.data.boss", "profile": said},
        data={"who": "Ana", "n": 7, "boss": "ben"},
    )
    assert stored("ben") == {"a": 1, "boss_of": "Ana", "list": [{"n": 7}]}
    assert (stored("ana"), run.profile) == (None, {})


def test_a_recipient_whose_id_looks_like_an_expression_is_nobody_else() -> None:
    after(UPDATE, recipients=["refs.data.user_id"])
    assert (stored("refs.data.user_id"), stored("u1")) == ({"plan": "pro"}, None)


def test_what_follows_reads_the_profile_as_it_is_then() -> None:
    publish("child", {"steps": [DELAY]})
    run = after(
        {**UPDATE, "profile": {"n": 1}},
        {**UPDATE, "id": "more", "profile": {"n": "${profile.n + 1}"}},
        {"action": "invoke", "template": "child"},
        {"action": "send", "if": "profile.n === 2", "message": {"content": {"body": "{{profile.n}}"}}},
    )
    assert Run.objects.get(parent=run.pk).profile == {"n": 2}
    last = steps_of_run(run)[-1]
    assert (last.status, last.output["body"]) == ("completed", "2")


def test_a_step_whose_condition_is_false_changes_nothing() -> None:
    run = after({**UPDATE, "if": "data.no"}, SEND)
    assert (stored("ana"), status(run), steps_of_run(run)[0].status) == (None, "completed", "skipped")


@pytest.mark.parametrize(
    ("step", "given", "reason", "kind"),
    [
        ({}, {"recipients": []}, "step_failed", "no_recipient"),
        ({"recipient_id": "{{data.none}}"}, {}, "expression_error", "unresolved"),
        ({"profile": {"email": "refs.data.none"}}, {}, "expression_error", "unresolved"),
        ({"recipient_id": "${'x'.repeat(256)}"}, {}, "step_failed", "invalid_recipient_id"),
        ({"recipient_id": "${true}"}, {}, "expression_error", "unsupported_type"),
        ({"profile": {"n": "${[JSON.rawJSON('1e999')]}"}}, {}, "expression_error", "unsupported_type"),
        ({"profile": {str(n): "{{data.big}}" for n in range(5)}}, {"data": {"big": "x" * (MAX_DOCUMENT // 5)}},
         "step_failed", "data_too_large"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_fails_the_step_and_changes_nothing(
    step: dict[str, Any], given: dict[str, Any], reason: str, kind: str
) -> None:
    know("ana", {"email": "a@b.c"})
    run = after({**UPDATE, **step}, SEND, **given)
    assert told(run) == ("failed", reason, kind)
    assert stored("ana") == {"email": "a@b.c"}


def nested(value: Any, levels: int) -> Any:
    """The value inside so many lists."""
    for _ in range(levels):
        value = [value]
    return value


def test_steps_do_not_nest_a_profile_deeper_than_64_levels() -> None:
    know("ana", {"p": "kept"})
    deeper = {"action": "update-profile", "profile": {"p": nested("refs.profile.p", 20)}}
    run = after(*[deeper] * 4)
    failed = steps_of_run(run)[3]
    assert (run.public_status, failed.error and failed.error["kind"]) == ("failed", "data_too_deep")
    assert (stored("ana"), read(run).profile) == ({"p": nested("kept", 60)}, {"p": nested("kept", 60)})


def test_nor_do_they_another_ones() -> None:
    know("bob", {"p": "kept"})
    step = {**UPDATE, "recipient_id": "bob", "profile": {"p": nested("refs.data.deep", 3)}}
    run = after(step, data={"deep": nested("x", 61)})
    assert told(run) == ("failed", "step_failed", "data_too_deep")
    assert stored("bob") == {"p": "kept"}
    assert after(step, data={"deep": nested("x", 60)}).public_status == "completed"
    assert stored("bob") == {"p": nested("x", 63)}


@pytest.mark.parametrize("when", ["before its step started", "since its step started"])
def test_of_a_run_called_off_before_nothing_is_changed(when: str) -> None:
    run = run_of(invoke(SEND, UPDATE, recipients=["ana"]))
    done = [execution.perform(task) for task in start()] if when.startswith("since") else []
    cancel_runs(run_pks=(run.pk,))
    finish(*done)
    work_off()
    assert (status(run), stored("ana"), read(run).profile) == ("cancelled", None, {})


def test_a_late_worker_says_nothing_twice() -> None:
    know("ana", {"n": 1})
    run = run_of(invoke(SEND, UPDATE, recipients=["ana"]))
    (late,) = [execution.perform(task) for task in start()]
    expire_leases()
    housekeeping.reap(production())
    work_off()
    know("ana", {"plan": "changed since"})
    finish(late)
    assert (stored("ana"), status(run)) == ({"n": 1, "plan": "changed since"}, "completed")


def test_definitions_without_the_step_cost_no_statement_more() -> None:
    run_of(invoke(SEND, DELAY, recipients=["ana"]))
    with Captured() as asked:
        done = [execution.perform(task) for task in start()]
        finish(*done)
    assert not [query for query in asked.captured_queries if "automations_recipient" in query["sql"]]
