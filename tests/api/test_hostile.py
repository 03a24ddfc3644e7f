"""Hostile values in every place of every request: whatever they are, the answer is a clear no, or they are data."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from django.db import transaction

from automations.api.shapes import dialect_of
from tests.api.conftest import Caller
from tests.api.test_authentication import CALLS
from tests.letters import listed, template
from tests.notices.scene import endpoint
from tests.scenes import DELAY, cancel_runs, invoke, publish, run_of

pytestmark = pytest.mark.django_db
# Of the cases in their places, the tests take one of so many by default: each case and each place is among them, and
# which case is in which place differs from address to address.
SHARES = 10
REST = pytest.param(range(1, SHARES), marks=pytest.mark.slow, id="the rest")
in_shares = pytest.mark.parametrize("shares", [pytest.param((0,), id="a share"), REST])

TEXTS = [
    "", " ", "\0", "a\nb", "\u0080", "\ufeff", "\U0001f600", "'; DROP TABLE automations_run; --", "%",
    "_", "\\", "%(x)s", "{{data}}", "${1/0}", "refs.", "../x", "a/b", "%00", "undefined", "-1",
    "9" * 40, "0001-01-01", "9999-12-31T23:59:59-14:00", "x" * 3000, "٣",
    "0199d3f2-0000-7000-8000-000000000001",
]  # fmt: skip
VALUES: list[Any] = [
    *TEXTS, None, True, 0, 2**31, 2**64, 1e308, [], {}, [None], [{}], {"": ""}, {"id": []}, {"$ref": "data.x"},
]  # fmt: skip
WEBHOOK = "/api/v1/webhooks/0199d3f2-0000-7000-8000-000000000002"
# Each of them an invocation of its own.
STEPS: list[dict[str, Any]] = [
    {"id": "i", "action": "delay", "duration": "1 hour", "if": "true", "ref": "r"},
    {"action": "delay", "until": "2026-11-20T00:00:00Z"},
    {"action": "cancel", "cancellation_token": "x", "include_self": False, "reason": "r"},
    {
        "action": "cancel",
        "filter": {"token": "x", "recipients": ["r"], "created_after": "2026-11-20T00:00:00Z"},
        "reason": "{{data.t}}",
        "hold_for": "1 minute",
        "undo_for": "1 minute",
    },
    {"action": "cancel", "run_id": "0199d3f2-0000-7000-8000-000000000001"},
    {
        "action": "invoke",
        "template": "k",
        "data": {"a": "{{data.t}}"},
        "recipient": "u",
        "wait": True,
        "on_parent_cancel": "leave",
        "context": {"profile": {"p": 1}},
    },
    {
        "action": "send",
        "template": "t",
        "recipient": "refs.data.t",
        "data": {"a": "b"},
        "profile": {"email": "e"},
        "override": {"title": "t"},
    },
    {"action": "send", "message": {"template": "t", "to": {"user_id": "u"}, "channel": "email"}},
    {
        "action": "send",
        "message": {
            "content": {"body": "b"},
            "to": {"apprise": {"provider": "p", "target": "t"}},
        },
    },
    {"action": "send-list", "list": "l", "template": "t", "data": {"a": "b"}},
    {
        "action": "send",
        "message": {"content": {"title": "t", "body": "b"}, "channel": "console"},
        "timeout": "1 second",
        "retry": {"max_attempts": 2, "backoff": "fixed", "interval": "1 second"},
    },
]
BODIES: dict[str, Any] = {
    "/api/v1/automations": {
        "key": "fresh",
        "alias": "a",
        "name": "n",
        "description": "d",
        "definition": {"steps": [DELAY]},
    },
    "/api/v1/automations/k/draft": {"definition": {"steps": [DELAY]}, "revision": 1},
    "/api/v1/automations/k/publish": {"note": "n", "running": "cancel", "dry_run": True},
    "/api/v1/automations/k/publish?": {"running": "cancel"},
    "/api/v1/automations/k/disable": {"mode": "drain", "reason": "r"},
    "/api/v1/automations/k/disable?": {"mode": "hold", "dry_run": True},
    "/api/v1/automations/k/disable?a": {"mode": "cancel"},
    "/api/v1/automations/k/enable": {"overdue": "skip", "dry_run": True},
    "/api/v1/automations/k/preview-token": {"expression": "refs.data.x", "data": {"x": "y"}, "profile": {}},
    "/api/v1/preview-token": {"expression": "refs.data.x", "data": {"x": "y"}, "profile": {"p": 1}},
    "/api/v1/invocations": {
        "definition": {
            "cancellation_token": "refs.data.t",
            "on_unresolved_token": "reject",
            "name": "n",
            "cancel_on": [
                {"event": "e", "if": "event.data.x", "match": "data.t", "within": "1 day", "reason": "r"}
            ],
            "concurrency": {"key": "refs.data.t", "policy": "cancel_previous"},
            "on_cancel": {"invoke": "k"},
            "steps": [DELAY],
        },
        "recipients": ["u", {"id": "v", "p": 1}],
        "data": {"t": "tok"},
        "profile": {"p": "q"},
        "cancellation_key": "k",
        "source": "s",
        "tags": ["t"],
    },
    "/api/v1/cancellations": {
        "filter": {"token": "t", "key": "k", "run_ids": ["0199d3f2-0000-7000-8000-000000000001"]},
        "reason": "r",
        "undo_for": "1 minute",
    },
    "/api/v1/cancellations?": {"filter": {"token": "held", "tags": ["t"]}, "hold_for": "1 hour"},
    "/api/v1/cancellations?wait=0": {
        "filter": {"token": "t"},
        "at": "2027-01-01T00:00:00Z",
        "undo_for": "1 minute",
    },
    "/api/v1/cancellations/{missed}/undo": {"overdue": "shift"},
    "/api/v1/events": {"name": "e", "data": {"x": 1, "t": "tok"}, "recipient": "u"},
    "/api/v1/webhooks": {"url": "https://example.com/", "events": ["run.failed"], "description": "d"},
    WEBHOOK: {"url": "https://example.com/", "events": ["run.failed"], "description": "d", "disabled": False},
    "/api/v1/runs/{waiting}/reschedule": {"due_at": "2026-11-20T00:00:00Z"},
    "/api/v1/runs/{waiting}/reschedule?": {"in": "1 hour"},
    "/api/v1/runs/{finished}/replay": {"from_step": "0", "data": {"a": 1}},
    "/automations/invoke": {
        "automation": {
            "cancelation_token": "t",
            "steps": [{"action": "cancel", "cancelation_token": "x"}, {"action": "send", "template": "T"}],
        },
        "data": {"a": 1},
        "profile": {"p": 1},
        "recipient": "u",
        "brand": "b",
        "template": "t",
    },
    "/api/v1/recipients/u": {"profile": {"p": 1}},
    "/api/v1/lists/l": {"name": "n", "members": ["u"]},
    "/api/v1/lists/k": {"name": "n", "add": ["u"], "remove": ["v"]},
    "/api/v1/message-templates": {
        "key": "new",
        "name": "n",
        "title": "t",
        "channels": {"email": {"body": "b"}},
    },
    "/api/v1/message-templates/t": {"name": "n", "body": "b"},
    "/api/v1/message-templates/k/preview": {"data": {"a": 1}, "profile": {"p": 1}, "channel": "email"},
    "/api/v1/providers": {"key": "p", "kind": "apprise", "url": "discord://1/2"},
    "/automations/k/invoke": {"recipient": "u", "data": {"a": 1}, "profile": {"p": 1}},
    "/journeys/k/invoke": {"user_id": "u", "data": {"t": "tok"}, "profile": {"userId": "v"}},
    "/journeys/k/publish": {"version": "v1"},
    "/journeys": {
        "name": "n",
        "cancelation_token": "order-{{data.t}}",
        "enabled": True,
        "state": "PUBLISHED",
        "nodes": [
            {"type": "trigger", "trigger_type": "api-invoke", "id": "t", "schema": {"type": "object"}},
            {"type": "delay", "mode": "duration", "duration": "PT1H", "id": "nap", "if": "true"},
            {
                "type": "send",
                "channel": "email",
                "conditions": {"OR": [{"AND": [["data.x", "is equal", "y"], ["data.z", "exists"]]}]},
                "message": {
                    "content": {"title": "t", "body": "b"},
                    "to": {"email_override": "{{profile.email}}"},
                },
            },
            {"type": "cancel", "cancelation_token": "x"},
        ],
    },
    "/journeys/k": {"name": "n", "nodes": [{"type": "delay", "duration": "PT1H"}]},
    "/journeys/cancel": {"cancelation_token": "t"},
    "/v1/workflows/k/trigger": {
        "recipients": ["u", {"id": "v", "collection": "c", "email": "e"}],
        "actor": {"id": "a"},
        "tenant": {"id": "t"},
        "cancellation_key": "ck",
        "settings": {"skip_delay": False, "sandbox_mode": False},
        "data": {"t": "tok"},
    },
    "/v1/workflows/k/cancel": {"cancellation_key": "ck", "recipients": ["u", {"id": "v", "collection": "c"}]},
    "/v1/notify": {"name": "k", "recipients": ["u"], "cancelation_key": "ck", "data": {"t": "tok"}},
    "/v1/notify/cancel": {"name": "k", "cancelation_key": "ck", "recipients": None},
    "/trigger/": {
        "workflow": "k",
        "recipients": ["u", {"distinct_id": "v", "$email": ["a@b.c"], "$sms": "+1", "is_transient": True}],
        "actor": "a",
        "tenant_id": "t",
        "$idempotency_key": "i",
        "cancellation_key": "ck",
        "data": {"t": "tok"},
    },
    "/trigger": [{"workflow": "k", "recipients": [{"$email": "a@b.c"}], "data": {"t": "tok"}}],
    "/v1/workflow_run/cancel/": {
        "execution_id": "0199d3f2-0000-7000-8000-000000000001",
        "recipients": ["u", "a@b.c"],
        "idempotency_key": "i",
        "workflow_slug": "k",
        "tenant_id": "t",
        "cancellation_key": "ck",
    },
    "{workspace}/trigger/": {
        "name": "n",
        "template": "T",
        "notification_category": "c",
        "delay": "1d2h",
        "users": [{"distinct_id": "u", "$email": ["a@b.c"]}],
        "data": {"a": 1},
    },
    "{workspace}/trigger/?1": {"name": "n", "template": "T", "trigger_at": "2026-11-20", "users": ["u"]},
}
BODIES |= {
    f"/api/v1/invocations?{number}": {"definition": {"steps": [step]}, "data": {"t": "tok"}}
    for number, step in enumerate(STEPS)
}
METHODS = {
    "/api/v1/automations/k/draft": "PUT", WEBHOOK: "PATCH", "/api/v1/recipients/u": "PUT",
    "/journeys/k": "PUT", "/api/v1/lists/l": "PUT", "/api/v1/lists/k": "PATCH", "/api/v1/message-templates/t": "PUT",
}  # fmt: skip
PAGING = ["limit", "cursor"]
RUNS = [*PAGING, "status", "automation", "source", "token", "key", "recipient", "invocation", "id"]
RUNS += ["parent", "created_after", "created_before", "due_before"]
PARAMETERS = {
    "/api/v1/automations": PAGING,
    "/api/v1/automations/k/versions": PAGING,
    "/api/v1/runs": RUNS,
    "/api/v1/cancellations": PAGING,
    "/api/v1/events": PAGING,
    "/api/v1/recipients": [*PAGING, "id"],
    "/api/v1/lists": PAGING,
    "/api/v1/message-templates": PAGING,
    "/api/v1/providers": PAGING,
    "/api/v1/webhooks": PAGING,
    f"{WEBHOOK}/deliveries": PAGING,
    "/api/v1/runs/{waiting}/explain-cancel": ["cancellation"],
    "/api/v1/cancellations/{missed}/near-misses": ["cancellation"],
    "/automations": ["cursor", "version"],
    "/automations/runs": [*PAGING, "status", "template_id", "start_date", "end_date"],
    "/journeys": ["cursor", "version"],
    "/journeys/k": ["version"],
    "/journeys/k/versions": ["cursor"],
    "/journeys/runs": [*PAGING, "status", "template_id", "start_date", "end_date"],
    "/v1/workflow_recipient_runs": [
        *("after", "before", "page_size", "workflow", "tenant", "has_errors", "starting_at", "ending_at"),
        *("status[]", "status", "recipient", "recipient[id]", "recipient[collection]"),
    ],
}
# What every address does with its headers is the same; these do most with what follows.
HEADED = [
    "/api/v1/invocations", "/api/v1/cancellations", "/api/v1/events", "/api/v1/runs/{finished}/replay",
    "/automations/invoke", "/journeys/k/invoke", "/journeys", "/journeys/cancel", "/v1/workflows/k/trigger",
    "/trigger/",
]  # fmt: skip
HEADERS = [
    "Authorization", "Idempotency_Key", "X_Request_ID", "Accept", "Content_Type",
    "x_idempotency_expiration", "Date", "X_Forwarded_Prefix",
]  # fmt: skip
HEADER_TEXTS = [
    "", " ", "\0", "é", "Bearer", "Bearer \0", "x" * 9000, "9" * 400, "ws_AbCd1234:x",
    "multipart/form-data; boundary=x",
]  # fmt: skip


def changed(value: Any, replacement: Any) -> Iterator[Any]:
    """The value with each of its parts in turn replaced, itself first; and with a member of a hostile name."""
    yield replacement
    if isinstance(value, dict):
        for name, member in value.items():
            yield from ({**value, name: part} for part in changed(member, replacement))
        if isinstance(replacement, str):
            yield {**value, replacement: 1}
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from ([*value[:index], part, *value[index + 1 :]] for part in changed(member, replacement))


def shared(
    shares: Container[int], cases: Iterable[Any], places: Callable[[Any], Iterable[Any]], *, of: str
) -> Iterator[Any]:
    """Each case in each of its places, as far as that is in these shares of this address."""
    for number, case in enumerate(cases, start=len(of)):
        for place, placed in enumerate(places(case)):
            if (number + place) % SHARES in shares:
                yield placed


def check(response: Any, told: object) -> None:
    """Not a fault of ours, and JSON."""
    assert response.status_code < 500, (told, response.content)
    if response.status_code == 204:
        assert response.content == b"", told
        return
    assert response["Content-Type"] in ("application/json", "application/problem+json"), told
    json.loads(response.content)


@pytest.fixture
def world(make_key: Callable[..., str]) -> Caller:
    """A caller who may do everything, with something there to hit."""
    publish(
        "k",
        {"cancellation_token": "refs.data.t", "on_unresolved_token": "run_without_token", "steps": [DELAY]},
    )
    rule = {"event": "e", "match": "data.t", "if": "event.data.x > data.x"}
    invoke(definition={"cancel_on": [rule], "steps": [DELAY]}, data={"x": 2, "t": "tok"})
    invoke(DELAY, token="t")
    cancel_runs(token="nobody")
    listed("k", "u")
    for key in ("k", "t"):
        template(key, body="{{data.a}}")
    endpoint(id=UUID(WEBHOOK.rpartition("/")[2]))
    return Caller(make_key("admin"))


@pytest.fixture
def known(world: Caller) -> dict[str, object]:
    """What may stand in braces in an address."""
    waiting, finished = (run_of(invoke(DELAY, token="t")) for _ in range(2))
    cancel_runs(run_pks=(finished.pk,))
    workspace = f"/ws_{world.text.split('_')[2]}"
    missed = cancel_runs(token="nobody").pk
    return {"waiting": waiting.uid, "finished": finished.uid, "missed": missed, "workspace": workspace}


def test_the_bodies_are_accepted_as_they_are(world: Caller, known: dict[str, object]) -> None:
    """Else what replaces a part of one would never get any further."""
    refused = {}
    for path, body in BODIES.items():
        with transaction.atomic():
            response = world.send(METHODS.get(path, "POST"), path.format(**known), json.dumps(body).encode())
            transaction.set_rollback(True)
        if response.status_code >= 300:
            refused[path] = response.content
    assert refused == {}


@in_shares
@pytest.mark.parametrize("path", BODIES)
def test_no_value_in_a_body_is_our_undoing(
    world: Caller, known: dict[str, object], path: str, shares: Container[int]
) -> None:
    method = METHODS.get(path, "POST")
    address = path.format(**known)
    for body in shared(shares, VALUES, lambda value: changed(BODIES[path], value), of=path):
        check(world.send(method, address, json.dumps(body).encode()), body)


@in_shares
@pytest.mark.parametrize("path", PARAMETERS)
def test_no_parameter_is_our_undoing(
    world: Caller, known: dict[str, object], path: str, shares: Container[int]
) -> None:
    address, names = path.format(**known), PARAMETERS[path]
    for query in shared(shares, TEXTS, lambda text: [f"{name}={quote(text)}" for name in names], of=path):
        check(world.send("GET", f"{address}?{query}"), query)
    check(world.send("GET", f"{address}?%FF=%FF&" + "&".join(f"p{n}=1" for n in range(2000))), "two thousand")


@in_shares
@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for method, path, _ in CALLS if "compat" not in path]
)
def test_no_part_of_an_address_is_our_undoing(
    world: Caller, method: str, path: str, shares: Container[int]
) -> None:
    parts = path.split("/")

    def with_it(text: str) -> Iterator[str]:
        for index in range(2, len(parts)):
            yield "/".join([*parts[:index], quote(text, safe=""), *parts[index + 1 :]])

    for address in shared(shares, TEXTS, with_it, of=path):
        response = world.send(method, address, b"{}")
        if dialect_of(address) is not None:
            check(response, address)


@in_shares
@pytest.mark.parametrize("path", HEADED)
def test_no_header_is_our_undoing(
    world: Caller, known: dict[str, object], path: str, shares: Container[int]
) -> None:
    body, address = json.dumps(BODIES[path]).encode(), path.format(**known)
    for header in shared(shares, HEADER_TEXTS, lambda text: [{name: text} for name in HEADERS], of=path):
        check(world.send("POST", address, body, **header), header)
