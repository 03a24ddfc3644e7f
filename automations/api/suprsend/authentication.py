"""Knows SuprSend's callers: by a signature over the request as it was sent, or by an API key."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime

from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from automations.api.authentication import KeyAuthentication, note_use
from automations.api.parsing import read_body
from automations.models import ApiKey

SKEW = timedelta(minutes=15)  # by which the caller's clock may be off, in either direction


class Signed(KeyAuthentication):
    """`Authorization: <workspace key>:<signature>`, else as `KeyAuthentication` has it."""

    def authenticate(self, request: Request) -> tuple[None, ApiKey]:
        """401 for a signature that does not fit the request, is older than SKEW, or is of no live key."""
        workspace, colon, signature = request.META.get("HTTP_AUTHORIZATION", "").partition(":")
        if not colon or " " in workspace.strip():
            return super().authenticate(request)
        now = timezone.now()
        key = ApiKey.objects.of_workspace(workspace)
        secret = key.signing_text if key is not None and key.is_live(now=now) else None
        expected = _signatures(request._request, secret or "nobody's")
        fits = [constant_time_compare(signature.strip(), one) for one in expected]
        if key is None or secret is None or not any(fits):
            raise AuthenticationFailed("the workspace key or the signature is not valid", code="invalid_key")
        _check_date(request.META.get("HTTP_DATE", ""))
        note_use(key, now)
        return None, key


def _check_date(text: str) -> None:
    """A request that somebody else recorded must not be good for ever."""
    try:
        sent = parsedate_to_datetime(text)
    except ValueError as error:
        raise AuthenticationFailed("“Date” must be an HTTP date", code="invalid_date") from error
    sent = sent if sent.tzinfo else sent.replace(tzinfo=UTC)
    if abs(timezone.now() - sent) > SKEW:
        raise AuthenticationFailed(
            "“Date” is more than 15 minutes off; check the clocks", code="invalid_date"
        )


def _signatures(request: HttpRequest, secret: str) -> Iterator[str]:
    """What the request would be signed with: over the path as the client sees it, which a proxy may have cut."""
    body, meta = read_body(request), request.META
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest() if body else ""
    sent = meta.get("CONTENT_TYPE", ""), meta.get("HTTP_DATE", "")
    prefixes = dict.fromkeys(("", meta.get("HTTP_X_FORWARDED_PREFIX", "").rstrip("/")))
    for prefix in prefixes:
        signed = "\n".join([str(request.method), digest, *sent, prefix + request.get_full_path()])
        yield base64.b64encode(hmac.digest(secret.encode(), signed.encode(), "sha256")).decode()
