"""Invocations over the native API: an automation run for one or many recipients, and how that stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Value
from rest_framework.request import Request
from rest_framework.response import Response

from automations import execution
from automations.api import idempotency
from automations.api.authentication import demand_scopes_of
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.limits import asked_by_steps
from automations.api.reading import Body
from automations.api.schemas import OBJECT, either, listed, ref, request_of, text
from automations.definition import LONGEST_TAG
from automations.invocation import LISTED, MOST_RECIPIENTS, InvokeRequest, Recipient
from automations.models import (
    Cancellation,
    Invocation,
    LiveRun,
    No,
    Refusal,
    Run,
    RunStatus,
    Version,
    reached,
    standing,
)

MOST_TAGS = 50
RECIPIENT = either(
    text(255), {**request_of({"id": text(255)}, strict=False), "description": "With a profile."}
)
_ASKED = request_of(
    maybe={
        "automation": {**text(100), "description": "Its key; else a `definition`."},
        "definition": ref("Definition"),
        "recipient": RECIPIENT,
        "recipients": listed(RECIPIENT, MOST_RECIPIENTS, least=1),
        "data": OBJECT,
        "profile": OBJECT,
        "cancellation_key": text(255),
        "source": text(255),
        "tags": listed(text(LONGEST_TAG), MOST_TAGS),
    }
)
INVOKE = {**_ASKED, "oneOf": [{"required": ["automation"]}, {"required": ["definition"]}]}


class Invocations(Endpoint):
    """`/api/v1/invocations`."""

    post_scope = "invoke"
    counts_itself = True

    @described("invoke", {201: "Invocation"}, body=INVOKE, repeatable=True, refuses=(404,))
    def post(self, request: Request) -> Response:
        """Accepts runs; the answer is the acknowledgement. The same Idempotency-Key gives the same answer."""
        raw = self.body()
        self.count(asked_by_steps(raw.get("definition")))
        asked = self._read(raw, key=idempotency.key_of(request))
        demand_scopes_of(asked.definition, self.key)
        accepted = execution.accept(asked)
        response = Response(shown(accepted.invocation, accepted.runs), status=201)
        if accepted.replayed:
            response["Idempotent-Replayed"] = "true"
        return response

    def _read(self, raw: Mapping[str, Any], *, key: str | None) -> InvokeRequest:
        body = Body(raw)
        automation = body.label("automation", longest=100)
        definition = body.take("definition")
        if ("automation" in body.value) is ("definition" in body.value):
            body.refuse("automation", "required", "give either “automation”, a key, or a “definition”")
        recipients = _recipients(body)
        data, profile = body.document("data"), body.document("profile")
        label = body.label("cancellation_key", longest=255)
        source = body.label("source", longest=255)
        tags = body.labels("tags", most=MOST_TAGS, longest=LONGEST_TAG)
        body.finish()
        return InvokeRequest(
            environment=self.environment,
            actor=self.actor,
            source=source or f"api/{self.key.name}",
            dialect="native",
            automation=automation,
            definition=definition,
            recipients=recipients,
            data=data,
            profile=profile,
            key=label,
            tags=tags,
            idempotency_key=key,
            fingerprint=idempotency.fingerprint(address="invocations", body=raw) if key else None,
        )


class OneInvocation(Endpoint):
    """`/api/v1/invocations/{id}`."""

    get_scope = "read"

    @described("get_invocation", {200: "InvocationStatus"})
    def get(self, request: Request, uid: str) -> Response:
        """The invocation with its runs' common status and their counts by status."""
        invocation = (
            Invocation.objects.filter(environment=self.environment, uid=UUID(uid))
            .select_related("automation", "version")
            .defer("data", "definition", "answer", "automation__draft", "version__definition")
            .first()
        )
        if invocation is None:
            raise Refusal(No.NOT_FOUND, "invocation_not_found", f"there is no invocation {uid}")
        runs = list(Run.objects.filter(invocation=invocation).listed().order_by("pk")[:LISTED])
        # Read before the counts: what was swept in between says so itself.
        bars = (
            list(standing(environment=self.environment))
            if any(getattr(run, "barred", False) for run in runs)
            else []
        )
        counts, has_errors = _counts(invocation, bars)
        answer = shown(invocation, [_run(run) for run in runs])
        return Response({**answer, "status": roll_up(counts, has_errors=has_errors), "counts": counts})


