"""Shows beside a step what it would do with the sample of the token workbench: until when it waits, whether it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from django.utils import timezone

from automations import expressions, machine
from automations.definition import Definition, DefinitionError, Delay, Step, parse
from automations.expressions import ExpressionError, Scope
from automations.forms import SampleForm
from automations.forms.step_list import steps_of
from automations.middleware import PageRequest
from automations.models import Automation
from automations.views.drafts import read
from automations.views.preview import is_too_fast, scope_of
from automations.views.samples import sample_of

AGAIN = "the evaluator is busy; save once more"


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """`holds` is what the condition gives, None without one; `due_at` (UTC) when the delay would end. What stands
    in the way of either is said in words."""

    holds: bool | None = None
    condition_problem: str = ""
    due_at: datetime | None = None
    delay_problem: str = ""


def resolved(request: PageRequest, automation: Automation, place: int) -> Resolved | None:
    """The step tried as a run would, under the limits of the token's preview. None for a step without anything to
    try, or that is not one yet, and for who may not invoke."""
    if not request.user.can("invoke"):
        return None
    step = _step(automation, place)
    if step is None or (step.condition is None and not isinstance(step, Delay)) or is_too_fast(request):
        return None
    sample = SampleForm(sample_of(automation))
    sample.is_valid()
    scope = scope_of(sample.cleaned_data, key=automation.key)
    owner = f"{request.environment.pk}/{request.user.actor}"
    holds, condition_problem = _condition(step, scope, owner)
    due_at, delay_problem = _delay(step, scope, owner) if isinstance(step, Delay) else (None, "")
    return Resolved(
        holds=holds, condition_problem=condition_problem, due_at=due_at, delay_problem=delay_problem
    )


def _step(automation: Automation, place: int) -> Step | None:
    """The step of the draft; of one with problems, the step by itself, None where the problem is with it."""
    if (definition := read(automation).definition) is not None:
        return definition.steps[place]
    try:
        return parse({"steps": [steps_of(automation.draft)[place]]}).steps[0]
    except DefinitionError:
        return None


def _condition(step: Step, scope: Scope, owner: str) -> tuple[bool | None, str]:
    if step.condition is None:
        return None, ""
    try:
        return expressions.check_condition(step.condition, scope, owner=owner), ""
    except ExpressionError as error:
        return None, AGAIN if error.retryable else error.message


def _delay(step: Delay, scope: Scope, owner: str) -> tuple[datetime | None, str]:
    alone = Definition(steps=(replace(step, condition=None),))
    plan = machine.advance(
        definition=alone, position=machine.START, scope=scope, now=timezone.now(), owner=owner
    )
    if not plan.carried:
        return None, AGAIN
    (carried,) = plan.carried
    return carried.due_at, carried.detail.get("error", {}).get("message", "")
