"""Translates a journey's nodes into a definition's steps, and back.

What both say is renamed where the names differ. What only ours can say (`retry`, `timeout`, a node `cancel`, an `if`
that is no tuple) stands in a node as it does in a step; what a definition says beside its steps is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from automations.api.courier.conditions import from_javascript, to_javascript
from automations.api.courier.endpoint import in_spelling
from automations.definition import ACTIONS, WHEN, DefinitionError, Problem, parse
from automations.definition.fields import Fields, Notes
from automations.models import Refusal

MOST_NODES = 200
LATER_KINDS = ("fetch", "ai", "throttle", "batch", "add-to-digest", "exit", "branch")
LATER_TRIGGERS = ("segment", "audience", "webhook")
LATER_IN_MESSAGE = (*WHEN, "context")
LATER_IN_TO = ("phone_number_override", "slack", "ms_teams")
_TO = {"email_override": "email", "user_id_override": "user_id"}
_OF_TO = {ours: theirs for theirs, ours in _TO.items()}


def definition_of(nodes: Sequence[object], *, kept: Mapping[str, Any], runnable: bool) -> dict[str, Any]:
    """The definition of these nodes, with what else stood in the one that is `kept`.

    Refusal names every node that cannot be; one that is not to be `runnable` yet may have nothing to do.
    """
    notes = Notes(strict=True)
    rest = {name: value for name, value in kept.items() if name not in ("steps", "trigger")}
    trigger: dict[str, Any] = {}
    steps: list[tuple[int, dict[str, Any]]] = []
    for index, node in enumerate(nodes):
        fields = Fields(node if isinstance(node, dict) else {}, f"/nodes/{index}", notes)
        if not isinstance(node, dict):
            fields.refuse("", "invalid", "a node must be an object")
        elif fields.value.get("type") == "trigger":
            trigger = _trigger(fields, first=index == 0)
        else:
            steps.append((index, _step(fields)))
    if notes.problems:
        raise _refusal(notes.problems)
    _name_all([step for _, step in steps])
    if trigger:
        rest["trigger"] = trigger
    definition = {**rest, "steps": [step for _, step in steps]}
    _check(definition, [index for index, _ in steps], runnable=runnable)
    return definition


def nodes_of(definition: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The nodes of any definition, also of a draft that cannot be run."""
    kept, steps = definition.get("trigger"), definition.get("steps")
    trigger = {"type": "trigger", "trigger_type": "api-invoke", **(kept if isinstance(kept, dict) else {})}
    listed = steps if isinstance(steps, list) else []
    return [trigger, *(_node(step, index) for index, step in enumerate(listed) if isinstance(step, dict))]


def in_nodes(refusal: Refusal) -> Refusal:
    """The refusal of a stored definition, with pointers into the nodes that `nodes_of` gives of it."""
    problems = [
        _in_nodes(replace(problem, pointer=problem.pointer.removeprefix("/definition")), range(1, MOST_NODES))
        for problem in refusal.problems
    ]
    return Refusal(refusal.kind, refusal.code, refusal.message, problems)


def _trigger(fields: Fields, *, first: bool) -> dict[str, Any]:
    """What the node says beside its type: its id and its schema, by which nothing here is checked."""
    kind = fields.value.get("trigger_type")
    if not first:
        fields.refuse("type", "not_supported", "the trigger is the first node, and the only one")
    if kind != "api-invoke":
        word = "supported yet" if kind in LATER_TRIGGERS else "known"
        fields.refuse(
            "trigger_type", "not_supported", f"the trigger “{_short(kind)}” is not {word}; give “api-invoke”"
        )
    if fields.value.get("conditions") is not None:
        fields.refuse("conditions", "not_supported", "“conditions” of a trigger are not supported yet")
    fields.text("id", longest=64)
    fields.object("schema")
    fields.read |= {"type", "trigger_type", "conditions"}
    fields.close()
    return {name: fields.value[name] for name in ("id", "schema") if name in fields.value}


def _step(fields: Fields) -> dict[str, Any]:
    kind = fields.value.get("type")
    if not isinstance(kind, str) or kind not in ACTIONS:
        known = f"known are: trigger, {', '.join(sorted(ACTIONS))}"
        word = "supported yet" if kind in LATER_KINDS else "known"
        code = "unknown_type" if word == "known" else "not_supported"
        fields.refuse("type", code, f"a node of type “{_short(kind)}” is not {word}; {known}")
        return {}
    step = {"action": kind, **fields.value}
    del step["type"]
    if "action" in fields.value:
        fields.refuse("action", "unknown_field", "“action” is not known here; a node has a “type”")
    if kind == "delay":
        _check_mode(fields)
        step.pop("mode", None)
    if kind == "send":
        _say_message(fields, step)
    if kind == "cancel" and "cancelation_token" in step:
        step["cancellation_token"] = step.pop("cancelation_token")
    if "conditions" in step:
        _say_condition(fields, step)
    return step


