"""Definitions are read, or refused with a pointer to everything that is wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automations.definition import (
    Cancel,
    DefinitionError,
    Delay,
    Invoke,
    Kind,
    Retry,
    Send,
    SendList,
    UpdateProfile,
    parse,
)

MESSAGE = {"content": {"title": "Hi", "body": "there"}}
SEND = {"action": "send", "message": MESSAGE}
INVOKE = {"action": "invoke", "template": "child"}
UPDATE = {"action": "update-profile", "profile": {"plan": "pro"}}


def problems(raw: object, *, strict: bool = True) -> list[tuple[str, str]]:
    with pytest.raises(DefinitionError) as refused:
        parse(raw, strict=strict)
    return [(problem.pointer, problem.code) for problem in refused.value.problems]


def only_step(**step: Any) -> Any:
    return parse({"steps": [step]}).steps[0]


def test_a_whole_definition_is_read() -> None:
    definition = parse({
        "cancellation_token": "${`trial-${data.user_id}`}",
        "steps": [
            {"id": "hello", "action": "send", "message": MESSAGE},
            {"action": "delay", "duration": "1 day 2 hours"},
            {"action": "cancel", "cancelation_token": "refs.data.user_id", "include_self": True, "if": "data.x"},
        ],
    })  # fmt: skip
    assert definition.cancellation_token == "${`trial-${data.user_id}`}"
    assert definition.on_unresolved_token == "reject"
    assert definition.steps == (
        Send(position="0", id="hello", title="Hi", body="there"),
        Delay(position="1", duration="1 day 2 hours"),
        Cancel(position="2", token="refs.data.user_id", include_self=True, condition="data.x"),
    )
    assert [step.name for step in definition.steps] == ["hello", "1", "2"]
    assert [step.kind for step in definition.steps] == [Kind.EFFECT, Kind.PURE, Kind.RECORD]


def test_courier_s_spelling_is_accepted_and_stored_as_ours() -> None:
    definition = parse({"cancelation_token": "t", "steps": [{"action": "cancel", "cancelation_token": "u"}]})
    assert definition.source == {
        "cancellation_token": "t",
        "steps": [{"action": "cancel", "cancellation_token": "u"}],
    }
    assert parse(definition.source) == definition


def test_nulls_count_as_absent() -> None:
    assert parse({"cancellation_token": None, "steps": [{**SEND, "if": None, "ref": None}]}).steps == (
        Send(position="0", title="Hi", body="there"),
    )


@pytest.mark.parametrize("raw", [None, [], "steps", 5])
def test_a_definition_is_an_object(raw: object) -> None:
    assert problems(raw) == [("", "invalid")]


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ({}, [("/steps", "required")]),
        ({"steps": []}, [("/steps", "required")]),
        ({"steps": {}}, [("/steps", "required")]),
        ({"steps": [SEND] * 101}, [("/steps", "too_many")]),
        ({"steps": [5]}, [("/steps/0", "invalid")]),
        ({"steps": [{}]}, [("/steps/0/action", "required")]),
        ({"steps": [{"action": "sned"}]}, [("/steps/0/action", "unknown_action")]),
        ({"steps": [{"action": ["send"]}]}, [("/steps/0/action", "unknown_action")]),
        ({"steps": [{"action": "add-to-batch"}]}, [("/steps/0/action", "not_supported")]),
        ({"steps": [SEND], "stpes": 1}, [("/stpes", "unknown_field")]),
        ({"steps": [SEND], "on_cancel": "after"}, [("/on_cancel", "invalid")]),
        ({"steps": [SEND], "on_cancel": {}}, [("/on_cancel/invoke", "required")]),
        ({"steps": [SEND], "on_cancel": {"invoke": "A b"}}, [("/on_cancel/invoke", "invalid")]),
        ({"steps": [SEND], "on_cancel": {"invoke": "a", "data": {}}}, [("/on_cancel/data", "unknown_field")]),
        ({"steps": [{"action": "invoke"}]}, [("/steps/0/template", "required")]),
        ({"steps": [{"action": "update-profile"}]}, [("/steps/0/profile", "required")]),
        ({"steps": [{**UPDATE, "profile": {}}]}, [("/steps/0/profile", "invalid")]),
        ({"steps": [{**UPDATE, "profile": "p"}]}, [("/steps/0/profile", "invalid")]),
        ({"steps": [{**UPDATE, "merge": "deep"}]}, [("/steps/0/merge", "invalid")]),
        ({"steps": [{**UPDATE, "recipient": "u"}]}, [("/steps/0/recipient", "unknown_field")]),
        ({"steps": [{**INVOKE, "data": 5}]}, [("/steps/0/data", "invalid")]),
        ({"steps": [{**INVOKE, "wait": "yes"}]}, [("/steps/0/wait", "invalid")]),
        ({"steps": [{**INVOKE, "ref": "r"}]}, [("/steps/0/ref", "invalid")]),
        ({"steps": [{**INVOKE, "on_parent_cancel": "keep"}]}, [("/steps/0/on_parent_cancel", "invalid")]),
        ({"steps": [{**INVOKE, "context": []}]}, [("/steps/0/context", "invalid")]),
        ({"steps": [{**INVOKE, "context": {"brand": "b"}}]}, [("/steps/0/context/brand", "not_supported")]),
        ({"steps": [{**INVOKE, "context": {"dat": {}}}]}, [("/steps/0/context/dat", "unknown_field")]),
        (
            {"steps": [{**INVOKE, "data": {}, "context": {"data": {}}}]},
            [("/steps/0/context/data", "duplicate")],
        ),
        ({"steps": [SEND], "a/b~c": 1}, [("/a~1b~0c", "unknown_field")]),
        ({"steps": [SEND], "cancellation_token": ""}, [("/cancellation_token", "invalid")]),
        ({"steps": [SEND], "cancellation_token": 5}, [("/cancellation_token", "invalid")]),
        ({"steps": [SEND], "cancellation_token": "x" * 2001}, [("/cancellation_token", "too_long")]),
        (
            {"steps": [SEND], "cancellation_token": "a", "cancelation_token": "b"},
            [("/cancelation_token", "duplicate")],
        ),
        ({"steps": [SEND], "on_unresolved_token": "maybe"}, [("/on_unresolved_token", "invalid")]),
        ({"steps": [{"action": "delay"}]}, [("/steps/0/duration", "required")]),
        (
            {"steps": [{"action": "delay", "duration": "1 day", "until": "2026-11-20"}]},
            [("/steps/0/duration", "required")],
        ),
        ({"steps": [{"action": "delay", "duration": "soon"}]}, [("/steps/0/duration", "invalid_duration")]),
        ({"steps": [{"action": "delay", "until": "soon"}]}, [("/steps/0/until", "invalid_until")]),
        ({"steps": [{"action": "delay", "duration": 5}]}, [("/steps/0/duration", "invalid")]),
        ({"steps": [{"action": "cancel"}]}, [("/steps/0/cancellation_token", "required")]),
        ({"steps": [{"action": "cancel", "filter": {}}]}, [("/steps/0/filter", "empty_filter")]),
        ({"steps": [{"action": "send"}]}, [("/steps/0/message", "required")]),
        ({"steps": [{"action": "send", "message": "hi"}]}, [("/steps/0/message", "invalid")]),
        ({"steps": [{"action": "send", "message": {}}]}, [("/steps/0/message/content", "required")]),
        ({"steps": [{"action": "send", "message": {"content": {}}}]}, [("/steps/0/message/content/body", "required")]),
        (
            {"steps": [{"action": "send", "message": {**MESSAGE, "channel": "pigeon"}}]},
            [("/steps/0/message/channel", "invalid")],
        ),
        (
            {"steps": [{"action": "send", "message": {**MESSAGE, "channel": "email", "to": {"apprise": "x"}}}]},
            [("/steps/0/message/to", "invalid")],
        ),
        (
            {"steps": [{"action": "send", "message": {**MESSAGE, "to": {"email": "a@b.c", "apprise": "x"}}}]},
            [("/steps/0/message/to", "invalid")],
        ),
        (
            {"steps": [{"action": "send", "message": {**MESSAGE, "to": {"apprise": {"provider": "x"}}}}]},
            [("/steps/0/message/to/apprise/target", "required")],
        ),
        ({"steps": [{"action": "send", "message": {**MESSAGE, "channel": "email"}}]}, []),
        (
            {"steps": [{**SEND, "recipient": "u", "message": {**MESSAGE, "to": {"user_id": "v"}}}]},
            [("/steps/0/recipient", "duplicate")],
        ),
        (
            {"steps": [{"action": "send", "message": {**MESSAGE, "to": {"webhook": {}}}}]},
            [("/steps/0/message/to/webhook/url", "required")],
        ),
        (
            {"steps": [{"action": "send", "message": {**MESSAGE, "to": {}}}]},
            [("/steps/0/message/to", "required")],
        ),
        ({"steps": [{**SEND, "template": "T1"}]}, [("/steps/0/message/content", "duplicate")]),
        ({"steps": [{"action": "send", "template": "T1"}]}, []),
        ({"steps": [{"action": "send", "template": "T1", "override": {"channel": "x"}}]},
         [("/steps/0/override/channel", "unknown_field")]),
        ({"steps": [{"action": "send", "template": "T1", "brand": "b"}]}, [("/steps/0/brand", "not_supported")]),
        ({"steps": [{"action": "send-list", "template": "T1"}]}, [("/steps/0/list", "required")]),
        ({"steps": [{"action": "send-list", "list": "l"}]}, [("/steps/0/message", "required")]),
        ({"steps": [{"action": "send-list", "list": "l", "message": {**MESSAGE, "to": {"email": "a@b.c"}}}]},
         [("/steps/0/message", "invalid")]),
        ({"steps": [{"action": "send-list", "list": "l", "template": "T1", "data_source": {}}]},
         [("/steps/0/data_source", "not_supported")]),
        ({"steps": [{"action": "fetch-data"}]}, [("/steps/0/action", "not_supported")]),
        ({"steps": [{"action": "add-to-digest"}]}, [("/steps/0/action", "not_supported")]),
        ({"steps": [{**SEND, "id": "1"}]}, [("/steps/0/id", "invalid")]),
        ({"steps": [{**SEND, "id": "a b"}]}, [("/steps/0/id", "invalid")]),
        ({"steps": [{**SEND, "id": "a"}, {**SEND, "id": "a"}]}, [("/steps/1/id", "duplicate")]),
        ({"steps": [{**SEND, "timeout": "2 hours"}]}, [("/steps/0/timeout", "invalid_duration")]),
        ({"steps": [{**SEND, "retry": {"max_attempts": 0}}]}, [("/steps/0/retry/max_attempts", "invalid")]),
        ({"steps": [{**SEND, "retry": {"jitter": 1}}]}, [("/steps/0/retry/jitter", "unknown_field")]),
    ],
)  # fmt: skip
def test_every_problem_has_its_pointer(raw: object, found: list[tuple[str, str]]) -> None:
    if found:
        assert problems(raw) == found
    else:
        parse(raw)


def test_an_accessor_is_the_path_that_it_names() -> None:
    steps = [
        {"action": "delay", "duration": {"$ref": "data.wait"}},
        {"action": "cancel", "cancellation_token": {"$ref": "refs.data.old"}, "if": {"$ref": "data.go"}},
    ]
    read = parse({"cancellation_token": {"$ref": "data.token"}, "steps": steps})
    delay, cancel = read.steps
    assert isinstance(delay, Delay)
    assert isinstance(cancel, Cancel)
    assert (read.cancellation_token, delay.duration) == ("refs.data.token", "refs.data.wait")
    assert (cancel.token, cancel.condition) == ("refs.data.old", "refs.data.go")
    assert parse(read.source) == read


def test_what_a_journeys_trigger_says_is_kept_and_changes_nothing() -> None:
    plain: dict[str, Any] = {"steps": [{"action": "delay", "duration": "1 hour"}]}
    kept = parse({**plain, "trigger": {"id": "t", "schema": {"type": "object"}}})
    assert (kept, kept.source["trigger"]["id"]) == (parse(plain), "t")
    with pytest.raises(DefinitionError) as refused:
        parse({**plain, "trigger": []})
    assert [problem.pointer for problem in refused.value.problems] == ["/trigger"]


def test_all_problems_are_reported_at_once() -> None:
    raw = {"steps": [{"action": "delay"}, {"action": "x"}, {**SEND, "id": "7"}], "foo": 1}
    assert problems(raw) == [
        ("/steps/0/duration", "required"), ("/steps/1/action", "unknown_action"), ("/steps/2/id", "invalid"),
        ("/foo", "unknown_field"),
    ]  # fmt: skip


def test_a_lenient_reader_ignores_unknown_members_with_a_warning() -> None:
    raw = {"steps": [{"action": "send", "template": "T1", "brand": "b", "zip": 1}], "zap": 2}
    definition = parse(raw, strict=False)
    assert definition.steps == (Send(position="0", template="T1"),)
    assert definition.warnings == (
        "/steps/0/zip is not known and was ignored",
        "/zap is not known and was ignored",
    )


def test_a_send_says_what_and_to_whom() -> None:
    step = only_step(
        action="send", template="welcome", recipient="refs.data.manager", data={"a": 1}, profile={"email": "x@y.z"},
        override={"title": "T", "body": "B"},
    )  # fmt: skip
    assert step == Send(
        position="0", template="welcome", recipient="refs.data.manager", data={"a": 1},
        profile={"email": "x@y.z"}, override={"title": "T", "body": "B"},
    )  # fmt: skip


def test_a_whole_message_holds_its_template_its_data_and_its_recipient() -> None:
    message = {
        "template": "welcome",
        "data": {"a": 1},
        "to": {"user_id": "u1", "apprise": "chat"},
        "channel": None,
    }
    assert only_step(action="send", message=message) == Send(
        position="0", template="welcome", data={"a": 1}, recipient="u1", to={"apprise": "chat"}
    )
    assert only_step(action="send", message={**MESSAGE, "to": {"user_id": "u1"}}).to == {}
    sms = {"apprise": {"provider": "sms", "target": "{{profile.phone}}"}}
    assert only_step(action="send", message={**MESSAGE, "to": sms}).to == sms


def test_a_list_is_sent_to_by_its_key() -> None:
    assert only_step(action="send-list", list="refs.data.list", template="news", data={"a": 1}) == SendList(
        position="0", list_key="refs.data.list", template="news", data={"a": 1}
    )
    assert only_step(action="send-list", list="l", message=MESSAGE).body == MESSAGE["content"]["body"]


def test_a_lenient_reader_takes_what_vendors_mean_otherwise() -> None:
    step = {"action": "send", "template": "T1", "message": MESSAGE, "override": "x", "profile": "refs.data.p"}
    definition = parse({"steps": [step]}, strict=False)
    assert definition.steps == (Send(position="0", title="Hi", body="there", profile="refs.data.p"),)
    assert definition.warnings == ("/steps/0/message has “content”, so the template is not used",)
    steps = [{**step, "message": None, "override": {"channel": {"email": {}}}}]
    assert parse({"steps": steps}, strict=False).steps == (
        Send(position="0", template="T1", profile="refs.data.p"),
    )


def test_a_lenient_reader_still_refuses_what_it_cannot_do() -> None:
    assert problems({"steps": [{"action": "throttle"}]}, strict=False) == [
        ("/steps/0/action", "not_supported")
    ]


def test_steps_without_their_action_are_guessed_for_an_old_sdk() -> None:
    raw = {"steps": [{"duration": "PT1H"}, {"cancelation_token": "tok-1"}]}
    assert parse(raw, strict=False).steps == (
        Delay(position="0", duration="PT1H"),
        Cancel(position="1", token="tok-1"),
    )


def test_conditions_retries_and_timeouts_are_read() -> None:
    step = only_step(
        **SEND, **{"if": "data.plan === 'pro'"}, timeout="45 seconds",
        retry={"max_attempts": 5, "backoff": "fixed", "interval": "10 seconds"},
    )  # fmt: skip
    assert step.condition == "data.plan === 'pro'"
    assert step.timeout == timedelta(seconds=45)
    assert step.retry == Retry(max_attempts=5, backoff="fixed", interval=timedelta(seconds=10))
    assert only_step(**SEND, **{"if": True}).condition == "true"


def test_the_pause_between_attempts_doubles_up_to_an_hour() -> None:
    retry = Retry(interval=timedelta(seconds=5))
    assert [retry.pause(attempt=attempt).total_seconds() for attempt in (1, 2, 3, 12, 50)] == [
        5, 10, 20, 3600, 3600,
    ]  # fmt: skip
    fixed = Retry(backoff="fixed", interval=timedelta(seconds=5))
    assert fixed.pause(attempt=9) == timedelta(seconds=5)


def test_an_invoke_step_is_read() -> None:
    step = {
        **INVOKE,
        "ref": "r",
        "wait": True,
        "on_parent_cancel": "leave",
        "data": {"a": 1},
        "recipient": "u",
    }
    read = Invoke(
        position="0", ref="r", template="child", wait=True, follows=False, data={"a": 1}, recipient="u"
    )
    assert parse({"steps": [step]}).steps == (read,)
    bare = parse({"steps": [{**INVOKE, "on_parent_cancel": None, "context": None}]}).steps
    assert bare == (Invoke(position="0", template="child"),)


def test_an_update_profile_step_is_read() -> None:
    step = {
        **UPDATE,
        "profile": {"plan": "pro", "old": None},
        "recipient_id": {"$ref": "data.u"},
        "merge": "none",
    }
    assert parse({"steps": [step, {**UPDATE, "merge": None, "recipient_id": None}]}).steps == (
        UpdateProfile(
            position="0", profile={"plan": "pro", "old": None}, recipient="refs.data.u", merge="none"
        ),
        UpdateProfile(position="1", profile={"plan": "pro"}),
    )


def test_courier_says_in_a_context_what_an_invoked_run_is_given() -> None:
    context = {
        "brand": "b",
        "template": "t",
        "data": {"a": 1},
        "profile": {"p": 1},
        "recipient": "u",
        "new": 1,
    }
    read = parse({"steps": [{**INVOKE, "context": context}]}, strict=False)
    assert read.steps == (
        Invoke(position="0", template="child", data={"a": 1}, profile={"p": 1}, recipient="u"),
    )
    assert read.warnings == ("/steps/0/context/new is not known and was ignored",)


def test_on_cancel_names_the_automation_to_invoke() -> None:
    assert parse({"steps": [SEND], "on_cancel": {"invoke": "win-back.2"}}).on_cancel == "win-back.2"
    assert parse({"steps": [SEND], "on_cancel": None}).on_cancel is None
