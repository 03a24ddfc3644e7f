"""Who may call as SuprSend's SDKs do: by a signature over the request, or by an API key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from automations.api.parsing import LARGEST_BODY
from automations.models import ApiKey, Environment, Run
from tests.api.conftest import Caller, decoded, suprsend_refused
from tests.scenes import DELAY, publish

pytestmark = pytest.mark.django_db
TYPE = "application/json; charset=utf-8"
BODY = {"workflow": "k", "recipients": ["u"], "data": {"n": "é"}}


class Signer:
    """Signs requests as the SDKs do; keywords replace what is signed, or what is sent."""

    def __init__(self, key: str, secret: str) -> None:
        self.key, self.secret = key, secret

    def send(self, path: str, body: object = BODY, *, signed: str | None = None, **sent: Any) -> HttpResponse:
        """POSTs to `path`, with a signature over `signed`, else over the path itself."""
        text = json.dumps(body, ensure_ascii=False).encode()
        date = sent.pop("date", format_datetime(timezone.now(), usegmt=True))
        digest = hashlib.md5(text).hexdigest()
        message = "\n".join(["POST", digest, TYPE, date, signed or path])
        signature = base64.b64encode(hmac.digest(self.secret.encode(), message.encode(), "sha256")).decode()
        headers = {"Authorization": f"{self.key}:{signature}", "Date": date} | sent.pop("headers", {})
        client = Client(raise_request_exception=False)
        response: Any = client.generic(
            "POST", path, sent.get("raw", text), content_type=sent.get("content_type", TYPE), headers=headers
        )
        return response  # type: ignore[no-any-return]


def workspace(*arguments: str) -> Signer:
    """What the command prints."""
    output = StringIO()
    call_command("create_api_key", "shop", "--suprsend", *arguments, stdout=output)
    (line,) = output.getvalue().splitlines()
    printed = json.loads(line)
    assert list(printed) == ["workspace_key", "workspace_secret"]
    return Signer(printed["workspace_key"], printed["workspace_secret"])


@pytest.fixture(autouse=True)
def automation(db: None) -> None:
    publish("k", {"steps": [DELAY]})


@pytest.fixture
def signer() -> Signer:
    return workspace()


@pytest.mark.parametrize(
    "path", ["/trigger/", "/trigger", "/trigger/?a=b&c=%20", "/compat/suprsend/trigger/"]
)
def test_a_signed_request_is_known(signer: Signer, path: str) -> None:
    assert decoded(signer.send(path), 202)["status"] == "success"
    key = ApiKey.objects.get()
    assert (key.name, key.last_used_at is not None) == ("shop", True)
    assert Run.objects.get().invocation.actor == "key/shop"


def test_the_path_is_the_one_that_the_client_sees(signer: Signer) -> None:
    outside: dict[str, Any] = {"headers": {"X-Forwarded-Prefix": "/notify/"}}
    assert signer.send("/trigger/", signed="/notify/trigger/", **outside).status_code == 202
    assert signer.send("/trigger/", **outside).status_code == 202
    assert signer.send("/trigger/", signed="/notify/trigger/").status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"signed": "/other/"},
        {"raw": b'{"workflow": "k", "recipients": ["v"], "data": {}}'},
        {"content_type": "application/json"},
        {"headers": {"Date": "Fri, 20 Nov 2026 17:08:10 GMT"}},
        {"headers": {"Authorization": "ws_AbCd1234:x"}},
        {"headers": {"Authorization": "key:x"}},
        {"headers": {"Authorization": ":"}},
        {"date": "soon"},
        {"date": ""},
    ],
)
def test_what_does_not_fit_is_nobodys(signer: Signer, wrong: dict[str, Any]) -> None:
    response = signer.send("/trigger/", **wrong)
    assert suprsend_refused(response)[:2] == (401, "unauthorized")
    assert Run.objects.count() == 0


@pytest.mark.parametrize(("minutes", "status"), [(-16, 401), (-14, 202), (14, 202), (16, 401)])
def test_a_clock_may_be_a_little_off(signer: Signer, minutes: int, status: int) -> None:
    date = format_datetime(timezone.now() + timedelta(minutes=minutes), usegmt=True)
    assert signer.send("/trigger/", date=date).status_code == status


def test_a_revoked_or_expired_key_signs_nothing(signer: Signer) -> None:
    past = timezone.now() - timedelta(seconds=1)
    for change in ({"expires_at": past}, {"revoked_at": past}):
        ApiKey.objects.update(**change)
        assert suprsend_refused(signer.send("/trigger/"))[0] == 401


def test_an_ordinary_key_does_not_sign(make_key: Callable[..., str]) -> None:
    text = make_key("invoke")
    assert ApiKey.objects.get().sealed_text is None
    assert suprsend_refused(Signer(f"ws_{text.split('_')[2]}", text).send("/trigger/"))[0] == 401


def test_the_secret_is_an_api_key_too(signer: Signer) -> None:
    assert decoded(Caller(signer.secret).post("/trigger/", BODY), 202)["status"] == "success"


def test_a_workspace_has_scopes_and_an_environment() -> None:
    reader = workspace("--scopes", "read", "--environment", "test")
    assert suprsend_refused(reader.send("/trigger/"))[:2] == (403, "forbidden")
    assert ApiKey.objects.get().environment == Environment.objects.get(key="test")
    stranger = workspace("--environment", "test")
    assert suprsend_refused(stranger.send("/trigger/"))[2] == "workflow 'k' not found"


def test_a_body_too_large_is_not_signed_but_refused(signer: Signer) -> None:
    response = signer.send("/trigger/", raw=b" " * (LARGEST_BODY + 1))
    assert suprsend_refused(response)[:2] == (413, "request_too_large")
