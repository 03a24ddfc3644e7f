"""Finds the key of a Courier SDK: a Bearer token, or the credentials of an old SDK's Basic authorization."""

from __future__ import annotations

import base64
import binascii

from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.request import Request

from automations.api.authentication import KeyAuthentication
from automations.models import ApiKey

UNAUTHORIZED = "Unauthorized"


class CourierAuthentication(KeyAuthentication):
    """Refuses in Courier's one word. Python SDKs up to 5 can send a username and a password: the key may be either."""

    def authenticate(self, request: Request) -> tuple[None, ApiKey]:
        """401 without a key, and for a wrong, revoked or expired one."""
        scheme, _, credentials = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() == "basic":
            request.META["HTTP_AUTHORIZATION"] = f"Bearer {_key_of(credentials)}"
        try:
            return super().authenticate(request)
        except (AuthenticationFailed, NotAuthenticated) as error:
            raise AuthenticationFailed(UNAUTHORIZED, code="unauthorized") from error


def _key_of(credentials: str) -> str:
    """The password, or else the username; empty where they cannot be read."""
    try:
        text = base64.b64decode(credentials.strip(), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
    username, _, password = text.partition(":")
    return password or username
