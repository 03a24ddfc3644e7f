"""A journey's nodes as a definition's steps, and back."""

from __future__ import annotations

from typing import Any

import pytest

from automations.api.courier.nodes import definition_of, nodes_of
from automations.definition import ACTIONS, parse
from automations.models import Refusal

pytestmark = pytest.mark.pure
TRIGGER: dict[str, Any] = {
    "type": "trigger", "trigger_type": "api-invoke", "id": "PK5BA6NV424BAYN58R6CVM2GTH10",
    "schema": {"type": "object", "properties": {"name": {"type": "string"}}},
}  # fmt: skip
NODES: list[dict[str, Any]] = [
    TRIGGER,
    {"id": "nap", "type": "delay", "mode": "duration", "duration": "PT1H"},
    {
        "id": "hello", "type": "send", "channel": "email", "retry": {"max_attempts": 2},
        "conditions": {"AND": [["data.plan", "is equal", "pro"], ["profile.email", "exists"]]},
        "message": {
            "content": {"title": "Hi {{data.name}}", "body": "b"}, "to": {"email_override": "{{profile.email}}"},
        },
    },
    {"id": "hook", "type": "send", "message": {"content": {"body": "b"}, "to": {"webhook": {"url": "https://x.y/"}}}},
    {"id": "late", "type": "delay", "mode": "until", "until": "{{data.at}}", "if": "data.at"},
    {"id": "stop", "type": "cancel", "cancelation_token": "order-{{data.order_id}}", "reason": "paid"},
    {"id": "say", "type": "update-profile", "profile": {"plan": "{{data.plan}}", "old": None}, "merge": "soft-merge",
     "recipient_id": "{{data.boss}}", "conditions": ["data.plan", "exists"]},
]  # fmt: skip


def definition(*nodes: Any, kept: Any = None, runnable: bool = True) -> dict[str, Any]:
    return definition_of(nodes, kept=kept or {}, runnable=runnable)


def refused(*nodes: Any, runnable: bool = True) -> list[tuple[str, str]]:
    """Pointer and message of every problem with these nodes."""
    with pytest.raises(Refusal) as refusal:
        definition(*nodes, runnable=runnable)
    return [(problem.pointer, problem.message) for problem in refusal.value.problems]


def test_nodes_become_steps_that_can_be_run() -> None:
    made = definition(*NODES)
    assert made["steps"][0] == {"id": "nap", "action": "delay", "duration": "PT1H"}
    assert made["steps"][1] == {
        "id": "hello", "action": "send", "retry": {"max_attempts": 2},
        "if": '(String(data?.plan ?? "") === "pro") && (profile?.email != null)',
        "message": {
            "content": {"title": "Hi {{data.name}}", "body": "b"}, "to": {"email": "{{profile.email}}"},
            "channel": "email",
        },
    }  # fmt: skip
    assert made["steps"][4] == {
        "id": "stop", "action": "cancel", "cancellation_token": "order-{{data.order_id}}", "reason": "paid",
    }  # fmt: skip
    assert [step.action for step in parse(made).steps] == [
        *("delay", "send", "send", "delay", "cancel", "update-profile")
    ]


def test_steps_become_the_nodes_that_they_were() -> None:
    made = definition(*NODES)
    assert nodes_of(made) == NODES
    assert nodes_of(parse(made).source) == NODES
    assert definition(*nodes_of(made)) == made


def test_what_a_definition_says_beside_its_steps_is_kept() -> None:
    kept = {"cancellation_token": "t", "on_cancel": {"invoke": "k"}, "steps": [{}], "trigger": {"id": "old"}}
    assert definition(NODES[1], kept=kept) == {
        "cancellation_token": "t", "on_cancel": {"invoke": "k"},
        "steps": [{"id": "nap", "action": "delay", "duration": "PT1H"}],
    }  # fmt: skip


def test_a_node_without_an_id_is_given_one() -> None:
    delay = {"type": "delay", "duration": "PT1H"}
    made = definition(delay, {**delay, "id": "delay-3"}, delay, {**delay, "id": None}, {**delay, "id": "4"})
    assert [step["id"] for step in made["steps"]] == ["delay-1", "delay-3", "delay-4", "delay-5", "delay-6"]


def test_steps_without_ids_are_nodes_under_the_names_that_their_runs_show() -> None:
    steps = [{"action": "delay", "duration": "PT1H"}, {"action": "cancel", "cancellation_token": "x"}]
    nodes = nodes_of({"steps": steps})
    assert [node.get("id") for node in nodes] == [None, "0", "1"]
    assert [step["id"] for step in definition(*nodes)["steps"]] == ["delay-1", "cancel-2"]


def test_a_shell_without_anything_to_do_can_be_kept_and_not_run() -> None:
    assert definition(TRIGGER, runnable=False)["steps"] == []
    assert definition(runnable=False) == {"steps": []}
    assert refused(TRIGGER) == [("/nodes", "a journey needs a node that does something")]