def roll_up(counts: Mapping[str, int], *, has_errors: bool = False) -> str:
    """The one status that stands for many runs."""
    kinds = {status for status, count in counts.items() if count}
    if len(kinds) == 1:
        (status,) = kinds
        return "completed_with_errors" if status == RunStatus.COMPLETED and has_errors else str(status)
    if RunStatus.CANCELLED in kinds:
        return "partially_cancelled"
    for unfinished in (RunStatus.RUNNING, RunStatus.WAITING):
        if unfinished in kinds:
            return str(unfinished)
    return "completed_with_errors" if has_errors or RunStatus.FAILED in kinds else str(RunStatus.COMPLETED)


def _recipients(body: Body) -> Sequence[Recipient]:
    if "recipients" not in body.value:
        return [_recipient(body, "recipient")] if "recipient" in body.value else [Recipient()]
    if body.take("recipient") is not None:
        body.refuse("recipient", "invalid", "give either “recipient” or “recipients”")
    entries = body.entries("recipients", most=MOST_RECIPIENTS)
    if body.value["recipients"] == []:
        body.refuse("recipients", "required", "“recipients” must have at least one entry")
    listed = body.listed("recipients", entries)
    return [_recipient(listed, str(place)) for place in range(len(entries))]


def _recipient(body: Body, name: str) -> Recipient:
    """An id, or an object with an id and the profile known with it."""
    if not isinstance(body.value.get(name), dict):
        return Recipient(id=body.label(name, longest=255, required=True))
    members = body.document(name)
    inline = Body(members, f"{body.pointer}/{name}", body.notes)
    identifier = inline.label("id", longest=255, required=True)
    return Recipient(id=identifier, profile={key: value for key, value in members.items() if key != "id"})


def shown(invocation: Invocation, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The invocation as it is answered."""
    return {
        "id": str(invocation.uid),
        "automation": invocation.automation.key if invocation.automation else None,
        "version": _number_of(invocation.version_id) if invocation.version_id else None,
        "source": invocation.source,
        "run_count": invocation.run_count,
        "runs": runs,
    }


@lru_cache(maxsize=4096)
def _number_of(version_id: int) -> int:
    """A version's number never changes, and an invoke should not have to ask for it."""
    return Version.objects.values_list("number", flat=True).get(pk=version_id)


def forget() -> None:
    """Drops the numbers kept, for when primary keys begin again (a test that was rolled back)."""
    _number_of.cache_clear()


def _run(run: Run) -> dict[str, Any]:
    return {
        "id": str(run.uid),
        "status": run.public_status,
        "recipient": run.recipient,
        "cancellation_token": run.token,
        "cancellation_key": run.key,
    }


def _counts(invocation: Invocation, bars: Sequence[Cancellation]) -> tuple[dict[str, int], bool]:
    """How many runs have which status, under the bars that stand, and whether any has errors."""
    under: Exists | Value = Value(False)
    if bars:
        barred = reached(bars, environment=invocation.environment_id)
        under = Exists(LiveRun.objects.filter(barred, pk=OuterRef("pk")))
    rows = (
        Run.objects.filter(invocation=invocation)
        .annotate(under=under)
        .values_list("status", "live__state", "under", "has_errors")
        .annotate(count=Count("pk"))
        .order_by()
    )
    counts: Counter[str] = Counter()
    for status, state, barred, _, count in rows:
        counts[status or ("cancelled" if barred or state == "cancelling" else state)] += count
    return dict(sorted(counts.items())), any(has_errors for *_, has_errors, _ in rows)
