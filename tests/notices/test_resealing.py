"""Secrets of endpoints under keys that come and go."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from automations import execution
from automations.models import WebhookDelivery, database_now, seal
from automations.notices import endpoints
from tests.channels.sinks import HttpSink
from tests.notices.scene import SECRET, deliver_all, endpoint, make_due, secrets_of
from tests.scenes import invoke

pytestmark = pytest.mark.django_db
CANCEL: dict[str, Any] = {"action": "cancel", "cancellation_token": "nobody"}
OLD, NEW = "A" * 43 + "=", "B" * 43 + "="


def test_a_secret_that_no_key_reads_is_a_failed_attempt_that_says_so(
    sink: HttpSink, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.FIELD_KEYS = [OLD]
    told = endpoint(url=sink.url())
    invoke(CANCEL)
    settings.FIELD_KEYS = [NEW]
    assert deliver_all() == 1
    said = "a stored secret was encrypted with a key that is not among FIELD_KEYS"
    assert [(line["status"], line["error"]) for line in WebhookDelivery.objects.get().log] == [(None, said)]
    assert (WebhookDelivery.objects.get().status, sink.received) == ("pending", [])
    assert said in caplog.text
    endpoints.reseal()  # says so, too, and takes nothing away
    settings.FIELD_KEYS = [NEW, OLD]
    make_due()
    deliver_all()
    told.refresh_from_db()
    assert WebhookDelivery.objects.get().status == "delivered"
    assert len(sink.received) == 1


def test_what_an_older_key_or_none_sealed_is_sealed_by_the_newest(settings: Any) -> None:
    settings.FIELD_KEYS = [OLD]
    first, second = endpoint(), endpoint()
    until = (database_now() + timedelta(hours=1)).isoformat()
    second.secrets = [{"secret": seal("s"), "until": None}, {"secret": "plain:older", "until": until}]
    second.save()
    settings.FIELD_KEYS = [NEW, OLD]
    third = endpoint()
    execution.tidy()
    settings.FIELD_KEYS = [NEW]
    for told, expected in ((first, [SECRET]), (second, ["s", "older"]), (third, [SECRET])):
        before = told.secrets
        told.refresh_from_db()
        assert secrets_of(told, at=database_now()) == expected
        assert (told.secrets == before) is (told is third)
    assert endpoints.reseal() == 0
