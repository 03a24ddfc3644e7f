"""Cancellations undone over the native API."""

from __future__ import annotations

from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from automations.api.authentication import demand_scope
from automations.api.description import described
from automations.api.endpoint import Endpoint
from automations.api.native.cancellations import find_cancellation
from automations.api.native.receipts import followed_receipt
from automations.api.reading import Body
from automations.api.schemas import one_of, request_of
from automations.models import Overdue
from automations.undo import AdminsOnly, undo


class Undo(Endpoint):
    """`/api/v1/cancellations/{id}/undo`."""

    post_scope = "cancel"

    @described(
        "undo_cancellation",
        {200: "FollowedReceipt"},
        body=request_of(maybe={"overdue": one_of(*Overdue.values)}),
        optional=True,
    )
    def post(self, request: Request, uid: str) -> Response:
        """Lets the cancellation's runs go on. Once its `undo_until` has passed, that takes the scope `admin`."""
        body = Body(self.body(optional=True))
        overdue = body.choice("overdue", tuple(Overdue.values), Overdue.FIRE_NOW)
        body.finish()
        cancellation = find_cancellation(self.environment, UUID(uid))
        try:
            undone = undo(
                environment=self.environment, pk=cancellation.pk, actor=self.actor, overdue=Overdue(overdue),
                is_admin=self.key.can("admin"),
            )  # fmt: skip
        except AdminsOnly:
            demand_scope(self.key, "admin")
            raise
        return Response(followed_receipt(undone))
