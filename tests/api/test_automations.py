"""Automations over the native API."""

from __future__ import annotations

from typing import Any

import pytest

from automations import publication
from automations.models import Automation, Environment, Refusal, Version
from tests.api.conftest import Caller, decoded, refused
from tests.scenes import DELAY, SEND, publish, work_off

pytestmark = pytest.mark.django_db
PATH = "/api/v1/automations"
DEFINITION: dict[str, Any] = {"cancellation_token": "refs.data.user_id", "steps": [DELAY]}
GIVEN = {"key": "trial", "name": "Trial", "definition": DEFINITION}


def without_times(automation: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in automation.items() if name not in ("created_at", "updated_at")}


def test_a_created_automation_is_a_draft(api: Caller) -> None:
    answer = decoded(api.post(PATH, {**GIVEN, "alias": "Trial/É", "description": "why"}), 201)
    assert without_times(answer) == {
        "key": "trial", "alias": "Trial/É", "name": "Trial", "description": "why", "status": "draft",
        "disabled": False, "disable_mode": None, "disable_reason": None, "published_version": None,
        "updated_by": "key/backend",
        "draft": {"definition": DEFINITION, "revision": 1},
    }  # fmt: skip
    assert api.get(f"{PATH}/trial") == answer
    assert answer["created_at"].endswith("Z")
    assert len(answer["created_at"]) == len("2026-11-20T14:02:11.204Z")


def test_a_draft_may_be_unfinished(api: Caller) -> None:
    assert decoded(api.post(PATH, {**GIVEN, "definition": {}}), 201)["draft"]["definition"] == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"key": None}, (422, "required", [("/key", "required")])),
        ({"key": 5}, (422, "invalid", [("/key", "invalid")])),
        ({"key": "Upper"}, (422, "invalid", [("/key", "invalid")])),
        ({"key": "runs"}, (422, "invalid", [("/key", "invalid")])),
        ({"key": "a\nb"}, (422, "invalid", [("/key", "invalid")])),
        ({"key": "k" * 101}, (422, "too_long", [("/key", "too_long")])),
        ({"name": None}, (422, "required", [("/name", "required")])),
        ({"name": "n" * 201}, (422, "too_long", [("/name", "too_long")])),
        ({"alias": "invoke"}, (422, "invalid", [("/alias", "invalid")])),
        ({"alias": " "}, (422, "invalid", [("/alias", "invalid")])),
        ({"alias": "team/"}, (422, "invalid", [("/alias", "invalid")])),
        ({"alias": "a" * 256}, (422, "too_long", [("/alias", "too_long")])),
        ({"description": "d" * 2001}, (422, "too_long", [("/description", "too_long")])),
        ({"definition": None}, (422, "required", [("/definition", "required")])),
        ({"definition": []}, (422, "invalid", [("/definition", "invalid")])),
        ({"definition": {"x": "y" * 262_144}}, (422, "data_too_large", [("/definition", "data_too_large")])),
        ({"extra": 1}, (422, "unknown_field", [("/extra", "unknown_field")])),
        ({"a/b": 1, "name": 5}, (422, "invalid", [("/name", "invalid"), ("/a~1b", "unknown_field")])),
    ],
)
def test_what_cannot_be_created_is_refused_by_name(
    api: Caller, change: dict[str, Any], expected: Any
) -> None:
    assert refused(api.post(PATH, {**GIVEN, **change})) == expected
    assert Automation.objects.count() == 0


def test_what_is_answered_can_be_sent_back(api: Caller) -> None:
    made = decoded(api.post(PATH, GIVEN), 201)
    assert (made["alias"], made["description"]) == (None, "")
    again = {name: made[name] for name in ("alias", "name", "description")} | made["draft"]
    del again["revision"]
    assert without_times(decoded(api.post(PATH, {"key": "again", **again}), 201)) == {
        **without_times(made),
        "key": "again",
    }
    decoded(api.put(f"{PATH}/again/draft", made["draft"]))
    decoded(api.post(f"{PATH}/again/publish", {"note": ""}))
    assert api.get(f"{PATH}/again/versions")["items"][0]["note"] == ""


def test_a_key_or_alias_is_taken_once(api: Caller) -> None:
    decoded(api.post(PATH, {**GIVEN, "alias": "a"}), 201)
    assert refused(api.post(PATH, GIVEN)) == (422, "taken", [("/key", "taken")])
    assert refused(api.post(PATH, {**GIVEN, "key": "two", "alias": "a"})) == (
        422,
        "taken",
        [("/alias", "taken")],
    )


