"""The same journey asked for several times at one moment, as a client does that gave up waiting."""

from __future__ import annotations

import json
from typing import Any

import pytest

from automations.models import ApiKey, Automation, Version
from tests.api.conftest import Caller
from tests.races.together import together
from tests.scenes import production

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
NODES = [{"type": "delay", "mode": "duration", "duration": "PT1H"}]


def test_one_journey_is_made_and_everybody_is_told_of_it() -> None:
    _, text = ApiKey.objects.issue(
        environment=production(), name="race", scopes=("write",), created_by="test"
    )
    body = {"name": "Welcome", "nodes": NODES, "state": "PUBLISHED"}

    def post() -> Any:
        answer = Caller(text).post("/journeys", body, Idempotency_Key="once")
        return answer.status_code, json.loads(answer.content)["id"], json.loads(answer.content)["state"]

    try:
        told = together([post] * 4)
    finally:
        ApiKey.objects.filter(name="race").delete()
    assert set(told) == {(201, Automation.objects.get().key, "PUBLISHED")}
    assert Version.objects.count() == 1
