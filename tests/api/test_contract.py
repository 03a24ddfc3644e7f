"""Requests made up from the OpenAPI documents, sound ones and broken ones: no 5xx, and no answer outside its schema."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import UUID

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings

from automations.api.openapi import DIALECTS, document
from tests.api.conftest import Caller, decoded
from tests.letters import listed, template
from tests.notices.scene import endpoint
from tests.scenes import DELAY, cancel_runs, invoke, publish, run_of

pytestmark = pytest.mark.django_db
HEADERS = ("Idempotency-Key", "x-idempotency-expiration")
SETTINGS: Mapping[str, Any] = {
    "database": None,
    "derandomize": True,
    "deadline": None,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
}
WEBHOOK = UUID("0199d3f2-0000-7000-8000-000000000002")


@pytest.fixture
def caller(make_key: Callable[..., str]) -> Caller:
    """One who may do everything."""
    return Caller(make_key("admin"))


@pytest.fixture
def known(caller: Caller) -> Mapping[str, Any]:
    """What there is to hit, by the beginning of the address that names it."""
    publish(
        "k",
        {"cancellation_token": "refs.data.t", "on_unresolved_token": "run_without_token", "steps": [DELAY]},
    )
    accepted = invoke(automation="k", definition=None, data={"t": "tok"})
    run = run_of(accepted)
    listed("k", "u")
    template("k", body="{{data.a}}")
    endpoint(id=WEBHOOK)
    event = decoded(caller.post("/api/v1/events", {"name": "e"}))["id"]
    caller.put("/api/v1/recipients/u", {"profile": {"p": 1}})
    missed = cancel_runs(token="nobody").pk
    return {
        "runs": {"id": str(run.uid)},
        "invocations": {"id": str(accepted.invocation.uid)},
        "cancellations": {"id": str(missed)},
        "events": {"id": event},
        "webhooks": {"id": str(WEBHOOK)},
        "": {
            "key": "k", "recipient": "u", "number": "1", "template_id": "k", "run_id": str(run.uid),
            "workflow": "k", "workspace": f"ws_{caller.text.split('_')[2]}",
        },
    }  # fmt: skip


@pytest.mark.parametrize("examples", [1, pytest.param(12, marks=pytest.mark.slow)])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_whatever_is_asked_the_document_tells_of_the_answer(
    caller: Caller, known: Mapping[str, Any], dialect: str, examples: int
) -> None:
    answers: Counter[int] = Counter()
    for operation in described(dialect):
        for strategy in strategies(operation, known):

            @settings(**{**SETTINGS, "max_examples": examples})
            @given(case=strategy)
            def ask(case: Any) -> None:
                status = answered(caller, case)
                assert status < 500 or case.path == "/readyz", case
                answers[status] += 1

            ask()
    assert answers.total() >= 2 * examples * 3
    assert examples == 1 or answers[200] + answers[202] > 0


def described(dialect: str) -> Iterator[Any]:
    """The operations of its document, as the maker of requests sees them."""
    import schemathesis  # two seconds, for which no other test should wait

    schema = schemathesis.openapi.from_dict(dict(document(dialect)))
    return (found.ok() for found in schema.get_all_operations())


def strategies(operation: Any, known: Mapping[str, Any]) -> Iterator[Any]:
    """Sound requests for what there is to hit; and where anything can be broken about one, broken ones."""
    from schemathesis.generation import GenerationMode

    noun = operation.path.removeprefix("/api/v1/").split("/")[0]
    values = {**known[""], **known.get(noun, {})}
    named = {name: value for name, value in values.items() if f"{{{name}}}" in operation.path}
    yield operation.as_strategy(GenerationMode.POSITIVE, path_parameters=named)
    if operation.body or operation.query or operation.path_parameters:
        yield operation.as_strategy(GenerationMode.NEGATIVE)


def answered(caller: Caller, case: Any) -> int:
    """The status that the request got; the caller holds the answer against the document."""
    given = case.as_transport_kwargs(base_url="http://testserver")
    wanted = {
        name: given[name] for name in ("method", "url", "headers", "params", "json", "data") if name in given
    }
    request = requests.Request(**wanted).prepare()
    body = request.body or b""
    headers = {
        name.replace("-", "_"): str(request.headers[name]) for name in HEADERS if name in request.headers
    }
    sent = body if isinstance(body, bytes) else body.encode()
    return caller.send(case.method, request.path_url, sent, **headers).status_code
