"""Recipients over the native API, and what invokes make of them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from automations.models import Environment, Recipient, Run
from tests.api.conftest import Caller, decoded, refused
from tests.letters import knows
from tests.scenes import DELAY

pytestmark = pytest.mark.django_db
PATH = "/api/v1/recipients"
INVOKE = "/api/v1/invocations"


def profile(key: str) -> Any:
    return Recipient.objects.get(key=key).profile


def test_a_recipient_is_replaced_merged_and_forgotten(api: Caller) -> None:
    made = decoded(api.put(f"{PATH}/ada", {"profile": {"email": "a@b.c", "plan": "pro", "x": None}}), 201)
    assert made == {
        "id": "ada", "profile": {"email": "a@b.c", "plan": "pro"}, "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }  # fmt: skip
    assert api.get(f"{PATH}/ada") == made
    merged = decoded(api.patch(f"{PATH}/ada", {"profile": {"plan": None, "tags": ["a"]}}))
    assert (merged["profile"], merged["created_at"]) == (
        {"email": "a@b.c", "tags": ["a"]},
        made["created_at"],
    )
    assert merged["updated_at"] > made["updated_at"]
    assert decoded(api.put(f"{PATH}/ada", {"profile": {"n": 1}}))["profile"] == {"n": 1}
    response = api.send("DELETE", f"{PATH}/ada")
    assert (response.status_code, response.content) == (204, b"")
    for method in ("GET", "DELETE"):
        assert refused(api.send(method, f"{PATH}/ada"))[:2] == (404, "recipient_not_found")


def test_a_merge_makes_a_recipient_that_was_unknown(api: Caller) -> None:
    assert decoded(api.patch(f"{PATH}/new", {"profile": {"n": 1}}))["profile"] == {"n": 1}


@pytest.mark.parametrize("key", ["a b", "org/7", "ü", "a@b.c", "..", "%", "x" * 255])
def test_an_id_may_be_any_text_on_one_line(api: Caller, key: str) -> None:
    path = f"{PATH}/{quote(key, safe='')}"
    assert decoded(api.put(path, {"profile": {}}), 201)["id"] == key
    assert api.get(path)["id"] == key


def test_the_last_slash_of_an_id_belongs_to_it(api: Caller) -> None:
    knows("a", n=1)
    assert invoked(api, recipient={"id": "a/", "n": 2}) == {"a/": {"n": 2}}
    assert api.get(f"{PATH}/a%2F")["profile"] == {"n": 2}
    assert decoded(api.put(f"{PATH}/a%2F", {"profile": {"n": 3}}))["id"] == "a/"
    assert decoded(api.patch(f"{PATH}/a/", {"profile": {"m": 4}}))["id"] == "a/"
    assert (profile("a"), profile("a/")) == ({"n": 1}, {"n": 3, "m": 4})
    assert [api.send("DELETE", f"{PATH}/a%2F").status_code for _ in range(2)] == [204, 404]
    assert profile("a") == {"n": 1}
    assert api.get(f"{PATH}/")["items"][0]["id"] == "a"


@pytest.mark.parametrize("key", ["x" * 256, "a\tb", "\x80", " "])
def test_what_is_no_id_is_not_found(api: Caller, key: str) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert api.send(method, f"{PATH}/{quote(key)}", b'{"profile": {}}').status_code == 404
    assert Recipient.objects.count() == 0


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "/profile", "required"),
        ({"profile": []}, "/profile", "invalid"),
        ({"profile": {"x": "y" * 262_144}}, "/profile", "data_too_large"),
        ({"profile": {}, "id": "ada"}, "/id", "unknown_field"),
    ],
)
def test_what_is_wrong_with_a_profile_is_pointed_at(
    api: Caller, body: dict[str, Any], pointer: str, code: str
) -> None:
    for method in ("PUT", "PATCH"):
        response = api.send(method, f"{PATH}/ada", json.dumps(body).encode())
        assert refused(response)[2] == [(pointer, code)]
    assert Recipient.objects.count() == 0


def test_a_profile_may_not_grow_too_large_bit_by_bit(api: Caller) -> None:
    half = "y" * 150_000
    decoded(api.put(f"{PATH}/ada", {"profile": {"a": half}}), 201)
    assert refused(api.patch(f"{PATH}/ada", {"profile": {"b": half}}))[:2] == (422, "data_too_large")
    body = {"definition": {"steps": [DELAY]}, "recipient": {"id": "ada", "b": half}}
    assert refused(api.post(INVOKE, body))[:2] == (422, "data_too_large")
    assert (list(profile("ada")), Run.objects.count()) == (["a"], 0)


def test_recipients_are_listed_and_found_by_the_beginning_of_their_id(
    api: Caller, django_assert_num_queries: Any
) -> None:
    for key in ("user-1", "user-2", "USER-3", "other", "user%"):
        knows(key)
    knows("user-4", environment=Environment.objects.get(key="test"))
    assert [item["id"] for item in api.get(PATH)["items"]] == ["user%", "other", "USER-3", "user-2", "user-1"]
    first = api.get(f"{PATH}?id=user-&limit=1")
    with django_assert_num_queries(2):  # the key, the recipients
        second = api.get(f"{PATH}?id=user-&limit=1&cursor={first['next_cursor']}")
    assert [item["id"] for page in (first, second) for item in page["items"]] == ["user-2", "user-1"]
    assert second["next_cursor"] is None
    assert [item["id"] for item in api.get(f"{PATH}?id=user%25")["items"]] == ["user%"]


def test_another_environment_s_recipient_is_not_found(api: Caller) -> None:
    foreign = Environment.objects.get(key="test")
    knows("ada", environment=foreign, n=1)
    assert refused(api.send("GET", f"{PATH}/ada"))[0] == 404
    assert refused(api.send("DELETE", f"{PATH}/ada"))[0] == 404
    decoded(api.put(f"{PATH}/ada", {"profile": {"n": 2}}), 201)
    assert Recipient.objects.get(environment=foreign).profile == {"n": 1}


# -- invokes ---------------------------------------------------------------------------------------------


def invoked(api: Caller, **body: Any) -> dict[str, Any]:
    """The profiles of the runs by recipient."""
    answer = decoded(api.post(INVOKE, {"definition": {"steps": [DELAY]}, **body}), 201)
    runs = Run.objects.filter(invocation__uid=answer["id"])
    return dict(runs.values_list("recipient", "profile"))


def test_a_recipient_s_stored_profile_is_the_base_of_the_run_s(api: Caller) -> None:
    knows("ada", email="a@b.c", plan="free", name="Ada")
    assert invoked(api, recipient="ada") == {"ada": {"email": "a@b.c", "plan": "free", "name": "Ada"}}
    assert invoked(api, recipients=["ada", "bob"], profile={"plan": "pro"}) == {
        "ada": {"email": "a@b.c", "plan": "pro", "name": "Ada"}, "bob": {"plan": "pro"},
    }  # fmt: skip
    assert profile("ada")["plan"] == "free"
    assert Recipient.objects.count() == 1


def test_whoever_is_named_twice_has_one_run_with_all_that_is_said_of_them(api: Caller) -> None:
    given: dict[str, Any] = {"definition": {"steps": [DELAY]}}
    named = ["b", "a", {"id": "a", "k": 1, "l": 1}, "b", {"id": "a", "l": 2}]
    answer = decoded(api.post(INVOKE, {**given, "recipients": named, "profile": {"k": 0, "m": 0}}), 201)
    assert (answer["run_count"], [run["recipient"] for run in answer["runs"]]) == (2, ["b", "a"])
    profiles = Run.objects.order_by("pk").values_list("recipient", "profile")
    assert list(profiles) == [("b", {"k": 0, "m": 0}), ("a", {"k": 1, "l": 2, "m": 0})]
    assert dict(Recipient.objects.values_list("key", "profile")) == {"a": {"k": 1, "l": 2}}
    half = {"id": "a", "x": "x" * 200_000}
    too_much = api.post(INVOKE, {**given, "recipients": [half, {"id": "a", "y": "y" * 200_000}]})
    assert refused(too_much)[:2] == (422, "data_too_large")


def test_a_token_may_be_made_of_a_stored_profile(api: Caller) -> None:
    knows("ada", account="7")
    definition = {"cancellation_token": "account-{{profile.account}}", "steps": [DELAY]}
    answer = decoded(api.post(INVOKE, {"definition": definition, "recipient": "ada"}), 201)
    assert answer["runs"][0]["cancellation_token"] == "account-7"


def test_what_comes_with_a_recipient_is_stored(api: Caller) -> None:
    knows("ada", email="a@b.c", plan="free")
    recipients: list[Any] = [{"id": "ada", "plan": None, "name": "Ada"}, "eve", {"id": "bob", "n": 1}]
    assert invoked(api, recipients=[*recipients, {"id": "bob", "m": 2}])["ada"] == {
        "email": "a@b.c", "plan": None, "name": "Ada",
    }  # fmt: skip
    assert (profile("ada"), profile("bob")) == ({"email": "a@b.c", "name": "Ada"}, {"n": 1, "m": 2})
    assert Recipient.objects.count() == 2


def test_an_invoke_that_is_refused_stores_nothing_of_its_recipients(api: Caller) -> None:
    definition = {"cancellation_token": "refs.data.nothing", "steps": [DELAY]}
    body = {"definition": definition, "recipient": {"id": "ada", "n": 1}}
    assert api.post(INVOKE, body).status_code == 422
    assert Recipient.objects.count() == 0


def test_a_courier_invoke_knows_its_recipient_too(api: Caller) -> None:
    knows("ada", name="Ada")
    body = {"automation": {"steps": [DELAY]}, "recipient": "ada", "profile": {"n": 1}}
    decoded(api.post("/automations/invoke", body))
    assert Run.objects.get().profile == {"name": "Ada", "n": 1}
    assert profile("ada") == {"name": "Ada"}
