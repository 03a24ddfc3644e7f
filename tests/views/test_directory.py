"""Recipients, messages, providers and environments in the browser."""

from __future__ import annotations

from typing import Any

import pytest

from automations.directory import recipients
from automations.models import (
    ApiKey,
    Environment,
    MessageTemplate,
    Provider,
    Recipient,
    RecipientList,
    WebhookEndpoint,
    database_now,
)
from tests.pages import read
from tests.people import client
from tests.scenes import DELAY, invoke, production, publish

pytestmark = pytest.mark.django_db
MESSAGE = {"key": "welcome", "name": "Welcome", "title": "Hello {{data.name}}", "body": "Good to have you.",
           "channels": '{"email": {"title": "Welcome, {{data.name}}"}}'}  # fmt: skip


def known(*keys: str) -> list[Recipient]:
    return [recipients.replace(environment=production(), key=key, profile={"n": key})[0] for key in keys]


def test_recipients_are_found_by_the_beginning_of_their_id(django_assert_max_num_queries: Any) -> None:
    ada, adam, _ = known("ada", "adam", "Bob <b>")
    browser = client("viewer")
    with django_assert_max_num_queries(5):
        page = read(browser.get("/recipients/"))
    assert [row.all("a")[0].text for row in page.all("[data-row]")] == ["Bob <b>", "adam", "ada"]
    found = read(client("viewer").get("/recipients/?q=ada"))
    assert [row["id"] for row in found.all("[data-row]")] == [f"row-{adam.pk}", f"row-{ada.pk}"]
    none = read(client("viewer").get("/recipients/?q=zoe"))
    assert none.one("#in-logs")["href"] == "/logs/?q=recipient%3A%22zoe%22"
    for odd in ("a%00b", "x" * 300, "%25"):
        assert read(client("viewer").get(f"/recipients/?q={odd}")).all("[data-row]") == []


@pytest.mark.parametrize("address", ["/recipients/", "/templates/", "/recipients/lists/vip/"])
def test_a_search_shows_its_address_without_what_is_empty(address: str) -> None:
    RecipientList.objects.create(
        environment=production(), key="vip", members=[], created_at=database_now(), updated_at=database_now()
    )
    browser = client("viewer")

    def shown(query: str) -> str:
        return browser.get(f"{address}?q={query}", headers={"HX-Request": "true"})["HX-Replace-Url"]

    assert [shown("a%26+b"), shown(""), shown("+")] == [f"{address}?q=a%26+b", address, address]
    assert not browser.get(f"{address}?q=a").has_header("HX-Replace-Url")


def test_recipients_have_pages_that_keep_the_search() -> None:
    known(*(f"user-{number:02}" for number in range(51)), "other")
    page = read(client("viewer").get("/recipients/?q=user-"))
    assert len(page.all("[data-row]")) == 50
    older = read(client("viewer").get(page.one("#older")["href"]))
    assert older.all("[data-row]")[0].all("a")[0].text == "user-00"
    assert older.one("#newest")["href"] == "/recipients/?q=user-"


def test_a_recipients_page_shows_its_profile_and_its_runs() -> None:
    (ada,) = known("ada")
    publish("welcome", {"steps": [DELAY]}, name="Welcome")
    run = invoke(automation="welcome", definition=None, recipients=["ada"]).runs[0]["id"]
    other = invoke(DELAY, recipients=["ada2"]).runs[0]["id"]
    page = read(client("viewer").get(f"/recipients/{ada.pk}/"))
    assert page.one("#profile").text == '{"n": "ada"}'
    assert page.all("#save") == []
    assert page.one(f"#run-{run}")["href"] == f"/logs/{run}/"
    assert page.all(f"#run-{other}") == []
    assert page.all("#cancel-all") == []
    assert read(client("operator").get(f"/recipients/{ada.pk}/")).one("#cancel-all")["href"] == (
        "/bulk/new/?recipients=ada"
    )


def test_an_admin_writes_a_profile_and_forgets_a_recipient() -> None:
    browser = client("admin")
    answer = browser.post(
        "/recipients/new/", {"key": "a/b?", "profile": '{"email": "a@b.example", "x": null}'}
    )
    row = Recipient.objects.get()
    assert (answer["Location"], row.key, row.profile) == (
        f"/recipients/{row.pk}/", "a/b?", {"email": "a@b.example"},
    )  # fmt: skip
    again = browser.post("/recipients/new/", {"key": "a/b?", "profile": "{}"})
    assert read(again).one("#key-errors").text == "This recipient is known already."
    address = f"/recipients/{row.pk}/"
    assert browser.post(address, {"profile": '{"plan": "pro"}'}).status_code == 302
    row.refresh_from_db()
    assert row.profile == {"plan": "pro"}
    wrong = browser.post(address, {"profile": "[]"})
    assert (wrong.status_code, read(wrong).one("#profile-errors").text) == (
        422,
        "This must be an object: { … }",
    )
    large = browser.post(address, {"profile": f'{{"x": "{"y" * 300_000}"}}'})
    assert read(large).one("#profile-errors").text == "The profile of “a/b?” would have more than 256 KiB."
    assert client("operator").post(address, {"do": "remove"}).status_code == 403
    wrong = browser.post(address, {"do": "remove", "typed": "a"})
    assert (wrong.status_code, read(wrong).one("#typed-errors").text) == (
        422, "Type “a/b?” to remove this recipient.",
    )  # fmt: skip
    assert Recipient.objects.get().profile == {"plan": "pro"}
    assert browser.post(address, {"do": "remove", "typed": "a/b?"})["Location"] == "/recipients/"
    assert not Recipient.objects.exists()


