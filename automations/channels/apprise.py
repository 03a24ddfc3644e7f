"""Delivers a message through Apprise, an extra: chats, text messages and pushes of services whose hosts are fixed."""

from __future__ import annotations

import importlib
import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from automations.channels.base import DeliveryError, Message

MISSING = "Apprise is not installed here; it is an extra: pip install 'apprise>=2.2,<3'"
# Apprise connects by itself, past channels/network.py. So only services whose host no URL can change are reached;
# json://, xml://, mailto:// and whatever else names its own host would be a way into the private network.
SERVICES = frozenset({
    "atalk", "bulksms", "clicksend", "d7sms", "discord", "gchat", "line", "mailgun", "msgbird", "nexmo", "opsgenie",
    "pagerduty", "pbul", "plivo", "pover", "prowl", "sendgrid", "slack", "tgram", "threema", "twilio", "vonage",
    "webex", "workflow", "workflows", "wxteams",
})  # fmt: skip
# Microsoft Teams takes messages at an address of the customer's own, but in Microsoft's domains.
_TEAMS = frozenset({"workflow", "workflows"})
_MICROSOFT = re.compile(r"[a-z0-9.-]+\.(?:logic\.azure\.com|api\.powerplatform\.com)", re.IGNORECASE)
_TARGET = re.compile(r"[\w@+#.:=-]{1,200}", re.ASCII)
_LONGEST_SECONDS = 15.0
_ANSWER = 300


def send(message: Message, /, *, deadline: float) -> dict[str, Any]:
    """Hands the message to the service whose URL is the message's secret. `deadline` is monotonic: no request, of
    which a URL with several targets takes several, begins after it.

    Raises DeliveryError: not retryable for a URL that must not be used and without Apprise; else retryable, since
    Apprise does not tell whether another attempt could fare better.
    """
    if not message.secrets:
        raise DeliveryError('the channel "apprise" needs a provider or an Apprise URL', retryable=False)
    service = opened(message.secrets[0])
    _keep_to(deadline, service)
    with _said() as lines:
        taken = service.notify(
            body=message.body or message.title, title=message.title if message.body else ""
        )
    name = schema_of(message.secrets[0])
    if not taken:
        answer = "; ".join(lines).replace("\0", "\ufffd")[:_ANSWER]
        raise DeliveryError(f"{name} did not take the message", retryable=True, detail={"answer": answer})
    return {"channel": "apprise", "service": name, "to": shown((message.to or {}).get("apprise"))}


def shown(to: Any) -> Any:
    """A provider and a target as a run records them; of a URL, which holds secrets, its service alone."""
    named = to.get("provider") if isinstance(to, dict) else to
    return f"{schema_of(str(named))}://" if "://" in str(to) else to


def schema_of(url: str) -> str:
    """What comes before ://, in lower case."""
    return url.partition("://")[0].strip().lower()


def opened(url: str) -> Any:
    """The service behind an Apprise URL. DeliveryError (not retryable) without Apprise, for a service that is not
    among SERVICES, and for a URL that it does not understand; no message shows the URL."""
    name = schema_of(url)
    if "://" not in url or name not in SERVICES:
        known = ", ".join(sorted(SERVICES))
        said = f"an Apprise URL must be of one of these services, whose hosts are fixed: {known}"
        raise DeliveryError(said, retryable=False)
    if _has_template(url):  # Apprise would read a file of this machine, or fetch one from anywhere
        raise DeliveryError("an Apprise URL with “template” reads a file, and is not used", retryable=False)
    if name in _TEAMS and not _is_microsofts(url):
        raise DeliveryError(
            "a URL for Microsoft Teams must lead to one of Microsoft's hosts", retryable=False
        )
    service = _instantiated(url)
    if service is None:
        raise DeliveryError(f"this is not a URL that the service {name} understands", retryable=False)
    service.redirects, service.verify_certificate, service.retry = False, True, 0  # whatever the URL says
    return service


def with_target(url: str, target: str) -> str:
    """The provider's URL with one more recipient behind it, who can add nothing else to it."""
    if not _TARGET.fullmatch(target):
        raise DeliveryError("the target has characters that no address of a service has", retryable=False)
    path, mark, query = url.partition("?")
    return f"{path.rstrip('/')}/{quote(target, safe='')}{mark}{query}"


def _has_template(url: str) -> bool:
    given = parse_qsl(url.partition("?")[2].replace(";", "&").replace("?", "&"), keep_blank_values=True)
    return any("template" in name.lower() for name, _ in given)


def _is_microsofts(url: str) -> bool:
    """By two readings of the URL, ours and Apprise's."""
    service = _instantiated(url)
    try:
        parsed = urlsplit(url)
        hosts = (parsed.hostname or "", str(getattr(service, "host", "")))
        ports = (parsed.port, getattr(service, "port", None))
    except ValueError:
        return False
    return all(_MICROSOFT.fullmatch(host) for host in hosts) and all(port in (None, 443) for port in ports)


def _instantiated(url: str) -> Any:
    """What Apprise makes of the URL, None for nothing."""
    library = _library()
    try:
        return library.Apprise.instantiate(url)
    except Exception:  # whatever a plugin stumbles over; the error may hold the URL
        return None


def _library() -> ModuleType:
    try:
        return importlib.import_module("apprise")
    except ImportError as error:
        raise DeliveryError(MISSING, retryable=False) from error


def _keep_to(deadline: float, service: Any) -> None:
    """Has the service look at the deadline before each of its requests, which it announces by `throttle`: one that
    begins has what is left, and after it DeliveryError is raised. Apprise's own pauses, of 5.5 s between two targets,
    are left out, but for what a service has asked for."""

    def throttle(last_io: object = None, wait: float | None = None) -> None:
        pause = wait or 0.0
        left = deadline - time.monotonic() - pause
        if left <= 0:
            raise DeliveryError("the time was up before every request was made", retryable=True)
        time.sleep(pause)
        # The connection and its encryption may take a quarter each: what is sent, is sent before the deadline.
        service.socket_connect_timeout = min(left / 4, _LONGEST_SECONDS)
        service.socket_read_timeout = min(left, _LONGEST_SECONDS)

    service.throttle = throttle
    throttle()


@contextmanager
def _said() -> Iterator[list[str]]:
    """What Apprise warns of in this thread meanwhile: the only way in which it tells what a service answered. Of
    a message that was taken it tells nothing."""
    lines: list[str] = []
    handler = _Listening(lines)
    log = logging.getLogger("apprise")
    log.addHandler(handler)
    try:
        yield lines
    finally:
        log.removeHandler(handler)


class _Listening(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(level=logging.WARNING)
        self.lines, self.thread = lines, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread:
            self.lines.append(record.getMessage())
