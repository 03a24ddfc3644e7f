"""Delivers a message as one plain e-mail through Django's mail settings."""

from __future__ import annotations

import re
import smtplib
import time
from email.utils import parseaddr
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.core.validators import validate_email

from automations.channels.base import DeliveryError, Message, excerpt
from automations.channels.smtp import DeadlineBackend

_SMTP = "django.core.mail.backends.smtp.EmailBackend"
# Whatever some mail program takes for the end of a header, and what cannot be encoded.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def send(message: Message, /, *, deadline: float) -> dict[str, Any]:
    """Hands the message to the mail server, once taken it is delivered. `deadline` is monotonic.

    Raises DeliveryError: retryable when the server cannot be reached or says 4xx; not for its 5xx, a wrong
    address, or a title that would break out of its header.
    """
    address = _address(message)
    if _FORBIDDEN.search(message.title):
        raise DeliveryError("the title must be one line, without control characters", retryable=False)
    message_id = _message_id(message)
    mail = EmailMessage(
        subject=message.title,
        body=message.body,
        to=[address],
        headers={"Message-ID": message_id, "X-Idempotency-Key": message.idempotency_key},
        connection=_connection(deadline),
    )
    try:
        taken = mail.send()
    except OSError as error:  # smtplib's errors are OSErrors
        raise _failure(error, late=time.monotonic() >= deadline) from error
    except ValueError as error:  # BadHeaderError and UnicodeError are ValueErrors
        raise DeliveryError("the message cannot be written as an e-mail", retryable=False) from error
    if taken != 1:
        raise DeliveryError("the mail backend did not take the message", retryable=True)
    return {"channel": "email", "to": address, "message_id": message_id}


def _address(message: Message) -> str:
    address = (message.to or {}).get("email")
    try:
        if not isinstance(address, str) or _FORBIDDEN.search(address):
            raise ValidationError("not an address")
        validate_email(address)
    except ValidationError:
        raise DeliveryError('"to.email" is not an e-mail address', retryable=False) from None
    return address


def _message_id(message: Message) -> str:
    """The same for every attempt, so that a mailbox can drop a second copy."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    parts = [message.run, message.step, *([message.member] if message.member is not None else [])]
    return f"<{'.'.join(quote(part, safe='') for part in parts)}@{domain}>"


def _connection(deadline: float) -> BaseEmailBackend:
    if settings.EMAIL_BACKEND != _SMTP:
        return get_connection(timeout=max(0.001, deadline - time.monotonic()))
    if not settings.EMAIL_HOST:
        raise DeliveryError("no mail server is set up (EMAIL_HOST)", retryable=False)
    return DeadlineBackend(deadline=deadline)


def _failure(error: OSError, *, late: bool) -> DeliveryError:
    """A refusal by its code; what has none (the server is gone, or lacks something) by its kind."""
    code, answer = getattr(error, "smtp_code", None), getattr(error, "smtp_error", b"")
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, answer = next(iter(error.recipients.values()))
    if code is not None:
        raw = answer if isinstance(answer, bytes) else str(answer).encode()
        return DeliveryError(
            f"the mail server refused the message ({code})",
            retryable=not 500 <= code < 600,
            detail={"status": code, "answer": excerpt(raw=raw)},
        )
    if late:
        return DeliveryError("the mail server did not answer in time", retryable=True)
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return DeliveryError("the mail server hung up", retryable=True)
    if isinstance(error, smtplib.SMTPException):
        return DeliveryError("the mail server lacks what the settings ask for", retryable=False)
    reason = error.strerror or type(error).__name__
    return DeliveryError(f"the mail server was not reached: {reason}", retryable=True)
