"""Lists the automation templates of an environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import OuterRef
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from automations.definition import DefinitionError, parse
from automations.middleware import PageRequest
from automations.models import Automation, LiveRun, LiveState
from automations.models.run_search import CappedCount

MOST_COUNTED = 1_000


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where an automation stands between draft and published: `look` names an icon, `words` say it."""

    look: str
    words: str


@require_safe
def listing(request: PageRequest) -> HttpResponse:
    """Every automation, by name, with the number of its waiting runs, in one statement."""
    waiting = LiveRun.objects.filter(
        environment=request.environment, automation=OuterRef("pk"), state=LiveState.WAITING
    )
    automations = (
        Automation.objects.within(request.environment).select_related("published")
        .annotate(waiting=CappedCount(waiting.values("pk")[: MOST_COUNTED + 1]))
        .order_by("name", "key")
    )  # fmt: skip
    context = {
        "automations": [
            (automation, standing(automation), draft_of(automation).get("cancellation_token"))
            for automation in automations
        ],
        "most_counted": MOST_COUNTED,
        "may_write": request.user.can("write"),
    }
    return render(request, "automations/list.html", context)


def draft_of(automation: Automation) -> dict[str, Any]:
    """The draft in our own spelling; as it was given where it cannot be read yet."""
    try:
        return dict(parse(automation.draft).source)
    except DefinitionError:
        return dict(automation.draft)


def standing(automation: Automation) -> Standing:
    """Archived, disabled, a draft that never ran, published, or published with changes waiting in the draft."""
    published = automation.published
    if automation.archived_at is not None:
        return Standing(look="skipped", words="Archived")
    if published is None:
        return Standing(look="draft", words="Draft")
    if automation.disabled_at is not None:
        return Standing(look="cancelled", words=f"Disabled · v{published.number}")
    if published.definition != draft_of(automation):
        return Standing(look="waiting", words=f"Draft changes · v{published.number} live")
    return Standing(look="completed", words=f"Published · v{published.number}")