def _check_mode(fields: Fields) -> None:
    mode = fields.choice("mode", ("duration", "until"), "")
    if mode and mode not in fields.value:
        fields.refuse(mode, "required", f"a delay of mode “{mode}” needs “{mode}”")


def _say_condition(fields: Fields, step: dict[str, Any]) -> None:
    if "if" in step:
        fields.refuse("if", "duplicate", "give either “conditions” or “if”")
    try:
        step["if"] = to_javascript(step.pop("conditions"))
    except ValueError as error:
        fields.refuse("conditions", "invalid", str(error))


def _say_message(fields: Fields, step: dict[str, Any]) -> None:
    """Courier's `to` names what it overrides; `channel` stands beside the message there."""
    _refuse_later(fields, ("experiment",))
    message = fields.object("message")
    if message is None:
        return  # named by whoever reads the step
    _refuse_later(message, LATER_IN_MESSAGE)
    said = dict(message.value)
    if (to := message.object("to")) is not None:
        _refuse_later(to, LATER_IN_TO)
        said["to"] = {_TO.get(name, name): value for name, value in to.value.items()}
    if (channel := step.pop("channel", None)) is not None:
        said["channel"] = channel
    step["message"] = said


def _refuse_later(fields: Fields, names: Sequence[str]) -> None:
    for name in names:
        if name in fields.value:
            fields.refuse(name, "not_supported", f"“{name}” is not supported yet")


def _name_all(steps: Sequence[dict[str, Any]]) -> None:
    """Gives every node an id, as Courier does, so that a run's steps can be told by it."""
    taken = {step["id"] for step in steps if isinstance(step.get("id"), str)}
    for index, step in enumerate(steps):
        number = index + 1
        while "id" not in step or step["id"] == str(index):  # what stood where no id was is none
            name = f"{step['action']}-{number}"
            number += 1
            if name not in taken:
                step["id"] = name
                taken.add(name)


def _check(definition: Mapping[str, Any], places: Sequence[int], *, runnable: bool) -> None:
    try:
        parse(definition)
    except DefinitionError as error:
        empty = not places and not runnable
        problems = [
            _in_nodes(problem, places) for problem in error.problems
            if not (empty and problem.pointer == "/steps")
        ]  # fmt: skip
        if problems:
            raise _refusal(problems) from error


_NAMES = {"action": "type", "if": "conditions", "cancellation_token": "cancelation_token", **_OF_TO}


def _in_nodes(problem: Problem, places: Sequence[int]) -> Problem:
    """The problem where its member stands in the request."""
    first, *rest = problem.pointer.removeprefix("/").split("/")
    if first == "cancellation_token":
        pointer = "/cancelation_token"
    elif first == "steps" and rest:
        inside = [_NAMES.get(name, name) for name in rest[1:]]
        if inside[:2] == ["message", "channel"]:
            inside = ["channel"]
        pointer = "/".join(["/nodes", str(places[int(rest[0])]), *inside])
    else:
        pointer = "/nodes" if first == "steps" else problem.pointer
    nothing = pointer == "/nodes" and problem.code == "required"
    message = "a journey needs a node that does something" if nothing else problem.message
    return in_spelling(Problem(pointer=pointer, code=problem.code, message=message))


def _node(step: Mapping[str, Any], index: int) -> dict[str, Any]:
    """The step as a node, under the name that a run's step has."""
    rest = {name: value for name, value in step.items() if name not in ("action", "id")}
    node: dict[str, Any] = {"id": step.get("id") or str(index), "type": step.get("action"), **rest}
    if node["type"] == "delay":
        node["mode"] = "until" if "until" in step else "duration"
    if node["type"] == "send" and isinstance(step.get("message"), dict):
        node |= _message(step["message"])
    if "cancellation_token" in node:
        node["cancelation_token"] = node.pop("cancellation_token")
    if (conditions := from_javascript(step.get("if"))) is not None:
        node["conditions"] = conditions
        del node["if"]
    return node


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    said = dict(message)
    if isinstance(said.get("to"), dict):
        said["to"] = {_OF_TO.get(name, name): value for name, value in said["to"].items()}
    channel = {"channel": said.pop("channel")} if "channel" in said else {}
    return {"message": said, **channel}


def _short(value: object) -> str:
    return str(value)[:40]


def _refusal(problems: Sequence[Problem]) -> Refusal:
    refusal = Refusal.at("", problems[0].code, problems[0].message)
    refusal.problems = list(problems)
    return refusal
