"""Runs steps brought along, a published automation or a journey, as Courier's invoke calls do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from automations import execution
from automations.api.authentication import demand_scopes_of
from automations.api.courier.endpoint import CourierEndpoint, checked, respelt
from automations.api.description import described
from automations.api.limits import asked_by_steps
from automations.api.reading import Body
from automations.api.schemas import OBJECT, Schema, ref, request_of, text
from automations.invocation import InvokeRequest, Recipient
from automations.models import JOURNEYS, Refusal

ASKED: Mapping[str, Schema] = {"recipient": text(255), "data": OBJECT, "profile": OBJECT}
USER_IDS = ("user_id", "userId", "anonymousId")


class InvokeAdHoc(CourierEndpoint):
    """`POST /automations/invoke`."""

    post_scope = "invoke"
    counts_itself = True

    @described(
        "invoke_ad_hoc",
        {200: "Accepted"},
        body=request_of({"automation": ref("AdHoc")}, ASKED, strict=False),
        repeatable=True,
        refuses=(404,),
    )
    def post(self, request: Request) -> Response:
        """Runs the steps of the request; a cancel among the first of them has cancelled when this answers."""
        raw = self.body()
        automation = raw.get("automation")
        self.count(asked_by_steps(automation))
        if not isinstance(automation, dict):
            raise Refusal.at("/automation", "required", "“automation” must be an object with “steps”")
        demand_scopes_of(automation, self.key)
        return _accept(self, raw, source="invoke", definition=automation)


class InvokeTemplate(CourierEndpoint):
    """`POST /automations/{template_id}/invoke`; the id may be an alias."""

    post_scope = "invoke"

    @described(
        "invoke_template", {200: "Accepted"}, body=request_of(maybe=ASKED, strict=False), repeatable=True
    )
    def post(self, request: Request, template_id: str) -> Response:
        """Runs the published version."""
        raw = self.body()
        return _accept(self, raw, source=_source(template_id), automation=template_id, by_alias=True)


class InvokeJourney(CourierEndpoint):
    """`POST /journeys/{template_id}/invoke`; the id may be an alias."""

    post_scope = "invoke"

    @described(
        "invoke_journey",
        {202: "Accepted"},
        body=request_of(maybe={"user_id": text(255), "data": OBJECT, "profile": OBJECT}, strict=False),
        repeatable=True,
    )
    def post(self, request: Request, template_id: str) -> Response:
        """Runs the published version for one user, who may be named in the profile or the data as well."""
        raw = self.body()
        source = _source(template_id)
        body = Body(raw, strict=False)
        data, profile = body.document("data"), body.document("profile")
        user = body.label("user_id", longest=255) or _user_of(body, profile=profile, data=data)
        body.finish()
        asked = InvokeRequest(
            environment=self.environment, actor=self.actor, source=source, dialect=JOURNEYS,
            automation=template_id, by_alias=True, recipients=[Recipient(id=user)], data=data, profile=profile,
            **self.repeatable(address=f"journeys/{template_id}/invoke", body=raw),
        )  # fmt: skip
        return _answer(asked, at="", status=202)


def _accept(endpoint: CourierEndpoint, raw: Mapping[str, Any], *, source: str, **what: Any) -> Response:
    """One run; `brand` and `template` belong to messages kept at Courier and mean nothing here."""
    body = Body(raw, strict=False)
    recipient = body.label("recipient", longest=255)
    data, profile = body.document("data"), body.document("profile")
    body.finish()
    asked = InvokeRequest(
        environment=endpoint.environment,
        actor=endpoint.actor,
        source=source,
        dialect="courier",
        strict=False,
        recipients=[Recipient(id=recipient)],
        data=data,
        profile=profile,
        **endpoint.repeatable(address=source, body=raw),
        **what,
    )
    return _answer(asked)


def _answer(asked: InvokeRequest, *, at: str = "/automation", status: int = 200) -> Response:
    """The accepted run, with that HTTP status; a refusal's pointers lead to `at` where Courier has the definition."""
    try:
        accepted = execution.accept(asked)
    except Refusal as refusal:
        raise respelt(refusal, at=at) from refusal
    response = Response({"runId": accepted.runs[0]["id"]}, status=status)
    if accepted.replayed:
        response["Idempotent-Replayed"] = "true"
    return response


def _source(template_id: str) -> str:
    return f"invoke/{checked(template_id)}"[:255]


def _user_of(body: Body, **documents: Mapping[str, Any]) -> str | None:
    """The user's id as Courier looks for it where the request names none: in the profile, then in the data."""
    for where, document in documents.items():
        fields = Body(document, f"/{where}", body.notes)
        for name in USER_IDS:
            if isinstance(user := fields.value.get(name), str) and user.strip():
                return fields.label(name, longest=255)
    return None