def test_a_key_is_never_anothers_alias_nor_an_alias_anothers_key(api: Caller) -> None:
    decoded(api.post(PATH, {**GIVEN, "key": "flow-v2", "alias": "flow"}), 201)
    assert refused(api.post(PATH, {**GIVEN, "key": "flow"})) == (422, "taken", [("/key", "taken")])
    assert refused(api.post(PATH, {**GIVEN, "key": "other", "alias": "flow-v2"})) == (
        422,
        "taken",
        [("/alias", "taken")],
    )
    assert list(Automation.objects.values_list("key", "alias")) == [("flow-v2", "flow")]


def test_an_alias_may_be_the_own_key_and_is_left_as_it_was(environment: Environment) -> None:
    def save(key: str, alias: str | None) -> str | None:
        settings = {"alias": alias}
        return publication.save_draft(
            environment=environment, key=key, definition={"steps": []}, settings=settings, by="me"
        ).alias

    for key in ("one", "two"):
        publication.create(environment=environment, key=key, name=key, definition={"steps": []}, by="me")
    assert save("one", "one") == "one"
    with pytest.raises(Refusal) as refusal:
        save("one", "two")
    assert [(problem.pointer, problem.code) for problem in refusal.value.problems] == [("/alias", "taken")]
    Automation.objects.filter(key="one").update(alias="two")  # as was possible once
    assert (save("one", "two"), save("one", None), save("one", "three")) == ("two", None, "three")


def test_the_list_is_paged_newest_first_without_definitions(api: Caller) -> None:
    for key in ("a", "b", "c"):
        publish(key, DEFINITION)
    first = api.get(f"{PATH}?limit=2")
    assert [item["key"] for item in first["items"]] == ["c", "b"]
    second = api.get(f"{PATH}?limit=2&cursor={first['next_cursor']}")
    assert ([item["key"] for item in second["items"]], second["next_cursor"]) == (["a"], None)
    assert without_times(second["items"][0]) == {
        "key": "a", "alias": None, "name": "a", "description": "", "status": "published", "disabled": False,
        "disable_mode": None, "disable_reason": None, "published_version": 1, "updated_by": "test",
    }  # fmt: skip


@pytest.mark.parametrize("count", [1, 3])
def test_the_list_costs_two_statements(api: Caller, count: int, django_assert_num_queries: Any) -> None:
    for index in range(count):
        publish(f"a{index}", DEFINITION)
    with django_assert_num_queries(2):
        assert len(api.get(PATH)["items"]) == count


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ("limit=0", "/limit", "invalid"),
        ("limit=201", "/limit", "invalid"),
        ("limit=x", "/limit", "invalid"),
        ("limit=%00", "/limit", "invalid"),
        ("cursor=x", "/cursor", "invalid"),
        ("cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "/cursor", "invalid"),
        ("cursor=%F0%9F%98%80", "/cursor", "invalid"),
        ("state=draft", "/state", "unknown_parameter"),
    ],
)
def test_a_parameter_that_cannot_be_meant_is_refused(
    api: Caller, query: str, pointer: str, code: str
) -> None:
    for path in (PATH, "/api/v1/runs", "/api/v1/cancellations"):
        assert refused(api.send("GET", f"{path}?{query}")) == (400, code, [(pointer, code)])


def test_a_draft_is_answered_in_our_spelling(api: Caller) -> None:
    given = {"cancelation_token": "t", "cancellation_token": None, "steps": [{"cancelation_token": "u"}]}
    kept = {"cancellation_token": "t", "steps": [{"cancellation_token": "u"}]}
    assert decoded(api.post(PATH, {**GIVEN, "definition": given}), 201)["draft"]["definition"] == kept
    assert api.get(f"{PATH}/trial")["draft"]["definition"] == kept


def test_a_draft_is_replaced_at_the_revision_one_has_seen(api: Caller) -> None:
    publish("trial", DEFINITION)
    changed = {"steps": [SEND]}
    answer = decoded(api.put(f"{PATH}/trial/draft", {"definition": changed, "revision": 1}))
    assert answer["draft"] == {"definition": changed, "revision": 2}
    assert (answer["status"], answer["published_version"]) == ("published", 1)
    stale = api.put(f"{PATH}/trial/draft", {"definition": DEFINITION, "revision": 1})
    assert refused(stale) == (412, "stale_draft", [("", "stale_draft")])
    assert decoded(api.put(f"{PATH}/trial/draft", {"definition": DEFINITION}))["draft"]["revision"] == 3


