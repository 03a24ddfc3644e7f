"""What a send delivers, to whom, by which channel, and what the run records of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from automations import channels, execution
from automations.channels import signing
from automations.expressions import pool
from automations.expressions.breaker import STRIKES
from automations.models import Environment, Run, steps_of_run
from automations.models import provider as provider_model
from automations.steps.letter import RECORDED
from tests.captured import Captured
from tests.channels.sinks import HttpSink, SmtpSink, reply
from tests.letters import knows, listed, provider, template
from tests.scenes import finish, invoke, make_due, production, read, run_of, start, work_off

pytestmark = pytest.mark.django_db
WELCOME: dict[str, Any] = {"action": "send", "template": "welcome"}
CONTENT = {"title": "Hi", "body": "Hello {{profile.name}}"}
ONCE = {"retry": {"max_attempts": 1}}


def ran(step: dict[str, Any], **given: Any) -> Run:
    """The run of one step, worked off."""
    accepted = invoke(step, **{"recipients": ["ada"], "data": {"plan": "pro"}, **given})
    work_off()
    return run_of(accepted)


def output(run: Run) -> Any:
    (step,) = steps_of_run(read(run))
    assert step.status == "completed", step.error
    return step.output


def error(run: Run) -> Any:
    (step,) = steps_of_run(read(run))
    assert (step.status, step.output) == ("failed", None)
    return step.error


# -- what it says ---------------------------------------------------------------------------------------

SLOW = "${data.plan + ''}"


@pytest.mark.parametrize(
    "step",
    [
        {**WELCOME, "if": SLOW},
        {"action": "send", "message": {"content": {"body": SLOW}}},
        {**WELCOME, "template": SLOW},
        {**WELCOME, "recipient": SLOW},
        {**WELCOME, "data": {"said": "here"}},
        {"action": "send-list", "list": SLOW, "template": "welcome"},
    ],
)
def test_whose_its_expressions_are(step: dict[str, Any]) -> None:
    """Those of the environment's runs: what another's were refused for does not matter here."""
    template(title=SLOW if "data" in step else "Hi")
    template("pro", title="Hi")
    listed("pro", "ada")
    breaker = pool.current().breaker
    for owner in ("", "0/runs", f"{production().pk}/runs"):
        for _ in range(STRIKES):
            breaker.timed_out((owner, SLOW))
        run = ran({**step, **ONCE})
        expected = None if owner in ("", "0/runs") else "timeout"
        (made,) = steps_of_run(read(run))
        assert (made.error or {}).get("kind") == expected
    breaker.ended((f"{production().pk}/runs", SLOW))


def test_a_template_is_filled_in_with_the_data_and_the_profile() -> None:
    template()
    assert output(ran(WELCOME, profile={"name": "Ada"})) == {
        "channel": "console", "title": "Hi Ada", "body": "Your plan is pro.", "recipient": "ada",
        "template": "welcome",
    }  # fmt: skip


def test_the_step_lays_its_data_and_profile_over_those_of_the_run() -> None:
    template(title="{{data.a}}{{data.b}}", body="{{profile.c}}{{profile.d}}{{refs.recipient}}")
    step = {**WELCOME, "data": {"b": "{{data.a}}!"}, "profile": {"d": "refs.data.a"}}
    said = output(ran(step, data={"a": "1", "b": "2"}, profile={"c": "3", "d": "4"}))
    assert (said["title"], said["body"]) == ("11!", "31ada")


@pytest.mark.parametrize("place", ["step", "message"])
def test_a_message_that_is_brought_along_reads_them_too(place: str) -> None:
    said: dict[str, Any] = {"data": {"n": "Ana", "b": "{{data.a}}!"}}
    content = {"title": "${`Hi ${data.n}`}", "body": "{{data.a}}{{data.b}}{{profile.c}}{{profile.d}}"}
    message = {"content": content, "to": {"user_id": "boss"}, **(said if place == "message" else {})}
    step = {"action": "send", "message": message, **(said if place == "step" else {})}
    given: dict[str, Any] = {"data": {"a": "1", "b": "2"}, "profile": {"c": "3", "d": "4"}}
    run = ran({**step, "profile": {"d": "refs.data.a"}}, **given)
    assert (output(run)["title"], output(run)["body"]) == ("Hi Ana", "11!31")
    assert "warnings" not in run.events.get(kind="step_completed").data
    assert output(ran(step, **given))["body"] == "11!34"


def test_data_may_be_an_expression_that_gives_an_object() -> None:
    template(title="{{data.x}}")
    assert output(ran({**WELCOME, "data": "refs.data.inner"}, data={"inner": {"x": "y"}}))["title"] == "y"
    assert output(ran({**WELCOME, "data": "refs.data.x"}, data={"x": "no object"}))["title"] == "no object"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (True, "true"),
        (1.0, "1"),
        (1.5e-7, "1.5e-7"),
        ({"a": ["é", None, True]}, '{"a":["é",null,true]}'),
        (None, ""),
    ],
)
def test_a_whole_value_is_written_as_in_the_midst_of_a_text(value: Any, said: str) -> None:
    template(title="refs.data.v", body="{{data.v}}")
    output_ = output(ran(WELCOME, data={"v": value}))
    assert (output_["title"], output_["body"]) == (said, said)
    inline = {"action": "send", "message": {"content": {"title": "${data.v}", "body": "({{data.v}})"}}}
    output_ = output(ran(inline, data={"v": value}))
    assert (output_["title"], output_["body"]) == (said, f"({said})")


def test_an_override_is_said_instead_of_the_template() -> None:
    template()
    said = output(ran({**WELCOME, "override": {"title": "{{data.plan}}"}}))
    assert (said["title"], said["body"]) == ("pro", "Your plan is pro.")


def test_a_channel_may_be_worded_differently() -> None:
    template(title="T", body="B", channels={"console": {"body": "short"}, "email": {"title": "long"}})
    said = output(ran(WELCOME))
    assert (said["title"], said["body"]) == ("T", "short")


def test_the_template_may_be_chosen_by_an_expression() -> None:
    template("plan-pro", title="pro")
    assert output(ran({**WELCOME, "template": "plan-{{data.plan}}"}))["title"] == "pro"


def test_what_a_template_misses_is_a_warning_on_the_run() -> None:
    template()
    run = ran(WELCOME)
    assert output(run)["title"] == "Hi "
    event = run.events.get(kind="step_completed")
    assert event.data["warnings"] == ["missing, so left empty: profile.name"]


def test_a_template_that_does_not_exist_fails_the_step_at_once() -> None:
    template(environment=Environment.objects.get(key="test"))
    run = ran(WELCOME)
    assert error(run) == {
        "kind": "delivery", "message": "there is no message template “welcome”", "code": "unknown_template",
    }  # fmt: skip
    assert run.public_status == "failed"


def test_a_template_is_sent_as_it_is_worded_when_the_step_is_performed() -> None:
    row = template(title="before")
    accepted = invoke({"action": "delay", "duration": "1 hour"}, WELCOME)
    row.title = "after"
    row.save()
    make_due(run_of(accepted))
    work_off()
    assert steps_of_run(run_of(accepted))[1].output["title"] == "after"


# -- to whom --------------------------------------------------------------------------------------------


def test_a_send_to_another_recipient_goes_to_what_is_known_of_that_one(smtp: SmtpSink) -> None:
    template()
    knows("boss", email="boss@example.com", name="Grace")
    run = ran({**WELCOME, "recipient": "refs.data.boss"}, data={"plan": "pro", "boss": "boss"},
              profile={"email": "ada@example.com", "name": "Ada"})  # fmt: skip
    said = output(run)
    assert (said["channel"], said["to"], said["recipient"]) == ("email", "boss@example.com", "boss")
    assert said["message_id"] == f"<{run.uid}.0@sender.example>"
    (mail,) = smtp.mails
    assert mail.recipients == ["TO:<boss@example.com>"]
    assert b"Subject: Hi Grace" in mail.content


def test_the_run_s_own_recipient_keeps_the_profile_of_the_invoke() -> None:
    template()
    accepted = invoke({"action": "delay", "duration": "1 hour"}, {**WELCOME, "recipient": "ada"},
                      recipients=["ada"], profile={"name": "then"})  # fmt: skip
    knows("ada", name="now")
    make_due(run_of(accepted))
    work_off()
    assert steps_of_run(run_of(accepted))[1].output["title"] == "Hi then"


def test_a_definition_s_own_words_are_about_the_run() -> None:
    knows("boss", name="Grace")
    said = output(ran({"action": "send", "recipient": "boss", "message": {"content": CONTENT}},
                      profile={"name": "Ada"}))  # fmt: skip
    assert (said["body"], said["recipient"]) == ("Hello Ada", "boss")


@pytest.mark.parametrize("recipient", ["refs.data.nobody", "user-{{data.nobody}}", "undefined"])
def test_a_recipient_that_does_not_resolve_fails_the_step(recipient: str) -> None:
    assert error(ran({"action": "send", "recipient": recipient, "message": {"content": CONTENT}}))[
        "kind"
    ] == ("unresolved")


# -- by which channel -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("allowed")
def test_the_channel_is_the_named_one_else_the_message_s_else_the_profile_s(
    http: HttpSink, smtp: SmtpSink
) -> None:
    template()
    hook = http.url("/profile")
    profile = {"email": "ada@example.com", "webhook": hook, "name": "Ada"}
    headed = {"webhook": {"url": http.url("/headed"), "headers": {"X-Key": "k"}}}

    def by(profile: dict[str, Any], message: dict[str, Any]) -> tuple[str, Any]:
        said = output(ran({"action": "send", "message": message}, profile=profile))
        return said["channel"], said.get("to")

    kept, own = {"template": "welcome"}, {"content": CONTENT, "to": {"user_id": "ada"}}
    for message in (kept, own):
        assert by(profile, message) == ("email", "ada@example.com")
        assert by({"webhook": hook}, message) == ("webhook", hook)
        assert by(headed, message) == ("webhook", http.url("/headed"))
        assert http.received[-1].headers["x-key"] == "k"
        assert by({}, message) == by({"email": ""}, message) == ("console", None)
        assert by(profile, {**message, "channel": "webhook"}) == ("webhook", hook)
        assert by(profile, {**message, "channel": "console"}) == ("console", None)
        assert by(profile, {**message, "to": {"email": "o@example.com"}}) == ("email", "o@example.com")
        secret = {"webhook": {"url": http.url("/m?secret=1")}}
        assert by(profile, {**message, "to": secret}) == ("webhook", http.url("/m"))


def test_a_message_that_says_neither_whom_nor_how_is_recorded_on_the_run(smtp: SmtpSink) -> None:
    step = {"action": "send", "message": {"content": CONTENT}}
    profile = {"email": "ada@example.com"}
    assert output(ran(step, profile=profile))["channel"] == "console"
    assert output(ran({**step, "recipient": "boss"}, profile=profile))["channel"] == "console"
    email = {**step, "message": {"content": CONTENT, "channel": "email"}}
    assert output(ran(email, profile=profile))["channel"] == "email"
    assert len(smtp.mails) == 1


def test_a_channel_for_which_nothing_is_known_fails_the_step() -> None:
    run = ran({"action": "send", "message": {"content": CONTENT, "channel": "email"}})
    assert error(run)["message"] == 'the channel "email" needs "to": {"email": ...}'


@pytest.mark.usefixtures("allowed")
def test_a_webhook_is_signed_with_every_secret_of_the_environment(http: HttpSink) -> None:
    old, new = signing.new_secret(), signing.new_secret()
    provider("old", old, kind="webhook")
    provider("new", new, kind="webhook")
    provider("foreign", signing.new_secret(), kind="webhook", environment=Environment.objects.get(key="test"))
    run = ran({"action": "send", "message": {"content": CONTENT, "to": {"webhook": {"url": http.url()}}}})
    (received,) = http.received
    assert received.headers["webhook-id"] == received.headers["idempotency-key"] == f"{run.uid}:0"
    seconds = received.headers["webhook-timestamp"]
    assert abs(int(seconds) - run.created_at.timestamp()) < 60
    content = f"{run.uid}:0.{seconds}.".encode() + received.body
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in (new, old)]
    expected = [base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys]
    assert received.headers["webhook-signature"] == " ".join(f"v1,{signature}" for signature in expected)


@pytest.mark.usefixtures("allowed")
def test_without_a_secret_a_webhook_is_not_signed(http: HttpSink) -> None:
    ran({"action": "send", "message": {"content": CONTENT, "to": {"webhook": {"url": http.url()}}}})
    assert not [name for name in http.received[0].headers if name.startswith("webhook-")]
    assert json.loads(http.received[0].body)["recipient"] == "ada"


@pytest.mark.usefixtures("allowed")
def test_signing_costs_a_statement_once_a_second(http: HttpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    step = {"action": "send", "message": {"content": CONTENT, "to": {"webhook": {"url": http.url()}}}}
    counts = []
    for kept in (1.0, 1.0, 0.0):
        monkeypatch.setattr(provider_model, "SIGNING_KEPT_SECONDS", kept)
        invoke(step)
        (task,) = start()
        with Captured() as captured:
            finish(execution.perform(task))
        counts.append(sum("automations_provider" in query["sql"] for query in captured))
    assert counts == [1, 0, 1]
    assert len(http.received) == 3


@pytest.mark.usefixtures("allowed")
def test_what_a_provider_answered_to_a_failed_delivery_is_on_the_timeline(http: HttpSink) -> None:
    url = http.on("/no", reply(422, b"no such room"))
    run = ran({"action": "send", "message": {"content": CONTENT, "to": {"webhook": {"url": url}}}})
    said = error(run)
    assert (said["message"], said["status"], said["answer"]) == (
        "the webhook answered 422",
        422,
        "no such room",
    )


@pytest.mark.usefixtures("allowed")
def test_what_was_sent_by_webhook_and_to_whom_is_recorded_without_secrets(http: HttpSink) -> None:
    content = {"title": "Hi {{data.plan}}", "body": "x{{data.long}}"}
    to = {"webhook": {"url": http.url("/in?key=s3cret"), "headers": {"X-Key": "s3cret"}}}
    said = output(ran({"action": "send", "message": {"content": content, "to": to}},
                      data={"plan": "pro", "long": "y" * RECORDED}))  # fmt: skip
    assert said == {
        "channel": "webhook", "to": http.url("/in"), "status": 200, "answer": "ok",
        "recipient": "ada", "title": "Hi pro", "body": "x" + "y" * (RECORDED - 1),
    }  # fmt: skip
    assert len(json.loads(http.received[0].body)["body"]) == RECORDED + 1


def test_what_was_sent_by_mail_is_recorded(smtp: SmtpSink) -> None:
    run = ran({"action": "send", "message": {"content": CONTENT, "channel": "email"}},
              profile={"email": "ada@example.com", "name": "Ada"})  # fmt: skip
    assert output(run) == {
        "channel": "email", "to": "ada@example.com", "message_id": f"<{run.uid}.0@sender.example>",
        "recipient": "ada", "title": "Hi", "body": "Hello Ada",
    }  # fmt: skip
    assert len(smtp.mails) == 1


def test_the_console_records_a_message_however_long_it_is() -> None:
    step = {"action": "send", "message": {"content": {"body": "{{data.long}}"}}}
    assert output(ran(step, data={"long": "y" * (RECORDED + 1)})) == {
        "channel": "console", "title": "", "body": "y" * (RECORDED + 1), "recipient": "ada",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ({"webhook": {"url": "https://10.0.0.1/in?key=s3cret#s3cret"}}, {"to": "https://10.0.0.1/in"}),
        ({"webhook": {"url": "https://ada:s3cret@example.com/in"}}, {}),
        ({"webhook": {"url": "https:\\\\ada:s3cret@example.com/in"}}, {}),
        ({"webhook": {"url": "refs.data.object"}}, {}),
        ({"webhook": {"url": "https://10.0.0.1/{{data.long}}"}}, {}),
        ({"email": "no address"}, {"to": "no address"}),
        ({"email": "refs.data.object"}, {}),
    ],
)
def test_where_a_message_was_to_go_that_was_not_delivered(to: dict[str, Any], told: dict[str, str]) -> None:
    step = {"action": "send", "message": {"content": CONTENT, "to": to}, **ONCE}
    said = error(ran(step, data={"object": {"s3cret": 1}, "long": "p" * 2_000}))
    assert {name: said[name] for name in ("kind", "channel", "to") if name in said} == {
        "kind": "delivery", "channel": next(iter(to)), **told,
    }  # fmt: skip
    assert "s3cret" not in json.dumps(said)


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("team-chat", "team-chat"),
        ({"provider": "sms", "target": "+49"}, {"provider": "sms", "target": "+49"}),
        ("discord://1/s3cret", "discord://"),
        ({"provider": "discord://1/s3cret", "target": "x"}, "discord://"),
    ],
)
def test_of_an_apprise_address_the_service_is_told(to: Any, told: Any) -> None:
    assert channels.shown("apprise", {"apprise": to}) == {"to": told}


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("nobody", "there is no provider “nobody”"),
        ("no such key", "there is no provider “no such key”"),
        (
            {"provider": "sms", "target": "+49 30/1"},
            "the target has characters that no address of a service has",
        ),
        ({"provider": "nobody", "target": "1"}, "there is no provider “nobody”"),
        ("json://10.0.0.1/", "an Apprise URL must be of one of these services, whose hosts are fixed: "),
    ],
)
def test_an_apprise_address_that_leads_nowhere_fails_the_step(to: Any, message: str) -> None:
    provider("sms", "twilio://AC{}:{}@15551112222".format("a" * 32, "b" * 32))
    provider("foreign", "discord://1/2", environment=Environment.objects.get(key="test"))
    said = error(ran({"action": "send", "message": {"content": CONTENT, "to": {"apprise": to}}}))
    assert said["message"].startswith(message)
