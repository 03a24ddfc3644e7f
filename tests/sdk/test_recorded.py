"""Requests as SDKs sent them to a recording server, for releases that cannot be installed: each with its answer.

In a request `{key}`, `{basic}`, `{workspace}`, `{date}` and `{signature}` stand for what a caller here has, `{run}` for
a run that waits, and `{yesterday}` for a day; in an answer `<uuid>` and `<time>` stand for any. `then` is that run's
status afterwards.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from automations.models import ApiKey, definitions
from tests.scenes import DELAY, invoke, production, publish, run_of_uid, status

RECORDED = Path(__file__).parent / "recorded"
ANY = {
    "<uuid>": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "<time>": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
}


def recorded() -> Iterator[Any]:
    for file in sorted(RECORDED.glob("*.json")):
        for entry in json.loads(file.read_text()):
            yield pytest.param(entry, id=f"{file.stem}: {entry['name']}")


@pytest.fixture
def known(db: None) -> dict[str, str]:
    """What the places in requests and answers stand for."""
    definitions.forget()
    for name, alias in {"tmpl1": "tmpl 1/ü", "tmpl-1": None, "delayed": "delayed key/1"}.items():
        publish(name, {"cancellation_token": "{{data.token}}", "on_unresolved_token": "run_without_token",
                      "steps": [DELAY]}, alias=alias)  # fmt: skip
    key, text = ApiKey.objects.issue(
        environment=production(),
        name="sdk",
        scopes=("read", "invoke", "cancel"),
        created_by="test",
        signs=True,
    )
    return {
        "key": text,
        "basic": base64.b64encode(f"user:{text}".encode()).decode(),
        "workspace": key.workspace,
        "date": format_datetime(timezone.now(), usegmt=True),
        "yesterday": (timezone.now() - timedelta(days=1)).date().isoformat(),
    }


def filled_in(value: Any, known: dict[str, str]) -> Any:
    """The value with what its places stand for."""
    if isinstance(value, dict):
        return {name: filled_in(member, known) for name, member in value.items()}
    if isinstance(value, list):
        return [filled_in(member, known) for member in value]
    if not isinstance(value, str):
        return value
    return re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], found[0]), value)


def signature(request: dict[str, Any], known: dict[str, str]) -> str:
    """As SuprSend's SDKs make it."""
    digest = hashlib.md5(request["body"].encode()).hexdigest()
    sent = (request["headers"]["Content-Type"], request["headers"]["Date"], request["path"])
    message = "\n".join([request["method"], digest, *sent])
    return base64.b64encode(hmac.digest(known["key"].encode(), message.encode(), "sha256")).decode()


def same(answer: Any, expected: Any) -> Any:
    """The answer, with what may be any where it fits, so that the two compare."""
    if isinstance(answer, dict) and isinstance(expected, dict):
        return {name: same(member, expected.get(name)) for name, member in answer.items()}
    if isinstance(answer, list) and isinstance(expected, list) and len(answer) == len(expected):
        return [same(one, other) for one, other in zip(answer, expected, strict=True)]
    fits = expected in ANY if isinstance(expected, str) else False
    return expected if fits and ANY[expected].fullmatch(str(answer)) else answer


@pytest.mark.parametrize("entry", list(recorded()))
def test_a_recorded_request_has_the_answer_that_its_sdk_reads(entry: Any, known: dict[str, str]) -> None:
    automation = "tmpl-1" if "tmpl-1" in str(entry) or "{run}/steps" in str(entry) else "delayed"
    accepted = invoke(
        definition=None, automation=automation, dialect="courier", source=f"invoke/{automation}", key="ck-1",
        data={"token": "tok-1"}, recipients=["user_1"],
    )  # fmt: skip
    known["run"] = accepted.runs[0]["id"]
    request = filled_in(entry["request"], known)
    if "{signature}" in request["headers"]["Authorization"]:
        known["signature"] = signature(request, known)
        request = filled_in(entry["request"], known)
    headers = {name: text for name, text in request["headers"].items() if name.lower() != "content-type"}
    kind = next((text for name, text in request["headers"].items() if name.lower() == "content-type"), "")
    answer: Any = Client(raise_request_exception=False).generic(
        request["method"], request["path"], request.get("body", ""), content_type=kind, headers=headers
    )
    assert answer.status_code == entry["answer"]["status"], answer.content
    expected = filled_in(entry["answer"]["body"], known)
    if expected is None:
        assert answer.content == b""
    else:
        assert answer["Content-Type"] == "application/json"
        told = json.loads(answer.content)
        assert same(told, expected) == expected
    assert status(run_of_uid(known["run"])) == entry["then"]
