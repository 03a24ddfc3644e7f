"""Lists the automation templates of an environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from automations import publication
from automations.middleware import PageRequest
from automations.models import Automation, LiveRun, LiveState, Run
from automations.models.run_search import CappedCount
from automations.views.drafts import draft_of
from automations.views.paging import at_its_address

MOST_COUNTED = 100  # of each automation
MOST_SHOWN = 200
LONGEST_SEARCH = 200
STATUSES = {
    "published": "Published", "changes": "Draft changes", "draft": "Draft", "disabled": "Disabled",
    "archived": "Archived",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where an automation stands between draft and published: `look` names an icon, `words` say it, `status` is one
    of STATUSES."""

    status: str
    look: str
    words: str


@require_safe
def listing(request: PageRequest) -> HttpResponse:
    """The automations that the address asks for, by name, with the number of their waiting runs and the last run, in
    one statement."""
    text = request.GET.get("q", "").replace("\0", "")[:LONGEST_SEARCH].strip()
    wanted = request.GET.get("status", "")
    status = wanted if wanted in STATUSES else ""
    found = list(_found(request, text)[: MOST_SHOWN + 1])
    drafts = [(one, draft_of(one)) for one in found[:MOST_SHOWN]]
    lines = [(one, standing(one, draft), draft.get("cancellation_token")) for one, draft in drafts]
    context = {
        "lines": [line for line in lines if not status or line[1].status == status],
        "q": text,
        "status": status,
        "statuses": STATUSES.items(),
        "are_more": len(found) > MOST_SHOWN,
        "most_shown": MOST_SHOWN,
        "most_counted": MOST_COUNTED,
        "samples": publication.samples(),
        "may_write": request.user.can("write"),
    }
    response = render(request, "automations/list.html", context)
    return at_its_address(request, response, q=text, status=status)


def _found(request: PageRequest, text: str) -> QuerySet[Automation]:
    """Those whose name, key or alias holds the text."""
    environment = request.environment
    mine = {"environment": environment, "automation": OuterRef("pk")}
    waiting = LiveRun.objects.filter(**mine, state=LiveState.WAITING)
    last = Run.objects.filter(**mine).order_by("-pk")
    wanted = Q(name__icontains=text) | Q(key__icontains=text) | Q(alias__icontains=text) if text else Q()
    return (
        Automation.objects.within(environment).filter(wanted).select_related("published")
        .annotate(
            waiting=CappedCount(waiting.values("pk")[: MOST_COUNTED + 1]),
            last_run=Subquery(last.values("uid")[:1]), last_run_at=Subquery(last.values("created_at")[:1]),
        )
        .order_by("name", "key")
    )  # fmt: skip


def standing(automation: Automation, draft: Mapping[str, Any]) -> Standing:
    """Archived, disabled, a draft that never ran, published, or published with changes waiting in the `draft` (see
    `draft_of`)."""
    published = automation.published
    if automation.archived_at is not None:
        return Standing(status="archived", look="skipped", words="Archived")
    if published is None:
        return Standing(status="draft", look="draft", words="Draft")
    if automation.disabled_at is not None:
        word = "Held" if automation.held_at is not None else "Disabled"
        return Standing(status="disabled", look="cancelled", words=f"{word} · v{published.number}")
    if published.definition != draft:
        return Standing(status="changes", look="waiting", words=f"Draft changes · v{published.number} live")
    return Standing(status="published", look="completed", words=f"Published · v{published.number}")
