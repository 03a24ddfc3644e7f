"""Deliveries to a real receiver: signed, repeated with the same id, logged, given up."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from automations import execution
from automations.channels import signing
from automations.models import TEST_EVENT, WebhookDelivery, WebhookEndpoint, database_now, first_uid, seal
from automations.notices import delivery, endpoints
from tests.channels.sinks import HttpSink, Received, reply
from tests.notices.scene import SECRET, deliver_all, endpoint, make_due, secrets_of
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    finish,
    invoke,
    production,
    publish,
    run_of,
    start,
    work_off,
)

pytestmark = pytest.mark.django_db
CANCEL: dict[str, Any] = {"action": "cancel", "cancellation_token": "nobody"}


def verified(received: Received, secret: str = SECRET) -> Any:
    """The body, its signature checked as the specification has it and not as we do."""
    headers = received.headers
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + received.body
    digest = hmac.new(base64.b64decode(secret[6:]), content, hashlib.sha256).digest()
    assert f"v1,{base64.b64encode(digest).decode()}" in headers["webhook-signature"].split(" ")
    return json.loads(received.body)


def only() -> WebhookDelivery:
    return WebhookDelivery.objects.get()


def test_a_completed_run_is_told_with_its_facts(sink: HttpSink) -> None:
    told = endpoint(url=sink.url("/hook"))
    publish("welcome", {"cancellation_token": "refs.data.id", "steps": [SEND]})
    accepted = invoke(
        automation="welcome", definition=None, data={"id": "t-1"}, recipients=["ana"], key="k-1"
    )
    work_off()
    assert deliver_all() == 1
    run = run_of(accepted)
    (received,) = sink.received
    assert received.path == "/hook"
    assert received.headers["content-type"] == "application/json"
    assert verified(received) == {
        "type": "run.completed",
        "timestamp": stamp(only().at),
        "data": {
            "environment": "production",
            "run": {
                "id": str(run.uid), "invocation": str(accepted.invocation.uid), "automation": "welcome",
                "version": 1, "source": "api/test", "recipient": "ana", "cancellation_token": "t-1",
                "cancellation_key": "k-1", "status": "completed", "status_reason": run.status_reason or None,
                "has_errors": False, "created_at": stamp(run.created_at), "finished_at": stamp(run.finished_at),
            },
            "cancellation": None,
        },
    }  # fmt: skip
    row = only()
    assert (row.endpoint, row.status, row.attempts, row.next_attempt_at) == (told, "delivered", 1, None)
    assert received.headers["webhook-id"] == str(row.pk)
    ((entry, milliseconds),) = [({**line}, line["milliseconds"]) for line in row.log]
    assert (entry["attempt"], entry["status"], entry["error"], entry["answer"]) == (1, 200, None, "ok")
    assert 0 <= milliseconds < 15_000
    assert deliver_all() == 0


def stamp(moment: Any) -> str:
    return str(moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"))


def test_a_cancelled_run_is_told_with_the_facts_of_its_receipt(sink: HttpSink) -> None:
    endpoint(url=sink.url())
    never_started = run_of(invoke(DELAY, token="t"))
    under_way = run_of(invoke(SEND, SEND, token="t"))
    tasks = start()
    receipt = cancel_runs(token="t", reason="the order is void")
    finish(*[execution.perform(task) for task in tasks])
    archive_all()
    assert deliver_all() == 2
    told = {body["data"]["run"]["id"]: body for body in map(verified, sink.received)}
    for run in (never_started, under_way):
        body = told[str(run.uid)]
        assert (body["type"], body["timestamp"]) == ("run.cancelled", stamp(receipt.as_of))
        shown = body["data"]["run"]
        assert (shown["status"], shown["status_reason"]) == ("cancelled", "cancel_request")
        assert shown["finished_at"] == stamp(receipt.as_of)
    facts = {
        "id": str(receipt.pk), "as_of": stamp(receipt.as_of), "actor": "user/ana", "origin": "api",
        "reason": "the order is void", "in_flight": [],
    }  # fmt: skip
    assert told[str(never_started.uid)]["data"]["cancellation"] == facts
    (entry,) = told[str(under_way.uid)]["data"]["cancellation"]["in_flight"]
    assert (entry["step"], entry["action"], entry["attempt"]) == ("0", "send", 1)
    assert entry["started_at"] == stamp(tasks[0].claim.started_at)


def test_every_attempt_sends_the_same_bytes_under_the_same_id(sink: HttpSink) -> None:
    sink.behaviours["/"] = reply(500, b"not now")
    endpoint(url=sink.url())
    invoke(CANCEL)
    for _ in range(3):
        assert deliver_all() == 1
        assert deliver_all() == 0  # not before its time
        make_due()
    assert len({received.body for received in sink.received}) == 1
    assert {received.headers["webhook-id"] for received in sink.received} == {str(only().pk)}
    for received in sink.received:
        verified(received)
    log = only().log
    assert [line["attempt"] for line in log] == [1, 2, 3]
    assert {(line["status"], line["error"], line["answer"]) for line in log} == {
        (500, "it answered 500", "not now")
    }


def test_the_pauses_are_those_of_the_schedule_and_then_it_is_given_up(sink: HttpSink) -> None:
    sink.behaviours["/"] = reply(503)
    endpoint(url=sink.url())
    invoke(CANCEL)
    pauses = []
    while only().next_attempt_at is not None:
        make_due()
        before = database_now()
        assert deliver_all() == 1
        row = only()
        if row.next_attempt_at is not None:
            assert row.status == "pending"
            pauses.append(row.next_attempt_at - before)
    assert [
        wanted <= pause <= wanted * 1.1 + timedelta(seconds=5)
        for wanted, pause in zip(delivery.PAUSES, pauses, strict=True)
    ] == [True] * 9
    assert (only().status, only().attempts, len(sink.received)) == ("failed", 10, 10)


def test_an_endpoint_that_failed_for_three_days_is_disabled_and_what_it_is_owed_waits(sink: HttpSink) -> None:
    sink.behaviours["/"] = reply(500)
    told = endpoint(url=sink.url())
    invoke(CANCEL)
    deliver_all()
    told.refresh_from_db()
    assert (told.failing_since is None, told.disabled_at is None) == (False, True)
    WebhookEndpoint.objects.update(failing_since=database_now() - timedelta(days=3, seconds=1))
    make_due()
    deliver_all()
    told.refresh_from_db()
    assert told.disabled_at is not None
    assert told.disabled_reason == "every attempt failed for 3 days; the last one: it answered 500"
    make_due()
    assert deliver_all() == 0
    sink.behaviours["/"] = reply(200)
    endpoints.change(environment=production(), uid=told.pk, changes={"disabled": False}, by="test")
    assert deliver_all() == 1
    told.refresh_from_db()
    assert (told.failing_since, told.disabled_reason, only().status) == (None, "", "delivered")


def test_one_success_ends_the_failing(sink: HttpSink) -> None:
    told = endpoint(url=sink.url(), failing_since=database_now() - timedelta(days=10))
    invoke(CANCEL)
    deliver_all()
    told.refresh_from_db()
    assert (told.failing_since, told.disabled_at) == (None, None)


def test_an_endpoint_that_is_gone_is_disabled_at_once(sink: HttpSink) -> None:
    sink.behaviours["/"] = reply(410)
    told = endpoint(url=sink.url())
    invoke(CANCEL)
    deliver_all()
    told.refresh_from_db()
    assert told.disabled_at is not None
    assert told.disabled_reason == "it answered 410 Gone"


def test_while_a_secret_is_rolled_both_sign_and_then_the_new_one_alone(sink: HttpSink) -> None:
    told = endpoint(url=sink.url())
    _, new = endpoints.roll(environment=production(), uid=told.pk, by="test")
    invoke(CANCEL)
    deliver_all()
    (received,) = sink.received
    assert verified(received, SECRET) == verified(received, new)
    assert len(received.headers["webhook-signature"].split(" ")) == 2
    past = (database_now() - timedelta(seconds=1)).isoformat()
    WebhookEndpoint.objects.update(
        secrets=[{"secret": seal(new), "until": None}, {"secret": seal(SECRET), "until": past}]
    )
    invoke(CANCEL)
    deliver_all()
    alone = sink.received[-1].headers["webhook-signature"]
    assert len(alone.split(" ")) == 1
    verified(sink.received[-1], new)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:8000/", "is not on the public internet"),
        ("http://localhost/", "is not on the public internet"),
        ("http://name.invalid/", "does not resolve"),
    ],
)
def test_what_may_not_be_reached_or_is_not_there_is_a_failed_attempt(
    settings: Any, url: str, said: str
) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = ()
    endpoint(url=url)
    invoke(CANCEL)
    assert deliver_all() == 1
    (line,) = only().log
    assert line["status"] is None
    assert said in line["error"]
    assert only().status == "pending"


def test_redirects_are_not_followed(sink: HttpSink) -> None:
    sink.behaviours["/"] = reply(302, Location=sink.url("/elsewhere"))
    endpoint(url=sink.url())
    invoke(CANCEL)
    deliver_all()
    assert [received.path for received in sink.received] == ["/"]
    assert only().log[0]["error"] == "it answered 302"


def test_an_attempt_ends_at_its_deadline(sink: HttpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "DEADLINE_SECONDS", 0.2)
    sink.behaviours["/"] = sink.drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")
    endpoint(url=sink.url())
    invoke(CANCEL)
    deliver_all()
    (line,) = only().log
    assert line["error"] == "127.0.0.1 did not answer in time"
    assert 150 < line["milliseconds"] < 2000


def test_a_lost_deliverer_is_logged_and_its_late_answer_changes_nothing(sink: HttpSink) -> None:
    endpoint(url=sink.url())
    invoke(CANCEL)
    (lost,) = delivery.claim(most=1, busy={})
    assert delivery.claim(most=1, busy={}) == []
    past = database_now() - timedelta(seconds=1)
    WebhookDelivery.objects.update(lease_until=past, next_attempt_at=past)
    (again,) = delivery.claim(most=1, busy={})
    delivery.note(delivery.send(lost))
    assert (only().status, only().log) == ("pending", [])
    delivery.note(delivery.send(again))
    assert only().status == "delivered"
    assert [(line["attempt"], line["status"]) for line in only().log] == [(1, None), (2, 200)]
    assert only().log[0]["error"].startswith("its worker was lost")


def test_what_was_held_up_past_its_lease_is_not_sent(sink: HttpSink) -> None:
    endpoint(url=sink.url())
    invoke(CANCEL)
    (parcel,) = delivery.claim(most=1, busy={})
    late = delivery.Parcel(**{**vars(parcel), "claimed": parcel.claimed - 46})
    answered = delivery.send(late)
    assert answered.error == "it was held up for too long to be sent"
    assert sink.received == []


def test_one_endpoint_never_takes_every_place(sink: HttpSink) -> None:
    slow, quick = endpoint("run.completed", url=sink.url()), endpoint("run.failed", url=sink.url())
    invoke(CANCEL, recipients=[f"r{n}" for n in range(20)])
    invoke({"action": "delay", "duration": "refs.data.nothing"})
    parcels = delivery.claim(most=16, busy={slow.pk: 3})
    by_endpoint = [parcel.endpoint_id for parcel in parcels]
    assert (by_endpoint.count(slow.pk), by_endpoint.count(quick.pk)) == (delivery.AT_ONCE - 3, 1)
    assert delivery.claim(most=0, busy={}) == []


def test_a_delivery_is_asked_for_again_by_hand(sink: HttpSink) -> None:
    told = endpoint(url=sink.url())
    invoke(CANCEL)
    deliver_all()
    row = endpoints.retry(environment=production(), uid=told.pk, delivery=only().pk)
    assert (row.status, row.attempts) == ("pending", 1)
    assert deliver_all() == 1
    assert (only().status, only().attempts, len(sink.received)) == ("delivered", 2, 2)
    assert len({received.headers["webhook-id"] for received in sink.received}) == 1


def test_one_that_is_being_attempted_is_left_to_that_attempt(sink: HttpSink) -> None:
    told = endpoint(url=sink.url())
    invoke(CANCEL)
    (parcel,) = delivery.claim(most=1, busy={})
    endpoints.retry(environment=production(), uid=told.pk, delivery=only().pk)
    assert deliver_all() == 0
    delivery.note(delivery.send(parcel))
    assert (only().status, len(sink.received)) == ("delivered", 1)


def test_a_test_is_delivered_like_anything_else(sink: HttpSink) -> None:
    told = endpoint(url=sink.url())
    endpoints.test(environment=production(), uid=told.pk)
    deliver_all()
    (received,) = sink.received
    body = verified(received)
    assert (body["type"], body["data"]) == (TEST_EVENT, {"endpoint": str(told.pk)})
    assert only().status == "delivered"


def test_what_was_over_a_month_ago_is_forgotten_unless_it_is_pending() -> None:
    told, now = endpoint(), database_now()
    kept = []
    for number, (days, due) in enumerate(((31, None), (31, now), (29, None), (0, now))):
        at = now - timedelta(days=days)
        fields = {"endpoint": told, "event": TEST_EVENT, "at": at, "next_attempt_at": due}
        row = WebhookDelivery.objects.create(id=UUID(int=first_uid(at).int + number), **fields)
        kept += [row.pk] if (days, due) != (31, None) else []
    execution.tidy()
    assert set(WebhookDelivery.objects.values_list("pk", flat=True)) == set(kept)


def test_a_secret_is_sealed_where_it_is_stored() -> None:
    told, secret = endpoints.create(
        environment=production(), url="https://example.com/", events=["run.failed"], description="", by="test"
    )
    assert not any(secret in entry["secret"] for entry in told.secrets)
    assert secrets_of(told, at=database_now()) == [secret]
    assert secret.startswith(signing.PREFIX)
