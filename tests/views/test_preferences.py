"""Theme, time zone and environment: chosen once, rendered by the server from then on."""

from __future__ import annotations

import pytest

from automations.models import ApiKey, database_now
from tests.pages import read
from tests.people import client, person
from tests.scenes import DELAY, invoke

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("chosen", "shown"), [("dark", "dark"), ("light", "light"), ("pink", "system")])
def test_the_theme_is_kept_in_a_cookie(chosen: str, shown: str) -> None:
    browser = client("viewer")
    answer = browser.post("/preferences/", {"theme": chosen, "next": "/templates/?a=b"})
    assert answer["Location"] == "/templates/?a=b"
    page = read(browser.get("/logs/"))
    assert page.one("html")["data-theme"] == shown
    current = [
        button.text
        for button in page.all("button")
        if button.attributes.get("name") == "theme" and button.has("aria-current")
    ]
    assert current == [shown.capitalize()]


def test_somebody_who_is_not_logged_in_may_choose_a_theme() -> None:
    person("viewer")
    browser = client()
    browser.post("/preferences/", {"theme": "dark"})
    assert read(browser.get("/login/")).one("html")["data-theme"] == "dark"


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Nowhere/Else", "../../etc/passwd", "utc\0"])
def test_times_are_in_the_chosen_zone_else_in_utc(zone: str) -> None:
    invoke(DELAY)
    browser = client("viewer")
    browser.post("/preferences/", {"zone": zone})
    known = zone == "Europe/Berlin"
    now = database_now()
    expected = {"CET", "CEST"} if known else {"UTC"}
    shown = read(browser.get("/logs/")).all("[data-row]")[0].texts("time")
    assert shown[-1].split(", ")[1] in expected
    assert (
        read(client("viewer").get("/logs/")).all("[data-row]")[0].texts("time")[-1]
        == f"{now.day} {now:%b}, UTC"
    )


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "logs/", ""]
)
def test_one_is_never_led_elsewhere(back: str) -> None:
    assert client("viewer").post("/preferences/", {"theme": "dark", "next": back})["Location"] == "/"


def test_an_environment_that_does_not_exist_is_not_entered() -> None:
    browser = client("viewer")
    for wanted, shown in (("test", "test"), ("staging", "test"), ("production", "production")):
        assert browser.post("/environment/", {"environment": wanted})["Location"] == "/logs/"
        assert read(browser.get("/logs/")).one("#environment").text == f"Environment: {shown}"


def test_what_was_opened_in_another_environment_does_nothing_in_this_one() -> None:
    browser = client("admin", enforce_csrf_checks=True)

    def token() -> str:
        fields = read(browser.get("/logs/")).all("input")
        return next(field["value"] for field in fields if field["name"] == "csrfmiddlewaretoken")

    mine = token()
    browser.post("/environment/", {"environment": "test", "csrfmiddlewaretoken": mine})
    stale = browser.post("/keys/", {"name": "x", "scopes": "read", "csrfmiddlewaretoken": mine})
    assert (stale.status_code, ApiKey.objects.count()) == (403, 0)
    polled = {"HX-Request": "true", "X-Environment": "production"}
    answer = browser.get("/logs/", headers=polled)
    assert (answer["HX-Refresh"], answer.content) == ("true", b"")
    said = read(browser.get("/logs/")).one("#toast").text
    assert said == "The environment test was chosen in another tab, and now shows here as well."
    assert browser.get("/logs/", headers=polled | {"X-Environment": "test"}).has_header("HX-Replace-Url")
    fresh = browser.post("/keys/", {"name": "x", "scopes": "read", "csrfmiddlewaretoken": token()})
    assert (fresh.status_code, ApiKey.objects.get().environment.key) == (200, "test")
