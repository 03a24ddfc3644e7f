"""The e-mail channel against a real mail server: what arrives, what is refused, what may be retried."""

from __future__ import annotations

import email
import email.policy
import socket
import threading
import time
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from pytest_django import Settings

from automations.channels import DeliveryError, Message, deliver
from automations.channels.smtp import _tls
from tests.channels.conftest import RUN
from tests.channels.sinks import SmtpSink

ADA = {"email": "ada@example.com"}


def send(message: Message) -> dict[str, Any]:
    return deliver("email", message, deadline=time.monotonic() + 5)


def parsed(sink: SmtpSink) -> EmailMessage:
    (taken,) = sink.mails
    return email.message_from_bytes(taken.content, policy=email.policy.default)


def test_the_message_arrives(smtp: SmtpSink, message: Callable[..., Message]) -> None:
    given = message(ADA, title="Grüße, Ada", body=".\r\nA line\n.hidden\n" + "é" * 2000)
    message_id = f"<{RUN}.hello@sender.example>"
    assert send(given) == {"channel": "email", "to": "ada@example.com", "message_id": message_id}
    (taken,) = smtp.mails
    assert taken.sender.partition(" ")[0] == "FROM:<noreply@sender.example>"
    assert taken.recipients == ["TO:<ada@example.com>"]
    arrived = parsed(smtp)
    assert (arrived["Subject"], arrived["To"]) == ("Grüße, Ada", "ada@example.com")
    assert arrived["From"] == "Countermand <noreply@sender.example>"
    assert arrived["X-Idempotency-Key"] == f"{RUN}:hello"
    assert arrived["Message-ID"] == message_id
    assert arrived.get_content().replace("\r", "").rstrip("\n") == ".\nA line\n.hidden\n" + "é" * 2000
    assert smtp.verbs[-1] == "quit"


def test_a_body_cannot_smuggle_a_second_message(smtp: SmtpSink, message: Callable[..., Message]) -> None:
    for end in ("\r\n.\r\n", "\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n"):
        smtp.mails.clear()
        send(message(ADA, body=f"a{end}MAIL FROM:<x@evil.example>\r\nRCPT TO:<y@evil.example>\r\nDATA\r\nb"))
        assert len(smtp.mails) == 1
    assert smtp.verbs.count("mail") == 5


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "ada@example.com\r\nBcc: eve@example.com",
        "ada@example.com\nRCPT TO:<eve@example.com>",
        "ada@example.com, eve@example.com",
        "ada@example.com eve@example.com",
        "Ada <ada@example.com>",
        "<ada@example.com>",
        '"a\x01b"@example.com',
        "ada@example.com\0",
        "ada\u2028@example.com",
        f"{'a' * 400}@example.com",
        None,
        5,
        ["ada@example.com"],
    ],
)
def test_what_is_no_single_address_is_refused(
    smtp: SmtpSink, failure: Callable[..., DeliveryError], address: object
) -> None:
    error = failure({"email": address})
    assert (error.message, error.retryable) == ('"to.email" is not an e-mail address', False)
    assert smtp.verbs == []


@pytest.mark.parametrize(
    "separator", ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\0"]
)
def test_a_title_cannot_break_out_of_its_header(
    smtp: SmtpSink, failure: Callable[..., DeliveryError], separator: str
) -> None:
    error = failure(ADA, title=f"Hi{separator}Bcc: eve@example.com")
    said = "the title must be one line, without control characters"
    assert (error.message, error.retryable) == (said, False)
    assert smtp.verbs == []


def test_a_body_that_cannot_be_encoded_is_refused(
    smtp: SmtpSink, failure: Callable[..., DeliveryError]
) -> None:
    error = failure(ADA, body="\ud800")
    assert (error.message, error.retryable) == ("the message cannot be written as an e-mail", False)
    assert smtp.mails == []


def test_a_step_id_of_any_letters_makes_legal_headers(
    smtp: SmtpSink, message: Callable[..., Message]
) -> None:
    send(message(ADA, step="Schritt ä\r\nBcc: eve@example.com"))
    assert parsed(smtp)["Bcc"] is None
    assert parsed(smtp)["X-Idempotency-Key"].strip() == f"{RUN}:Schritt%20%C3%A4%0D%0ABcc:%20eve@example.com"


