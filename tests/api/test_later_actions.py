"""What is not built yet is refused by name, wherever a definition comes in."""

from __future__ import annotations

import json

import pytest

from automations.definition.parse import LATER_ACTIONS
from automations.models import Run
from tests.api.conftest import Caller, courier_refused, decoded, refused
from tests.scenes import DELAY

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("action", sorted(LATER_ACTIONS))
def test_an_action_that_is_not_built_yet_is_refused_by_name_at_publish_and_at_invoke(
    api: Caller, action: str
) -> None:
    definition = {"steps": [DELAY, {"action": action}]}
    decoded(api.post("/api/v1/automations", {"key": "a", "name": "A", "definition": definition}), 201)
    for path, body in (
        ("/api/v1/automations/a/publish", {}),
        ("/api/v1/invocations", {"definition": definition}),
    ):
        response = api.post(path, body)
        assert refused(response)[2] == [("/definition/steps/1/action", "not_supported")]
        assert f"action “{action}” is not supported yet" in json.loads(response.content)["detail"]
    response = api.post("/automations/invoke", {"automation": definition})
    assert courier_refused(response)[:2] == (400, "invalid_request_error")
    assert f"action “{action}” is not supported yet" in courier_refused(response)[2]
    assert Run.objects.count() == 0
