"""Reads the `invoke` step, in our words and in Courier's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automations.definition.fields import Fields
from automations.definition.shape import Invoke

TAKEN_OVER = ("data", "profile", "recipient")
NOT_SUPPORTED = ("brand", "template")


def read_invoke(fields: Fields, common: Mapping[str, Any]) -> Invoke:
    """The step; `context` holds Courier's spelling of what the child is given."""
    template = fields.expression("template", required=True)
    context = fields.object("context") or Fields({}, f"{fields.pointer}/context", fields.notes)
    given = {name: _given(fields, context, name) for name in TAKEN_OVER}
    for name in NOT_SUPPORTED:
        if context.take(name) is not None and fields.notes.strict:
            context.refuse(name, "not_supported", f"“{name}” is not supported yet")
    context.close()
    wait = fields.flag("wait")
    if common["ref"] is not None and not wait:
        fields.refuse("ref", "invalid", "“ref” needs “wait”: other steps can refer to how the child ended")
    on_parent_cancel = fields.choice("on_parent_cancel", ("cancel", "leave"), "cancel")
    fields.close()
    return Invoke(template=template or "", wait=wait, follows=on_parent_cancel == "cancel", **given, **common)


def _given(fields: Fields, context: Fields, name: str) -> Any:
    """The member, from where it stands."""
    if name in fields.value and name in context.value:
        context.refuse(name, "duplicate", f"give “{name}” once")
    found = [_read(place, name) for place in (fields, context)]
    return next((value for value in found if value is not None), None)


def _read(fields: Fields, name: str) -> Any:
    if name == "recipient":
        return fields.expression(name)
    member = fields.object(name)
    return None if member is None else member.value
