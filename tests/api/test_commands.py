"""The commands that stand beside the APIs: `create_api_key` and `apply`."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from automations.models import ApiKey, Automation, Version

pytestmark = pytest.mark.django_db
DOCUMENT: dict[str, Any] = {
    "key": "trial", "name": "Trial", "definition": {"steps": [{"action": "delay", "duration": "1 hour"}]}
}  # fmt: skip


def run(*arguments: str) -> str:
    """What the command prints on standard output."""
    output = io.StringIO()
    call_command(*arguments, stdout=output)
    return output.getvalue()


def test_a_key_is_printed_alone() -> None:
    text = run("create_api_key", "backend")
    assert re.fullmatch(r"cm_production_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}\n", text)
    key = ApiKey.objects.matching(text=text.strip(), now=timezone.now())
    assert key is not None
    assert (key.name, key.scopes, key.environment.key) == (
        "backend",
        ["read", "invoke", "cancel"],
        "production",
    )


def test_a_key_has_the_scopes_and_the_environment_asked_for() -> None:
    text = run("create_api_key", "ci", "--scopes", "write, read,read", "--environment", "test")
    key = ApiKey.objects.get()
    assert (key.scopes, key.environment.key, text.split("_")[1]) == (["write", "read"], "test", "test")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["k", "--scopes", "read,root"],
            "unknown scope “root”; scopes are: read, invoke, cancel, write, admin",
        ),
        (["k", "--scopes", " , "], "no scope given; scopes are: read, invoke, cancel, write, admin"),
        (["k", "--environment", "moon"], "there is no environment “moon”; there are: production, test"),
        (["k" * 101], "a key's name is a text of up to 100 printable characters"),
        (["a\nb"], "a key's name is a text of up to 100 printable characters"),
        ([" "], "a key's name is a text of up to 100 printable characters"),
    ],
)
def test_a_key_that_cannot_be_is_not_made(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError) as caught:
        run("create_api_key", *arguments)
    assert (str(caught.value), ApiKey.objects.count()) == (message, 0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trial.json"


def apply(file: Path, document: object, *more: str) -> str:
    file.write_text(json.dumps(document), encoding="utf-8")
    return run("apply", str(file), *more)


def test_applying_creates_updates_and_publishes_what_changed(file: Path) -> None:
    assert apply(file, {**DOCUMENT, "alias": "T"}) == "trial: created, version 1\n"
    assert apply(file, {**DOCUMENT, "alias": "T"}) == "trial: unchanged, version 1\n"
    assert apply(file, DOCUMENT) == "trial: updated, version 1\n"
    changed = {**DOCUMENT, "definition": {"steps": [{"action": "delay", "duration": "2 hours"}]}}
    assert apply(file, changed) == "trial: updated, version 2\n"
    automation = Automation.objects.get()
    assert (automation.alias, automation.status, automation.updated_by) == (None, "published", "apply")


def test_an_environment_has_its_own_automations(file: Path) -> None:
    apply(file, DOCUMENT)
    assert apply(file, DOCUMENT, "--environment", "test") == "trial: created, version 1\n"
    assert Automation.objects.filter(environment__key="test").count() == 1
    with pytest.raises(CommandError, match="there is no environment “moon”"):
        apply(file, DOCUMENT, "--environment", "moon")


@pytest.mark.parametrize(
    ("document", "faults"),
    [
        ([], [("", "an automation must be an object")]),
        ({**DOCUMENT, "key": 5}, [("/key", "“key” must be a non-empty text")]),
        (
            {**DOCUMENT, "name": 5, "alias": []},
            [("/name", "“name” must be a non-empty text"), ("/alias", "“alias” must be a non-empty text")],
        ),
        ({**DOCUMENT, "extra": 1}, [("/extra", "“extra” is not known here")]),
        ({"key": "trial"}, [("/definition", "“definition” is required")]),
        (
            {**DOCUMENT, "definition": {"steps": [{"action": "delay"}, {"action": "send"}]}},
            [
                ("/definition/steps/0/duration", "a delay needs either “duration” or “until”"),
                ("/definition/steps/1/message", "a step that sends needs a “message” or a “template”"),
            ],
        ),
    ],
)
def test_what_cannot_be_applied_is_named_with_file_and_pointer(
    file: Path, document: object, faults: list[tuple[str, str]]
) -> None:
    with pytest.raises(CommandError) as caught:
        apply(file, document)
    expected = [f"{file}{f' at {pointer}' if pointer else ''}: {message}" for pointer, message in faults]
    assert str(caught.value).splitlines() == expected
    assert (Automation.objects.count(), Version.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (
            b"{",
            ": the file is not JSON: Expecting property name enclosed in double quotes at line 1, column 2",
        ),
        (b'{"key": "a", "key": "b"}', " at /key: a member is given twice"),
        (b"\xff", ": the file is not UTF-8 at byte 0"),
    ],
)
def test_a_file_that_is_no_sound_json_is_named(file: Path, content: bytes, fault: str) -> None:
    file.write_bytes(content)
    with pytest.raises(CommandError) as caught:
        run("apply", str(file))
    assert str(caught.value) == f"{file}{fault}"


def test_a_broken_file_does_not_keep_the_others_from_being_applied(file: Path) -> None:
    file.write_text(json.dumps(DOCUMENT), encoding="utf-8")
    missing = file.with_name("missing.json")
    with pytest.raises(CommandError, match=re.escape(f"{missing}: No such file or directory")):
        run("apply", str(missing), str(file))
    assert Automation.objects.get().key == "trial"


JOURNEY: dict[str, Any] = {
    "id": "3ac3b1ba-5910-4954-9871-99e601d77bb8", "name": "Welcome", "state": "PUBLISHED", "enabled": True,
    "cancelation_token": "order-{{data.order_id}}", "created": 1715000000000, "published": None,
    "nodes": [
        {"id": "PK5BA6NV", "type": "trigger", "trigger_type": "api-invoke"},
        {"id": "QX01", "type": "delay", "mode": "duration", "duration": "PT1H"},
    ],
}  # fmt: skip


def test_a_journey_is_brought_over_under_its_id(tmp_path: Path) -> None:
    file = tmp_path / "journey.json"
    file.write_text(json.dumps(JOURNEY))
    assert run("import_courier", str(file)) == f"{JOURNEY['id']}: created, version 1\n"
    assert run("import_courier", str(file)) == f"{JOURNEY['id']}: unchanged, version 1\n"
    row = Automation.objects.get()
    assert (row.key, row.alias, row.name) == (JOURNEY["id"], None, "Welcome")
    assert row.draft == {
        "cancellation_token": "order-{{data.order_id}}", "trigger": {"id": "PK5BA6NV"},
        "steps": [{"id": "QX01", "action": "delay", "duration": "PT1H"}],
    }  # fmt: skip


def test_a_journeys_id_that_is_no_key_is_its_alias(tmp_path: Path) -> None:
    file = tmp_path / "journey.json"
    file.write_text(json.dumps({**JOURNEY, "id": "PK5B A6"}))
    run("import_courier", str(file))
    assert Automation.objects.values_list("key", "alias").get() == ("pk5b-a6", "PK5B A6")


def test_a_journey_does_not_take_the_place_of_another_whose_id_folds_to_the_same_key(tmp_path: Path) -> None:
    file = tmp_path / "journey.json"
    said = f"{file} at /id: there is an automation “abc” with "
    taken = [
        ("ABC", "abc", "the alias “ABC”; if it is the same one, take that away first"),
        ("abc", "ABC", "no alias; if it is the same one, make it “ABC” first"),
        ("aBc", "ABC", "the alias “aBc”; if it is the same one, make it “ABC” first"),
    ]
    for first, second, message in taken:
        Automation.objects.update(published=None)
        Version.objects.all().delete()
        Automation.objects.all().delete()
        file.write_text(json.dumps({**JOURNEY, "id": first}))
        run("import_courier", str(file))
        assert run("import_courier", str(file)) == "abc: unchanged, version 1\n"
        file.write_text(json.dumps({**JOURNEY, "id": second, "name": "Another"}))
        with pytest.raises(CommandError) as refused:
            run("import_courier", str(file))
        assert str(refused.value) == said + message
        assert Automation.objects.values_list("name", flat=True).get() == "Welcome"


@pytest.mark.parametrize(
    ("journey", "message"),
    [
        (
            {**JOURNEY, "enabled": False},
            " at /enabled: the journey is disabled, and would be live here",
        ),
        (
            {**JOURNEY, "state": "DRAFT"},
            " at /state: the journey is a draft, and would be live here; publish it first",
        ),
        ({**JOURNEY, "state": "ARCHIVED"}, " at /state: “state” must be one of: DRAFT, PUBLISHED"),
        ([], ": a journey must be an object"),
        ({**JOURNEY, "id": None}, " at /id: “id” is required"),
        ({**JOURNEY, "nodes": []}, " at /nodes: a journey needs a node that does something"),
        (
            {**JOURNEY, "nodes": [{"type": "delay", "duration": "soon"}]},
            " at /nodes/0/duration: 'soon' is not a duration; write “5 minutes”, “1 day 2 hours” or “PT1H”",
        ),
        *(
            (
                {**JOURNEY, "id": name},
                " at /id: a key has up to 100 of a-z 0-9 _ . -, begins with a letter or digit, and is not reserved",
            )
            for name in ("%", "invoke", "Runs", "ÄÖ")
        ),
        (
            {**JOURNEY, "id": "Team/"},
            " at /id: an alias is a text of up to 255 characters that does not end in “/” and is not reserved",
        ),
    ],
)
def test_what_is_no_journey_is_not_brought_over(tmp_path: Path, journey: Any, message: str) -> None:
    file = tmp_path / "journey.json"
    file.write_text(json.dumps(journey))
    with pytest.raises(CommandError) as refused:
        run("import_courier", str(file))
    assert str(refused.value) == f"{file}{message}"
    assert Automation.objects.count() == 0