def test_a_message_is_written_tried_changed_and_removed() -> None:
    browser = client("admin")
    sample = {"sample_data": '{"name": "Ada"}', "sample_profile": "{}", "channel": "email"}
    tried = read(browser.post("/messages/~new/", {**MESSAGE, **sample, "do": "preview"}))
    assert (tried.one("#shown-title").text, tried.one("#shown-body").text) == (
        "Welcome, Ada",
        "Good to have you.",
    )
    assert not MessageTemplate.objects.exists()
    assert browser.post("/messages/~new/", MESSAGE)["Location"] == "/messages/welcome/"
    taken = read(browser.post("/messages/~new/", MESSAGE))
    assert taken.one("#key-errors").text == "There is a message template “welcome” already."
    missing = browser.post("/messages/welcome/", {**MESSAGE, "do": "preview", "sample_data": "{}"})
    assert read(missing).one(".warning").text
    assert browser.post("/messages/welcome/", {**MESSAGE, "title": "Hi", "channels": ""}).status_code == 302
    row = MessageTemplate.objects.get()
    assert (row.key, row.title, row.channels, row.updated_by) == ("welcome", "Hi", {}, "user/ana")
    wrong = browser.post("/messages/welcome/", {"do": "remove"})
    assert (wrong.status_code, read(wrong).one("#typed-errors").text, read(wrong).one("#title")["value"]) == (
        422, "Type “welcome” to remove this message.", "Hi",
    )  # fmt: skip
    assert MessageTemplate.objects.count() == 1
    gone = browser.post("/messages/welcome/", {"do": "remove", "typed": "welcome"})
    assert gone["Location"] == "/messages/"
    assert not MessageTemplate.objects.exists()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"key": "-x"}, "key"),
        ({"title": "", "body": ""}, "message"),
        ({"channels": '{"pigeon": {"title": "x"}}'}, "channels"),
        ({"channels": '{"email": {"title": 7}}'}, "channels"),
        ({"channels": '{"email": {"subject": "x"}}'}, "channels"),
    ],
)
def test_what_is_wrong_with_a_message_is_said_at_its_field(changes: dict[str, str], name: str) -> None:
    answer = client("admin").post("/messages/~new/", {**MESSAGE, **changes})
    assert answer.status_code == 422
    assert read(answer).one(f"#{name}-errors").text


def test_an_operator_tries_a_message_out_and_a_viewer_reads_it() -> None:
    client("admin").post("/messages/~new/", MESSAGE)
    page = read(client("viewer").get("/messages/welcome/"))
    assert (page.one("#title")["value"], page.all("#try"), page.all("#save")) == (MESSAGE["title"], [], [])
    assert client("viewer").post("/messages/welcome/", {**MESSAGE, "do": "preview"}).status_code == 403
    tried = client("operator").post("/messages/welcome/", {**MESSAGE, "do": "preview"})
    assert read(tried).all("#shown-body") != []
    assert client("operator").post("/messages/welcome/", MESSAGE).status_code == 403


def test_a_providers_secret_is_shown_once_or_never() -> None:
    browser = client("admin")
    service = {"key": "chat", "kind": "apprise", "url": "discord://4174216298/token-b-7be7bk2ZwO5U711o3dV_js"}
    stored = browser.post("/providers/", service)
    assert b"token-b" not in stored.content + browser.get("/providers/").content
    assert Provider.objects.get().service == "discord"
    secret = read(browser.post("/providers/", {"key": "hooks", "kind": "webhook"})).one("#secret").text
    assert secret.startswith("whsec_")
    page = browser.get("/providers/")
    assert secret.encode() not in page.content
    assert [row["id"] for row in read(page).all("[data-row]")] == ["row-hooks", "row-chat"]
    wrong = read(browser.post("/providers/", {"key": "x", "kind": "apprise", "url": "file:///etc/passwd"}))
    assert wrong.one("#url-errors").text
    assert browser.post("/providers/chat/remove/").status_code == 302
    assert [row.key for row in Provider.objects.all()] == ["hooks"]


def test_a_new_environment_is_looked_at_and_marked() -> None:
    browser = client("admin")
    browser.post("/environments/", {"key": "staging"})
    staging = Environment.objects.get(key="staging")
    page = read(browser.get("/keys/"))
    assert page.one("#environment").text == "Environment: staging"
    assert page.one("header")["class"] == f"bar env-{staging.hue}"
    assert read(client("admin").get("/keys/")).one("header")["class"] == "bar env-0"
    assert staging.hue > 0
    key = browser.post("/keys/", {"name": "x", "scopes": ["read"], "expires": ""})
    assert read(key).one("#api-key").text.startswith("cm_staging_")
    assert ApiKey.objects.get().environment == staging
    for wrong, said in (
        ("Staging", "A key has up to 32 of a-z 0-9 -, and begins with a letter."),
        ("staging", "There is an environment “staging” already."),
    ):
        answer = browser.post("/environments/", {"key": wrong})
        assert (answer.status_code, read(answer).one("#key-errors").text) == (422, said)


@pytest.mark.parametrize("address", ["/messages/", "/webhooks/", "/providers/", "/environments/"])
def test_a_list_takes_as_many_statements_however_long_it_is(
    address: str, django_assert_max_num_queries: Any
) -> None:
    now = database_now()
    for number in range(3):
        made = {"environment": production(), "created_at": now}
        MessageTemplate.objects.create(key=f"m{number}", updated_at=now, updated_by="user/ana", **made)
        WebhookEndpoint.objects.create(url=f"https://a.example/{number}", created_by="user/ana", **made)
        Provider.objects.create(key=f"p{number}", kind="apprise", sealed="x", created_by="user/ana", **made)
    browser = client("admin")
    with django_assert_max_num_queries(5):
        page = read(browser.get(address))
    assert len(page.all("[data-row]")) == (2 if address == "/environments/" else 3)
