"""Shows what a token expression gives for sample data, before anybody runs it."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from automations import expressions, publication
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.reading import Body
from automations.api.schemas import OBJECT, prose, request_of
from automations.cancellation import unfinished_with_label
from automations.definition.fields import EXPRESSION_LENGTH
from automations.expressions import Scope
from automations.models import No, Refusal


class PreviewToken(Endpoint):
    """`/api/v1/preview-token`, and `/api/v1/automations/{key}/preview-token` for the token of its draft."""

    post_scope = "read"

    @described(
        "preview_token",
        {200: "TokenPreview"},
        body=request_of(maybe={"expression": prose(EXPRESSION_LENGTH), "data": OBJECT, "profile": OBJECT}),
    )
    def post(self, request: Request, key: str | None = None) -> Response:
        """The token that a run with these data would bear, or why there would be none."""
        body = Body(self.body())
        expression = body.text("expression", longest=EXPRESSION_LENGTH)
        data, profile = body.document("data"), body.document("profile")
        body.finish()
        if key is not None:
            draft = publication.find(environment=self.environment, key=key).draft
            expression = expression or _token_of(draft)
        if expression is None:
            raise Refusal.at("/expression", "required", "there is no cancellation token to preview")
        scope = Scope(
            data=data,
            profile=profile,
            refs={"recipient": None, "template": key},
            now=timezone.now(),
            seed="preview",
        )
        return Response(self._explained(expression, scope))

    def _explained(self, expression: str, scope: Scope) -> dict[str, Any]:
        owner = f"{self.environment.pk}/{self.actor}"
        explained = expressions.explain(expression, scope, owner=owner)
        answer: dict[str, Any] = {"token": explained.value, "mode": explained.form}
        if (error := explained.error) is not None:
            if error.retryable:
                raise Refusal(No.UNAVAILABLE, error.kind, "the expression could not be evaluated now")
            answer["error"] = {"kind": error.kind, "message": error.message, "paths": list(error.paths)}
        answer["warnings"] = [advice.code for advice in explained.warnings]
        answer["unfinished_runs"] = 0
        if explained.value is not None:
            answer["unfinished_runs"] = unfinished_with_label(
                environment=self.environment, token=explained.value
            )
        return answer


def _token_of(draft: Any) -> str | None:
    """The token expression of a draft, which may be anything yet."""
    for name in ("cancellation_token", "cancelation_token"):
        if isinstance(draft, dict) and isinstance(token := draft.get(name), str) and token.strip():
            return token
    return None
