"""Lists of recipients over the native API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from automations.models import MOST_MEMBERS, Environment, RecipientList
from tests.api.conftest import Caller, decoded, refused
from tests.letters import listed

pytestmark = pytest.mark.django_db
PATH = "/api/v1/lists"


def members(key: str = "team") -> Any:
    return RecipientList.objects.get(key=key).members


def test_a_list_is_replaced_changed_and_forgotten(api: Caller) -> None:
    made = decoded(api.put(f"{PATH}/team", {"name": "The team", "members": ["b", "a", "b"]}), 201)
    assert made == {
        "key": "team", "name": "The team", "member_count": 2, "members": ["b", "a"],
        "created_at": made["created_at"], "updated_at": made["created_at"],
    }  # fmt: skip
    assert api.get(f"{PATH}/team") == made
    changed = decoded(api.patch(f"{PATH}/team", {"add": ["c", "a", "b"], "remove": ["b"], "name": "T"}))
    assert (changed["members"], changed["name"]) == (["a", "c", "b"], "T")
    assert decoded(api.patch(f"{PATH}/team", {}))["members"] == ["a", "c", "b"]
    assert decoded(api.put(f"{PATH}/team", {"members": []}))["members"] == []
    assert api.send("DELETE", f"{PATH}/team").status_code == 204
    for method in ("GET", "PATCH", "DELETE"):
        assert refused(api.send(method, f"{PATH}/team", b"{}"))[:2] == (404, "list_not_found")


@pytest.mark.parametrize(
    ("method", "body", "pointer", "code"),
    [
        ("PUT", {}, "/members", "required"),
        ("PUT", {"members": "ada"}, "/members", "invalid"),
        ("PUT", {"members": ["a", 7]}, "/members/1", "invalid"),
        ("PUT", {"members": [""]}, "/members/0", "invalid"),
        ("PUT", {"members": ["x" * 256]}, "/members/0", "too_long"),
        ("PUT", {"members": [str(n) for n in range(MOST_MEMBERS + 1)]}, "/members", "too_many"),
        ("PATCH", {"members": []}, "/members", "unknown_field"),
        ("PATCH", {"add": [str(n) for n in range(MOST_MEMBERS)]}, "/add", "too_many"),
    ],
)
def test_what_is_wrong_with_a_list_is_pointed_at(
    api: Caller, method: str, body: dict[str, Any], pointer: str, code: str
) -> None:
    listed("team", "ada")
    response = api.send(method, f"{PATH}/team", json.dumps(body).encode())
    assert refused(response)[2] == [(pointer, code)]
    assert members() == ["ada"]


def test_lists_are_listed_newest_first_without_their_members(api: Caller) -> None:
    for key in ("a", "b", "c"):
        listed(key, "x", "y")
    listed("foreign", environment=Environment.objects.get(key="test"))
    first = api.get(f"{PATH}?limit=2")
    second = api.get(f"{PATH}?cursor={first['next_cursor']}")
    assert [item["key"] for page in (first, second) for item in page["items"]] == ["c", "b", "a"]
    assert "members" not in first["items"][0]
    assert (first["items"][0]["member_count"], second["next_cursor"]) == (2, None)


def test_another_environment_s_list_is_not_found(api: Caller) -> None:
    listed("team", "ada", environment=Environment.objects.get(key="test"))
    for method in ("GET", "PATCH", "DELETE"):
        assert refused(api.send(method, f"{PATH}/team", b"{}"))[0] == 404
    assert members() == ["ada"]
