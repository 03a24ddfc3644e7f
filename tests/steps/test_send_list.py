"""A send to a list: who gets it, what a failed member does, and what a second attempt leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.db import OperationalError

from automations import execution, expressions
from automations.expressions import ExpressionError, Scope
from automations.models import Answers, Environment, Question, Run, answers, steps_of_run
from automations.timeline import StepState
from tests.captured import Captured
from tests.channels.sinks import HttpSink, SmtpSink, reply
from tests.letters import knows, listed, template
from tests.scenes import expire_leases, finish, invoke, make_due, production, read, run_of, start, work_off

pytestmark = pytest.mark.django_db
NEWS: dict[str, Any] = {"action": "send-list", "list": "team", "template": "welcome"}


def ran(**more: Any) -> Run:
    run = run_of(invoke({**NEWS, **more}, data={"plan": "pro"}))
    work_off()
    return run


def only_step(run: Run) -> StepState:
    (step,) = steps_of_run(read(run))
    return step


@pytest.fixture
def team() -> None:
    """Three members: by e-mail, by webhook in tests that have one, by the console."""
    template()
    knows("ada", email="ada@example.com", name="Ada")
    knows("bob", name="Bob")
    listed("team", "ada", "bob", "eve")


@pytest.mark.usefixtures("team")
def test_every_member_gets_it_by_a_channel_of_their_own(smtp: SmtpSink) -> None:
    run = ran()
    step = only_step(run)
    assert step.output == {
        "list": "team", "members": 3, "reached": 3, "failed": 0, "template": "welcome",
        "deliveries": [
            {"recipient": "ada", "channel": "email", "to": "ada@example.com",
             "message_id": f"<{run.uid}.0.ada@sender.example>"},
            {"recipient": "bob", "channel": "console"},
            {"recipient": "eve", "channel": "console"},
        ],
    }  # fmt: skip
    (mail,) = smtp.mails
    assert b"Subject: Hi Ada" in mail.content
    assert b"X-Idempotency-Key: " + f"{run.uid}:0:ada".encode() in mail.content


@pytest.mark.usefixtures("team", "allowed")
def test_a_second_attempt_leaves_out_whom_the_first_one_reached(http: HttpSink) -> None:
    for name in ("ada", "bob", "eve"):
        knows(name, webhook=http.url(f"/{name}"))
    http.on("/bob", reply(503))
    run = run_of(invoke(NEWS))
    work_off()
    step = only_step(run)
    assert (step.status, step.attempts) == ("waiting", 1)
    assert step.error["message"] == "1 of 3 members were not reached: the webhook answered 503"
    assert step.error["delivered"] == ["ada", "eve"]
    del http.behaviours["/bob"]
    make_due(run)
    work_off()
    assert [received.path for received in http.received] == ["/ada", "/bob", "/eve", "/bob"]
    assert {received.headers["idempotency-key"] for received in http.received if received.path == "/bob"} == {
        f"{run.uid}:0:bob"
    }
    step = only_step(run)
    assert (step.status, step.attempts, step.output["reached"]) == ("completed", 2, 3)
    assert [entry["recipient"] for entry in step.output["deliveries"]] == ["bob"]


@pytest.mark.usefixtures("team", "allowed")
def test_what_several_attempts_reached_adds_up(http: HttpSink) -> None:
    for name in ("ada", "bob", "eve"):
        knows(name, webhook=http.on(f"/{name}", reply(503)))
    run = run_of(invoke({**NEWS, "retry": {"max_attempts": 4}}))
    for name in ("ada", "bob", "eve"):
        work_off()
        del http.behaviours[f"/{name}"]
        make_due(run)
    work_off()
    assert only_step(run).output["reached"] == 3
    assert [received.path for received in http.received].count("/ada") == 2
    assert len(http.received) == 3 + 3 + 2 + 1


@pytest.mark.usefixtures("team", "allowed")
def test_a_member_that_cannot_be_reached_fails_the_step_after_the_last_attempt(http: HttpSink) -> None:
    knows("bob", webhook=http.on("/bob", reply(503)))
    knows("ada")
    run = ran(retry={"max_attempts": 1})
    assert (read(run).public_status, only_step(run).error["reached"]) == ("failed", 2)


@pytest.mark.usefixtures("team", "allowed")
def test_a_member_refused_for_good_holds_nobody_up(http: HttpSink) -> None:
    knows("ada", email="no address")
    knows("bob", webhook=http.on("/bob", reply(410, b"gone")))
    step = only_step(ran())
    assert (step.status, step.output["reached"], step.output["failed"]) == ("completed", 1, 2)
    ada, bob, _ = step.output["deliveries"]
    assert ada == {
        "recipient": "ada",
        "error": '"to.email" is not an e-mail address',
        "channel": "email",
        "to": "no address",
    }
    assert (bob["error"], bob["status"], bob["answer"]) == ("the webhook answered 410", 410, "gone")


@pytest.mark.usefixtures("team")
def test_a_list_of_which_nobody_was_reached_fails_the_step() -> None:
    listed("team", "ada")
    knows("ada", email="no address")
    step = only_step(ran())
    assert (step.status, step.attempts) == ("failed", 1)
    assert step.error["message"].startswith("1 of 1 members were not reached: ")


@pytest.mark.usefixtures("team")
def test_an_empty_list_is_sent_to_nobody() -> None:
    listed("team")
    assert only_step(ran()).output == {
        "list": "team", "members": 0, "reached": 0, "failed": 0, "template": "welcome", "deliveries": [],
    }  # fmt: skip


@pytest.mark.usefixtures("team")
def test_a_list_that_does_not_exist_fails_the_step() -> None:
    listed("other", environment=Environment.objects.get(key="test"))
    assert only_step(ran(list="other")).error["message"] == "there is no list “other”"


@pytest.mark.usefixtures("team", "allowed")
def test_after_a_lost_worker_everybody_is_sent_to_again_under_the_same_keys(http: HttpSink) -> None:
    for name in ("ada", "bob", "eve"):
        knows(name, webhook=http.url(f"/{name}"))
    run = run_of(invoke(NEWS))
    (task,) = start()
    execution.perform(task)  # and its worker is lost before it can write that back
    expire_leases()
    execution.keep_house(production())
    work_off()
    assert (read(run).public_status, len(http.received)) == ("completed", 6)
    assert len({received.headers["idempotency-key"] for received in http.received}) == 3


def test_a_database_that_is_away_in_the_middle_forgets_nobody_who_was_reached() -> None:
    template(title="Hi")
    listed("team", *(f"u{n:03}" for n in range(120)))
    run = run_of(invoke(NEWS))
    (task,) = start()

    def ask(questions: Sequence[Question]) -> Answers:
        if any(question.name == "u050" for question in questions):
            raise OperationalError("gone")
        return answers(questions)

    finish(execution.perform(task, ask=ask))
    step = only_step(run)
    assert (step.status, step.error["reached"]) == ("waiting", 50)
    assert step.error["message"] == "70 of 120 members were not reached: the database did not answer"
    assert step.error["deliveries"][-1] == {"recipient": "u119", "error": "the database did not answer"}
    make_due(run)
    work_off()
    assert [entry["recipient"] for entry in only_step(run).output["deliveries"]][::69] == ["u050", "u119"]


def starve(monkeypatch: pytest.MonkeyPatch, *recipients: str | None) -> None:
    """No evaluator is free for what is filled in for these."""
    fill_in = expressions.resolve_tree

    def busy(tree: Any, scope: Scope, **more: Any) -> Any:
        if scope.refs["recipient"] in recipients:
            raise ExpressionError("busy", "no evaluator became free in time")
        return fill_in(tree, scope, **more)

    monkeypatch.setattr(expressions, "resolve_tree", busy)


@pytest.mark.usefixtures("team", "allowed")
def test_one_that_finds_no_evaluator_in_the_middle_was_an_attempt(
    http: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is none before the first was sent to: who was reached is not to be sent to again."""
    for name in ("ada", "bob", "eve"):
        knows(name, webhook=http.url(f"/{name}"))
    run = run_of(invoke(NEWS))
    with monkeypatch.context() as patched:
        starve(patched, "bob")
        work_off()
    step = only_step(run)
    assert (step.status, step.attempts, step.error["delivered"]) == ("waiting", 1, ["ada", "eve"])
    assert step.error["message"] == "1 of 3 members were not reached: no evaluator became free in time"
    make_due(run)
    with monkeypatch.context() as patched:
        starve(patched, read(run).recipient)  # and so nobody was tried
        work_off()
    step = only_step(run)
    assert (step.status, step.attempts, step.error["delivered"]) == ("waiting", 1, ["ada", "eve"])
    make_due(run)
    work_off()
    assert [received.path for received in http.received] == ["/ada", "/eve", "/bob"]
    step = only_step(run)
    assert (step.status, step.attempts, step.output["reached"]) == ("completed", 2, 3)


def test_a_list_of_any_length_costs_a_statement_for_fifty_members() -> None:
    template(title="Hi")
    counts = []
    for members in (2, 50, 120):
        listed("team", *(f"u{n}" for n in range(members)))
        invoke(NEWS)
        (task,) = start()
        with Captured() as captured:
            done = execution.perform(task)
        counts.append(len(captured))
        finish(done)
    assert counts == [3, 3, 5]  # the template, the list, and their profiles
