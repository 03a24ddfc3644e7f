"""What can be defined can be performed, and the other way round."""

from __future__ import annotations

from automations import channels, steps
from automations.definition import ACTIONS, CHANNEL_NAMES, Kind
from automations.definition.shape import Cancel, Delay, Invoke, Send, SendList, Unreadable, UpdateProfile


def test_steps_and_definitions_know_the_same_actions() -> None:
    kinds = {step.action: step.kind for step in (Send, SendList, Delay, Cancel, Invoke, UpdateProfile)}
    assert set(kinds) == ACTIONS
    effects = {action for action, kind in kinds.items() if kind is Kind.EFFECT}
    assert set(steps.EFFECTS) == {*effects, Unreadable.action}  # which nobody defines
    assert set(steps.RECORDS) == {action for action, kind in kinds.items() if kind is Kind.RECORD}


def test_channels_and_definitions_know_the_same_channels() -> None:
    assert set(channels.CHANNELS) == CHANNEL_NAMES