DELAY = {"type": "delay", "duration": "PT1H"}
MESSAGE = {"content": {"body": "b"}}
KNOWN = f"known are: trigger, {', '.join(sorted(ACTIONS))}"


@pytest.mark.parametrize(
    ("node", "pointer", "message"),
    [
        (5, "/nodes/0", "a node must be an object"),
        ({}, "/nodes/0/type", f"a node of type “None” is not known; {KNOWN}"),
        ({"type": "fetch"}, "/nodes/0/type", f"a node of type “fetch” is not supported yet; {KNOWN}"),
        ({"type": "ai"}, "/nodes/0/type", "a node of type “ai” is not supported yet"),
        ({"type": ["delay"]}, "/nodes/0/type", "is not known"),
        ({**DELAY, "action": "send"}, "/nodes/0/action", "“action” is not known here; a node has a “type”"),
        ({**DELAY, "mode": "until"}, "/nodes/0/until", "a delay of mode “until” needs “until”"),
        ({**DELAY, "mode": "soon"}, "/nodes/0/mode", "“mode” must be one of: duration, until"),
        ({**DELAY, "duration": "soon"}, "/nodes/0/duration", "'soon' is not a duration"),
        ({**DELAY, "shiny": 1}, "/nodes/0/shiny", "“shiny” is not known here"),
        ({**DELAY, "id": "a b"}, "/nodes/0/id", "an id has up to 64 of"),
        ({**DELAY, "conditions": [["data.a", "exists"]]}, "/nodes/0/conditions", "two or three texts"),
        ({**DELAY, "conditions": ["data.a", "exists"], "if": "true"}, "/nodes/0/if", "either “conditions” or “if”"),
        ({**DELAY, "conditions": ["data.a", "contains", "x" * 2000]}, "/nodes/0/conditions", "at most 2,000"),
        ({"type": "send"}, "/nodes/0/message", "needs a “message”"),
        ({"type": "send", "message": MESSAGE, "experiment": {}}, "/nodes/0/experiment", "not supported yet"),
        ({"type": "send", "message": {**MESSAGE, "delay": {}}}, "/nodes/0/message/delay", "not supported yet"),
        ({"type": "send", "message": {**MESSAGE, "expiry": {}}}, "/nodes/0/message/expiry", "not supported yet"),
        ({"type": "send", "message": {**MESSAGE, "context": {}}}, "/nodes/0/message/context", "not supported"),
        (
            {"type": "send", "message": {**MESSAGE, "to": {"slack": {"channel": "c"}}}},
            "/nodes/0/message/to/slack",
            "“slack” is not supported yet",
        ),
        ({"type": "send", "message": MESSAGE, "channel": "sms"}, "/nodes/0/channel", "must be one of"),
        ({"type": "cancel", "cancelation_token": ""}, "/nodes/0/cancelation_token", "non-empty text"),
        ({**TRIGGER, "trigger_type": "segment"}, "/nodes/0/trigger_type", "“segment” is not supported yet"),
        ({**TRIGGER, "trigger_type": "moon"}, "/nodes/0/trigger_type", "“moon” is not known"),
        ({**TRIGGER, "trigger_type": ["api-invoke"]}, "/nodes/0/trigger_type", "is not known"),
        ({**TRIGGER, "conditions": ["data.a", "exists"]}, "/nodes/0/conditions", "are not supported yet"),
        ({**TRIGGER, "schema": []}, "/nodes/0/schema", "“schema” must be an object"),
        ({**TRIGGER, "shiny": 1}, "/nodes/0/shiny", "“shiny” is not known here"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_here_is_refused_by_name(node: Any, pointer: str, message: str) -> None:
    problems = refused(node)
    assert [where for where, _ in problems] == [pointer]
    assert message in problems[0][1]


def test_a_problem_is_shown_at_the_node_that_has_it() -> None:
    assert refused(TRIGGER, DELAY, {**DELAY, "retry": {"max_attempts": 0}}) == [
        ("/nodes/2/retry/max_attempts", "“max_attempts” must be a whole number from 1 to 50")
    ]
    assert refused(DELAY, TRIGGER) == [("/nodes/1/type", "the trigger is the first node, and the only one")]
    assert [where for where, _ in refused({"type": "ai"}, {"type": "exit"})] == [
        "/nodes/0/type",
        "/nodes/1/type",
    ]


@pytest.mark.parametrize(
    "draft", [{}, {"steps": 5}, {"steps": [5, None]}, {"trigger": 5}, {"steps": [{"message": 5, "if": []}]}]
)
def test_a_draft_of_any_kind_has_nodes(draft: dict[str, Any]) -> None:
    first, *others = nodes_of(draft)
    assert first == {"type": "trigger", "trigger_type": "api-invoke"}
    assert len(others) <= 1
