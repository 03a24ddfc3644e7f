"""Journeys through Courier's own Python package, unmodified, against the running product."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import courier
import httpx
import pytest
from courier import Courier

from tests.live import Product

NODES: Any = [
    {"type": "trigger", "trigger_type": "api-invoke"},
    {"type": "delay", "mode": "duration", "duration": "PT1H", "conditions": ["data.plan", "is equal", "pro"]},
    {"type": "send", "message": {"content": {"title": "Hi", "body": "Hello {{data.name}}"}}},
]
TOKEN = "order-{{data.order_id}}"


@pytest.fixture(scope="module")
def client(product: Product) -> Iterator[Courier]:
    """The vendor's client; only its address and its key are ours."""
    with Courier(base_url=product.url, api_key=product.key("read,invoke,cancel,write")) as client:
        yield client


@pytest.fixture
def native(product: Product) -> httpx.Client:
    """The native API, to see what became of what the package did."""
    return product.http


@pytest.fixture
def journey(client: Courier) -> str:
    """The id of a published journey."""
    return client.journeys.create(name="Welcome", nodes=NODES, cancelation_token=TOKEN, state="PUBLISHED").id


def test_a_journey_is_written_read_and_archived(client: Courier) -> None:
    made = client.journeys.create(name="Welcome", nodes=NODES, cancelation_token=TOKEN)
    assert (made.state, made.enabled, made.cancelation_token, made.published) == ("DRAFT", True, TOKEN, None)
    assert [type(node).__name__ for node in made.nodes] == [
        "JourneyAPIInvokeTriggerNode", "JourneyDelayDurationNode", "JourneySendNode",
    ]  # fmt: skip
    delay: Any = made.nodes[1]
    assert (delay.id, delay.conditions) == ("delay-1", ["data.plan", "is equal", "pro"])
    replaced = client.journeys.replace(made.id, name="Second", nodes=NODES[:2])
    assert (replaced.name, replaced.cancelation_token, len(replaced.nodes)) == ("Second", TOKEN, 2)
    assert client.journeys.publish(made.id).state == "PUBLISHED"
    client.journeys.replace(made.id, name="Third", nodes=NODES, state="PUBLISHED")
    back = client.journeys.publish(made.id, version="v1")
    assert len(back.nodes) == 2
    assert len(client.journeys.retrieve(made.id, version="draft").nodes) == 3
    versions = client.journeys.list_versions(made.id)
    assert [row.version for row in versions.results] == ["v3", "v2", "v1"]
    assert versions.paging.more is False
    client.journeys.archive(made.id)
    with pytest.raises(courier.NotFoundError) as gone:
        client.journeys.retrieve(made.id)
    assert gone.value.body == {"message": "Automation not found", "type": "invalid_request_error"}


def test_templates_are_listed_on_both_surfaces(client: Courier, journey: str) -> None:
    for listed in (client.journeys.list(), client.automations.list(version="published")):
        newest = (listed.templates or [])[0]
        assert (newest.id, newest.name, newest.version) == (journey, "Welcome", "published")
        assert newest.created_at is not None
        assert newest.updated_at is not None


def test_a_run_is_started_seen_called_off_and_seen_again(
    client: Courier, journey: str, native: httpx.Client
) -> None:
    order = uuid4().hex
    data: dict[str, object] = {"order_id": order, "plan": "pro", "name": "Ana"}
    run_id = client.journeys.invoke(journey, user_id="u1", data=data).run_id
    listed = client.journeys.runs.list(template_id=journey)
    assert [(run.run_id, run.status, run.source) for run in listed.runs] == [
        (run_id, "WAITING", [f"invoke/{journey}"])
    ]
    answer: Any = client.journeys.cancel(cancelation_token=f"order-{order}")
    assert answer.cancelation_token == f"order-{order}"
    run = client.journeys.runs.retrieve(run_id).run
    assert (run.status, run.template_id) == ("CANCELED", journey)
    steps = client.journeys.runs.list_steps(run_id).steps
    assert [(step.node_id, step.status) for step in steps] == [
        ("delay-1", "CANCELED"),
        ("send-2", "CANCELED"),
    ]
    later = client.journeys.invoke(journey, user_id="u1", data=data).run_id
    assert client.journeys.runs.retrieve(later).run.status == "WAITING"
    assert native.get(f"runs/{run_id}").json()["recipient"] == "u1"


def test_pages_lead_forwards_and_backwards(client: Courier, journey: str) -> None:
    ids = [client.journeys.invoke(journey, data={"order_id": str(n)}).run_id for n in range(3)]
    first = client.journeys.runs.list(template_id=journey, limit="2")
    assert ([run.run_id for run in first.runs], first.prev_cursor) == ([ids[2], ids[1]], None)
    assert first.next_cursor is not None
    last = client.journeys.runs.list(template_id=journey, limit="2", cursor=first.next_cursor)
    assert ([run.run_id for run in last.runs], last.next_cursor) == ([ids[0]], None)
    assert last.prev_cursor is not None
    back = client.journeys.runs.list(template_id=journey, limit="2", cursor=last.prev_cursor)
    assert [run.run_id for run in back.runs] == [ids[2], ids[1]]


def test_neither_surface_shows_the_others_runs(client: Courier, journey: str) -> None:
    of_journey = client.journeys.invoke(journey, data={"order_id": "1"}).run_id
    of_automation = client.automations.invoke.invoke_by_template(
        journey, recipient="u", data={"order_id": "2"}
    ).run_id
    listed = client.automations.runs.list(template_id=journey)
    assert [run.run_id for run in listed.runs] == [of_automation]
    for call in (client.journeys.runs.retrieve, client.journeys.runs.list_steps):
        with pytest.raises(courier.NotFoundError):
            call(of_automation)
    with pytest.raises(courier.NotFoundError):
        client.automations.runs.list_steps(of_journey)


def test_a_repeated_request_is_the_first_one(client: Courier, journey: str) -> None:
    key = uuid4().hex
    data: dict[str, object] = {"order_id": key}
    runs = {
        client.journeys.invoke(
            journey, data=data, idempotency_key=key, x_idempotency_expiration="2099-01-01"
        ).run_id
        for _ in range(2)
    }
    made = {client.journeys.create(name="Once", nodes=NODES, idempotency_key=key).id for _ in range(2)}
    assert (len(runs), len(made)) == (1, 1)


def test_what_goes_wrong_arrives_as_the_packages_own_errors(client: Courier, product: Product) -> None:
    nodes: Any = [
        NODES[0],
        {"type": "fetch", "method": "get", "url": "https://x.y/", "merge_strategy": "none"},
    ]
    with pytest.raises(courier.BadRequestError) as refused:
        client.journeys.create(name="Fetch", nodes=nodes)
    assert "a node of type “fetch” is not supported yet" in str(refused.value.body)
    assert "(/nodes/1/type)" in str(refused.value.body)
    with pytest.raises(courier.NotFoundError):
        client.journeys.invoke("nobody")
    with pytest.raises(courier.AuthenticationError) as unknown:
        client.with_options(api_key="wrong").journeys.list()
    assert unknown.value.body == {"message": "Unauthorized", "type": "authentication_error"}
    with pytest.raises(courier.PermissionDeniedError):
        client.with_options(api_key=product.key("read")).journeys.create(name="n", nodes=NODES)
