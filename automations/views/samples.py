"""Sample data for trying an automation template: what its recent runs were invoked with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from automations.forms.guesses import guessed
from automations.forms.layout import laid_out
from automations.models import Automation, Run
from automations.views.drafts import draft_of

RECENT = 8
LARGEST_SAMPLE = 20_000  # characters


def recent_runs(automation: Automation) -> Sequence[Run]:
    """The newest few, with when and for whom they were invoked."""
    return list(_runs(automation).only("uid", "created_at", "recipient", "token")[:RECENT])


def sample_of(automation: Automation, *, uid: UUID | None = None) -> dict[str, str]:
    """`sample_data`, `sample_profile` and `sample_recipient` of that run, else of the newest, as they
    are typed; what the token reads where there is no run, or its data are too large to show."""
    runs = _runs(automation).select_related("invocation")
    run = (runs.filter(uid=uid).first() if uid else None) or runs.first()
    if run is not None:
        data, profile = laid_out(run.invocation.data), laid_out(run.profile)
        if len(data) + len(profile) <= LARGEST_SAMPLE:
            return _typed(data, profile, run.recipient or "")
    token, owner = draft_of(automation).get("cancellation_token"), f"{automation.environment_id}/sample"
    return _typed(laid_out(guessed(token, now=automation.updated_at, owner=owner)), "{}", "")


def _typed(data: str, profile: str, recipient: str) -> dict[str, str]:
    return {"sample_data": data, "sample_profile": profile, "sample_recipient": recipient}


def _runs(automation: Automation) -> Any:
    runs = Run.objects.filter(environment=automation.environment_id, automation=automation)
    return runs.order_by("-pk")
