"""The sinks, and messages to send to them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from automations.channels import DeliveryError, Message, client, deliver
from tests.channels.sinks import HttpSink, SmtpSink

RUN = "01930d5e-8f00-7000-8000-000000000001"


@pytest.fixture
def http() -> Iterator[HttpSink]:
    """A web server that the default settings refuse to reach."""
    with HttpSink() as sink:
        yield sink


@pytest.fixture
def allowed(settings: Settings) -> Iterator[None]:
    """127.0.0.1 may be reached."""
    settings.ALLOW_PRIVATE_NETWORKS = ("127.0.0.1",)
    yield
    client.shared(allow_private=("127.0.0.1",)).close()


@pytest.fixture
def smtp(settings: Settings) -> Iterator[SmtpSink]:
    """The mail server of the settings."""
    with SmtpSink() as sink:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", sink.port
        settings.DEFAULT_FROM_EMAIL = "Countermand <noreply@sender.example>"
        yield sink


@pytest.fixture
def message() -> Callable[..., Message]:
    """Makes a message; what a test does not name is the same everywhere."""

    def make(to: Mapping[str, Any] | None = None, **given: Any) -> Message:
        return Message(
            **{
                "run": RUN,
                "step": "hello",
                "recipient": "ada",
                "title": "Hi",
                "body": "Text",
                "to": to,
                **given,
            }
        )

    return make


@pytest.fixture
def failure(message: Callable[..., Message]) -> Callable[..., DeliveryError]:
    """What a delivery to this address fails with; `seconds` is what it may take."""

    def fail(to: Mapping[str, Any], *, seconds: float = 5.0, **given: Any) -> DeliveryError:
        (channel,) = to
        with pytest.raises(DeliveryError) as caught:
            deliver(channel, message(to, **given), deadline=time.monotonic() + seconds)
        return caught.value

    return fail


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of hooks.example, signed by itself."""
    file = tmp_path_factory.mktemp("tls") / "hooks.example.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=hooks.example"
    )
    names = [
        "-addext",
        "subjectAltName=DNS:hooks.example,IP:127.0.0.1",
        "-keyout",
        str(file),
        "-out",
        f"{file}.crt",
    ]
    try:
        subprocess.run([*command.split(), *names], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the program openssl, which makes the certificate")
    file.write_bytes(file.read_bytes() + Path(f"{file}.crt").read_bytes())
    return file
