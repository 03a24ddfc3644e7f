"""Delivers a message as one JSON POST to the URL it names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from automations.channels import client, signing
from automations.channels.base import DeliveryError, Message, excerpt
from automations.expressions import as_text

_READ_MOST = 64 * 1024
_HEADERS_MOST = 16 * 1024
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_RETRYABLE = frozenset({408, 425, 429})
_OURS = re.compile(
    r"host|content-length|transfer-encoding|connection|keep-alive|proxy-.*|te|trailer|upgrade|expect"
    r"|idempotency-key|webhook-(?:id|timestamp|signature)",
    re.IGNORECASE,
)


def send(message: Message, /, *, deadline: float) -> dict[str, Any]:
    """POSTs run, step, title, body and recipient; any 2xx is a delivery. `deadline` is monotonic. Signed as
    Standard Webhooks are, if the message comes with secrets.

    Raises DeliveryError: retryable for 408, 425, 429, 5xx and a failed connection; not for the other 4xx, a
    redirect (none is followed) and a URL that must not be reached.
    """
    url, extra = _target(message)
    content = {name: getattr(message, name) for name in ("run", "step", "title", "body", "recipient")}
    body = json.dumps(content).encode()
    answer = client.shared(allow_private=tuple(getattr(settings, "ALLOW_PRIVATE_NETWORKS", ()))).request(
        method="POST",
        url=url,
        headers={**_headers(extra, key=message.idempotency_key), **_signature(message, body)},
        body=body,
        deadline=deadline,
        limit=_READ_MOST,
    )
    text = excerpt(raw=answer.body)
    if 200 <= answer.status < 300:
        return {"channel": "webhook", "to": shown(url), "status": answer.status, "answer": text}
    detail = {"status": answer.status, "answer": text}
    if 300 <= answer.status < 400:
        said = f"the webhook answered {answer.status}; redirects are not followed"
        location = excerpt(raw=answer.headers.get("location", "").encode())
        raise DeliveryError(said, retryable=False, detail={**detail, "location": location})
    raise DeliveryError(
        f"the webhook answered {answer.status}",
        retryable=answer.status in _RETRYABLE or 500 <= answer.status < 600,
        detail=detail,
    )


def shown(url: object) -> str:
    """As a run records it: what is asked for behind the path may be a secret."""
    return re.split(r"[?#]", str(url), maxsplit=1)[0]


def _signature(message: Message, body: bytes) -> dict[str, str]:
    if not message.secrets or message.at is None:
        return {}
    return signing.headers(
        message=message.idempotency_key,
        seconds=int(message.at.timestamp()),
        body=body,
        secrets=message.secrets,
    )


def _target(message: Message) -> tuple[object, Mapping[object, object]]:
    webhook = (message.to or {}).get("webhook")
    if not isinstance(webhook, Mapping) or "url" not in webhook:
        raise DeliveryError('the webhook needs "to": {"webhook": {"url": ...}}', retryable=False)
    extra = webhook.get("headers") or {}
    if not isinstance(extra, Mapping):
        raise DeliveryError("the webhook's headers must be an object", retryable=False)
    return webhook["url"], extra


def _headers(extra: Mapping[object, object], *, key: str) -> dict[str, str]:
    """Ours, in the author's words where that is harmless; names compare without case."""
    headers = {
        "accept": ("Accept", "*/*"),
        "accept-encoding": ("Accept-Encoding", "identity"),
        "content-type": ("Content-Type", "application/json"),
        "user-agent": ("User-Agent", "Countermand"),
    }
    for name, value in extra.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise DeliveryError("a header of the webhook has an impossible name", retryable=False)
        if _OURS.fullmatch(name):
            raise DeliveryError(f"the header {name[:50]} of a webhook cannot be set", retryable=False)
        text = as_text(value) if isinstance(value, int | float) else value
        if not isinstance(text, str) or _FORBIDDEN.search(text):
            said = f"the header {name[:50]} of the webhook must be text without control characters"
            raise DeliveryError(said, retryable=False)
        headers[name.lower()] = (name, text.strip())
    if sum(len(name) + len(value.encode()) for name, value in headers.values()) > _HEADERS_MOST:
        raise DeliveryError("the webhook's headers hold more than 16 KiB", retryable=False)
    return {**dict(headers.values()), "Idempotency-Key": key}