@pytest.mark.parametrize("revision", [-1, 2**31, 10**30, 1.5, "1", True])
def test_a_revision_is_a_whole_number(api: Caller, revision: object) -> None:
    publish("trial", DEFINITION)
    response = api.put(f"{PATH}/trial/draft", {"definition": DEFINITION, "revision": revision})
    assert refused(response) == (422, "invalid", [("/revision", "invalid")])


def test_publishing_makes_the_next_version(api: Caller) -> None:
    decoded(api.post(PATH, GIVEN), 201)
    assert decoded(api.send("POST", f"{PATH}/trial/publish")) == {"version": 1}
    assert decoded(api.post(f"{PATH}/trial/publish", {"note": "same"})) == {"version": 1}
    decoded(api.put(f"{PATH}/trial/draft", {"definition": {"steps": [SEND]}}))
    assert decoded(api.post(f"{PATH}/trial/publish", {"note": "shorter"})) == {"version": 2}
    versions = api.get(f"{PATH}/trial/versions")["items"]
    assert [(item["version"], item["note"], item["published_by"]) for item in versions] == [
        (2, "shorter", "key/backend"), (1, "", "key/backend"),
    ]  # fmt: skip
    assert api.get(f"{PATH}/trial/versions?limit=1&cursor=Mg")["items"] == versions[1:]
    assert api.get(f"{PATH}/trial/versions/1") == {**versions[1], "definition": DEFINITION}
    assert api.get(f"{PATH}/trial/versions/2") == {**versions[0], "definition": {"steps": [SEND]}}


def test_an_invalid_draft_is_not_published_and_says_where_it_is_wrong(api: Caller) -> None:
    steps = [{"action": "delay"}, {"action": "wat"}]
    decoded(api.post(PATH, {**GIVEN, "definition": {"steps": steps, "extra": 1}}), 201)
    status, code, problems = refused(api.post(f"{PATH}/trial/publish", {}))
    assert (status, code) == (422, "invalid_definition")
    assert [pointer for pointer, _ in problems] == [
        "/definition/steps/0/duration", "/definition/steps/1/action", "/definition/extra",
    ]  # fmt: skip
    assert Version.objects.count() == 0


def test_a_note_has_its_limit(api: Caller) -> None:
    publish("trial", DEFINITION)
    response = api.post(f"{PATH}/trial/publish", {"note": "n" * 501})
    assert refused(response) == (422, "too_long", [("/note", "too_long")])


@pytest.mark.parametrize("number", ["0", "2", "999999999", "1234567890", "x", "-1", "%00"])
def test_a_version_that_is_not_there_is_not_found(api: Caller, number: str) -> None:
    publish("trial", DEFINITION)
    assert refused(api.send("GET", f"{PATH}/trial/versions/{number}"))[0] == 404


@pytest.mark.parametrize("key", ["nobody", "Upper", "a%00b", "a%0a", "..", "k" * 101, "%F0%9F%98%80"])
def test_an_automation_that_is_not_there_is_not_found(api: Caller, key: str) -> None:
    assert refused(api.send("GET", f"{PATH}/{key}"))[0] == 404
    for method, path in (("PUT", "draft"), ("POST", "publish"), ("POST", "disable"), ("GET", "versions")):
        body = b'{"definition": {}}' if method == "PUT" else b""
        assert refused(api.send(method, f"{PATH}/{key}/{path}", body))[0] == 404


def test_a_disabled_automation_takes_no_new_runs_and_lets_old_ones_go_on(api: Caller) -> None:
    publish("trial", {"steps": [SEND]})
    run = decoded(api.post("/api/v1/invocations", {"automation": "trial"}), 201)["runs"][0]["id"]
    assert decoded(api.post(f"{PATH}/trial/disable", {"mode": "drain"}))["disabled"] is True
    response = api.post("/api/v1/invocations", {"automation": "trial"})
    assert refused(response) == (422, "disabled", [("/automation", "disabled")])
    assert work_off() == 1
    assert api.get(f"/api/v1/runs/{run}")["status"] == "completed"
    assert decoded(api.send("POST", f"{PATH}/trial/enable"))["disabled"] is False
    assert api.post("/api/v1/invocations", {"automation": "trial"}).status_code == 201


@pytest.mark.parametrize("mode", ["wat", 5, ["hold"]])
def test_other_modes_of_disabling_are_refused(api: Caller, mode: object) -> None:
    publish("trial", DEFINITION)
    assert refused(api.post(f"{PATH}/trial/disable", {"mode": mode})) == (
        422,
        "invalid",
        [("/mode", "invalid")],
    )
    assert api.get(f"{PATH}/trial")["disabled"] is False
