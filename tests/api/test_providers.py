"""Providers over the native API: secrets go in, and do not come out again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet

from automations.directory import providers
from automations.models import Environment, Provider, steps_of_run
from tests.api.conftest import Caller, decoded, refused
from tests.letters import provider
from tests.scenes import invoke, read, run_of, work_off

pytestmark = pytest.mark.django_db
PATH = "/api/v1/providers"
CHAT: dict[str, Any] = {"key": "team-chat", "url": "discord://4174/Tok-en_1"}


@pytest.fixture
def admin(make_key: Callable[..., str]) -> Caller:
    return Caller(make_key("admin", name="ops"))


def test_the_url_of_a_service_is_stored_and_not_shown_again(admin: Caller) -> None:
    made = decoded(admin.post(PATH, CHAT), 201)
    assert made == {
        "key": "team-chat", "kind": "apprise", "service": "discord", "created_at": made["created_at"],
        "created_by": "key/ops",
    }  # fmt: skip
    assert admin.get(PATH) == {"items": [made], "next_cursor": None}
    assert Provider.objects.get().secret == CHAT["url"]
    assert admin.send("DELETE", f"{PATH}/team-chat").status_code == 204
    assert refused(admin.send("DELETE", f"{PATH}/team-chat"))[:2] == (404, "provider_not_found")


def test_a_signing_secret_is_made_and_told_once(admin: Caller) -> None:
    made = decoded(admin.post(PATH, {"key": "hooks", "kind": "webhook"}), 201)
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert (made["kind"], made["service"]) == ("webhook", None)
    assert admin.get(PATH)["items"] == [made]
    assert Provider.objects.get().secret == secret
    for key in ("b", "c"):
        decoded(admin.post(PATH, {"key": key, "kind": "webhook"}), 201)
    assert refused(admin.post(PATH, {"key": "d", "kind": "webhook"}))[:2] == (422, "too_many_providers")


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"key": None}, "/key", "required"),
        ({"key": "a b"}, "/key", "invalid"),
        ({"kind": "smtp"}, "/kind", "invalid"),
        ({"url": None}, "/url", "required"),
        ({"url": "json://10.0.0.1/"}, "/url", "invalid"),
        ({"url": "discord://"}, "/url", "invalid"),
        ({"url": "discord://1/2?template=/etc/passwd"}, "/url", "invalid"),
        ({"url": "discord://1/" + "x" * 2000}, "/url", "too_long"),
        ({"kind": "webhook"}, "/url", "unknown_field"),
    ],
)
def test_what_is_wrong_with_a_provider_is_pointed_at_and_never_shown(
    admin: Caller, change: dict[str, Any], pointer: str, code: str
) -> None:
    response = admin.post(PATH, {**CHAT, **change})
    assert refused(response)[2] == [(pointer, code)]
    assert b"Tok-en_1" not in response.content
    assert Provider.objects.count() == 0


def test_without_apprise_it_is_refused_by_name(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert refused(admin.post(PATH, CHAT))[2] == [("/url", "not_installed")]


def test_a_key_is_taken_once_in_an_environment(admin: Caller) -> None:
    provider("team-chat", CHAT["url"], environment=Environment.objects.get(key="test"))
    decoded(admin.post(PATH, CHAT), 201)
    assert refused(admin.post(PATH, CHAT))[2] == [("/key", "taken")]


def test_an_environment_has_so_many_at_most(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "MOST_PROVIDERS", 1)
    provider("a", CHAT["url"])
    assert refused(admin.post(PATH, CHAT))[:2] == (422, "too_many_providers")


def test_another_environment_s_provider_is_not_found(admin: Caller) -> None:
    provider("team-chat", CHAT["url"], environment=Environment.objects.get(key="test"))
    assert refused(admin.send("DELETE", f"{PATH}/team-chat"))[0] == 404
    assert admin.get(PATH)["items"] == []


def test_a_secret_is_encrypted_and_sealed_anew_when_the_key_changes(admin: Caller, settings: Any) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    settings.FIELD_KEYS = [old]
    decoded(admin.post(PATH, CHAT), 201)
    before = Provider.objects.get().sealed
    assert "Tok-en_1" not in before
    settings.FIELD_KEYS = [new, old]
    assert (providers.reseal(), providers.reseal()) == (1, 0)
    settings.FIELD_KEYS = [new]
    assert Provider.objects.get().secret == CHAT["url"]
    settings.FIELD_KEYS = [old]
    assert providers.reseal() == 0
    definition = {
        "steps": [{"action": "send", "message": {"content": {"body": "b"}, "to": {"apprise": "team-chat"}}}]
    }
    run = run_of(invoke(definition=definition))
    work_off()
    assert steps_of_run(read(run))[0].error["message"] == (
        "a stored secret was encrypted with a key that is not among FIELD_KEYS"
    )
