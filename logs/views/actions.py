"""What can be done with one run besides cancelling it: another time, now, once more."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from automations import execution
from automations.definition import Definition, parse_duration
from automations.execution import ReplayRequest
from automations.forms import JsonField
from automations.models import Refusal, definition_of_run
from logs import http, words
from logs.bulk_forms import MomentField
from logs.http import PageRequest


class TimeForm(forms.Form):
    """Either how long from now, or a moment; `now` is the button beside."""

    now = forms.CharField(required=False)
    delay = forms.CharField(max_length=200, required=False, label="Go on in")
    due_at = MomentField(max_length=40, required=False, label="or at")

    def clean_delay(self) -> timedelta | None:
        text = self.cleaned_data["delay"]
        try:
            return parse_duration(text) if text else None
        except ValueError as error:
            raise ValidationError(words.sentence(str(error))) from error

    def clean_due_at(self) -> datetime | None:
        due_at: datetime | None = self.cleaned_data["due_at"]
        if due_at is not None and due_at <= timezone.now():
            raise ValidationError("This moment has passed. “Run now” lets the run go on at once.")
        return due_at

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        given = [name for name in ("now", "delay", "due_at") if cleaned.get(name)]
        if not self.errors and len(given) != 1:
            raise ValidationError("Give either how long from now, or a moment.")
        return cleaned

    @property
    def when(self) -> datetime | timedelta:
        """Of a form that is valid."""
        cleaned = self.cleaned_data
        when: datetime | timedelta = cleaned["delay"] or cleaned["due_at"] or execution.NOW
        return when


class ReplayForm(forms.Form):
    """From which step on, and with which data."""

    from_step = forms.ChoiceField(label="Begin with", required=False)
    new_data = JsonField(of=dict, required=False, label="Data")

    def __init__(self, *args: Any, definition: Definition, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        steps = [(step.position, words.step_at(definition, step.position)) for step in definition.steps]
        self.fields["from_step"].choices = steps  # type: ignore[attr-defined]


@require_http_methods(["GET", "HEAD", "POST"])
def reschedule(request: PageRequest, uid: UUID) -> HttpResponseBase:
    """Gives a waiting run another time, or lets it go on at once."""
    http.require(request, "invoke")
    run = http.run_of(request, uid)
    form = TimeForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            moved = execution.reschedule(
                environment=request.environment, run=run, when=form.when, actor=request.user.actor
            )
        except Refusal as refusal:
            form.add_error(None, words.sentence(refusal.message))
        else:
            due = (
                f" at {words.clock(moved.due_at)}"
                if moved.due_at and not form.cleaned_data["now"]
                else " at once"
            )
            messages.info(request, f"The run goes on{due}.")
            return http.to_page(request, reverse("logs:run", args=[uid]))
    return _form(request, "reschedule", {"run": run, "form": form})


@require_http_methods(["GET", "HEAD", "POST"])
def replay(request: PageRequest, uid: UUID) -> HttpResponseBase:
    """Starts a finished run once more, as a new run."""
    http.require(request, "invoke")
    run = http.run_of(request, uid)
    definition = definition_of_run(run)
    given = {"new_data": words.laid_out(run.invocation.data)}
    form = ReplayForm(
        request.POST if request.method == "POST" else None, definition=definition, initial=given
    )
    if form.is_valid():
        step = form.cleaned_data["from_step"]
        try:
            accepted = execution.replay(
                ReplayRequest(
                    environment=request.environment, actor=request.user.actor, run=run,
                    from_step=int(step) if step else None, data=form.cleaned_data["new_data"],
                )
            )  # fmt: skip
        except Refusal as refusal:
            form.add_error(None, words.sentence(refusal.message))
        else:
            messages.info(request, "This is the new run.")
            return http.to_page(request, reverse("logs:run", args=[accepted.runs[0]["id"]]))
    return _form(request, "replay", {"run": run, "form": form})


def _form(request: PageRequest, name: str, context: dict[str, Any]) -> HttpResponseBase:
    """The form, in a dialog or on a page of its own."""
    if not http.wants_part(request):
        status = 422 if context["form"].is_bound else 200
        return render(request, f"logs/{name}.html", context, status=status)
    if context["form"].is_bound:
        return http.refused(request, f"logs/_{name}.html", context | {"dialog": True})
    return http.part(request, f"logs/_{name}.html", context | {"dialog": True})
