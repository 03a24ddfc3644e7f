"""What a person may do, and as whom it is recorded."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied

from automations.middleware import PageRequest


def require(request: PageRequest, action: str) -> None:
    """PermissionDenied unless the person's role allows the action."""
    if not request.user.can(action):
        raise PermissionDenied(f"Your role, {request.user.role}, does not allow this.")


def actor(request: PageRequest) -> str:
    """Whom records name."""
    return request.user.actor