@pytest.mark.parametrize("verb", ["banner", "mail", "rcpt", "data", "content"])
@pytest.mark.parametrize(("code", "retryable"), [(421, True), (450, True), (550, False), (554, False)])
def test_a_refusal_says_whether_to_try_again(
    smtp: SmtpSink, failure: Callable[..., DeliveryError], verb: str, code: int, *, retryable: bool
) -> None:
    smtp.answers[verb] = f"{code} no\0t you\r\n".encode()
    error = failure(ADA)
    assert error.message == f"the mail server refused the message ({code})"
    assert (error.retryable, error.detail) == (retryable, {"status": code, "answer": "no\ufffdt you"})
    assert smtp.mails == []


def test_a_server_that_hangs_up_may_be_tried_again(
    smtp: SmtpSink, settings: Settings, failure: Callable[..., DeliveryError]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as rude:
        settings.EMAIL_PORT = rude.getsockname()[1]
        leaving = threading.Thread(target=lambda: rude.accept()[0].close())
        leaving.start()
        error = failure(ADA)
        leaving.join()
    assert (error.message, error.retryable) == ("the mail server hung up", True)


def test_a_server_that_is_not_there_may_be_tried_again(
    smtp: SmtpSink, settings: Settings, failure: Callable[..., DeliveryError]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        settings.EMAIL_PORT = gone.getsockname()[1]
    error = failure(ADA)
    assert (error.message, error.retryable) == ("the mail server was not reached: Connection refused", True)


def test_without_a_mail_server_the_setting_is_named(
    smtp: SmtpSink, settings: Settings, failure: Callable[..., DeliveryError]
) -> None:
    settings.EMAIL_HOST = ""
    error = failure(ADA)
    assert (error.message, error.retryable) == ("no mail server is set up (EMAIL_HOST)", False)


@pytest.mark.parametrize("verb", ["banner", "ehlo", "mail", "rcpt", "data", "content", "handshake"])
def test_a_server_that_drips_ends_at_the_deadline(
    smtp: SmtpSink,
    settings: Settings,
    failure: Callable[..., DeliveryError],
    certificate: Path,
    verb: str,
) -> None:
    smtp.silent_at = verb
    if verb == "handshake":
        settings.EMAIL_USE_TLS, smtp.certificate = True, str(certificate)
    began = time.monotonic()
    error = failure(ADA, seconds=0.3)
    assert 0.3 <= time.monotonic() - began < 3
    assert (error.message, error.retryable) == ("the mail server did not answer in time", True)
    assert smtp.mails == []


@pytest.mark.parametrize("answer", [b"500 what?\r\n", b"", None])
def test_a_message_that_was_taken_is_delivered_however_the_server_says_goodbye(
    smtp: SmtpSink, message: Callable[..., Message], answer: bytes | None
) -> None:
    if answer is None:
        smtp.silent_at = "quit"
    else:
        smtp.answers["quit"] = answer
    began = time.monotonic()
    assert deliver("email", message(ADA), deadline=began + 0.3)["to"] == "ada@example.com"
    assert time.monotonic() - began < 3
    assert len(smtp.mails) == 1


@pytest.mark.parametrize("implicit", [False, True])
def test_mail_is_encrypted_where_the_settings_say_so(
    smtp: SmtpSink,
    settings: Settings,
    message: Callable[..., Message],
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    implicit: bool,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    _tls.cache_clear()
    settings.EMAIL_USE_SSL, settings.EMAIL_USE_TLS = implicit, not implicit
    smtp.certificate = str(certificate)
    smtp.implicit = implicit
    send(message(ADA, body="x" * 100_000))
    send(message(ADA))
    _tls.cache_clear()
    assert ("starttls" in smtp.verbs, len(smtp.mails)) == (not implicit, 2)


@pytest.mark.parametrize("wanted", ["EMAIL_USE_TLS", "EMAIL_HOST_USER"])
def test_a_server_without_what_the_settings_ask_for_is_not_tried_again(
    smtp: SmtpSink, settings: Settings, failure: Callable[..., DeliveryError], wanted: str
) -> None:
    setattr(settings, wanted, "countermand")
    settings.EMAIL_HOST_PASSWORD = "secret"
    error = failure(ADA)
    said = "the mail server lacks what the settings ask for"
    assert (error.message, error.retryable, "mail" in smtp.verbs) == (said, False, False)


def test_another_backend_of_the_settings_is_used(settings: Settings, message: Callable[..., Message]) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    send(message(ADA))
    assert [sent.subject for sent in mail.outbox] == ["Hi"]
