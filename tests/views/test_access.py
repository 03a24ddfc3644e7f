"""Who may open and send what: every page, and every role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from tests.people import client, person
from tests.scenes import DELAY, invoke, publish

pytestmark = pytest.mark.django_db
ROLES = (None, "viewer", "operator", "admin")
HTMX = {"HX-Request": "true"}
TO_LOGIN = 302
# What GET and POST are answered, for nobody, viewer, operator and admin. A POST that does not say enough is
# 422, one that a page does not take 405.
PAGES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "": ((302, 200, 200, 200), (302, 405, 405, 405)),
    "logs/": ((302, 200, 200, 200), (302, 405, 405, 405)),
    "logs/<uuid:uid>/": ((302, 200, 200, 200), (302, 405, 405, 405)),
    "logs/<uuid:uid>/cancel/": ((302, 403, 200, 200), (302, 403, 302, 302)),
    "setup/": ((404, 404, 404, 404), (404, 404, 404, 404)),
    "login/": ((200, 302, 302, 302), (200, 302, 302, 302)),
    "logout/": ((302, 405, 405, 405), (302, 302, 302, 302)),
    "preferences/": ((405, 405, 405, 405), (302, 302, 302, 302)),
    "logs/export.csv": ((302, 200, 200, 200), (302, 405, 405, 405)),
    "logs/export.jsonl": ((302, 200, 200, 200), (302, 405, 405, 405)),
    "logs/<uuid:uid>/time/": ((302, 403, 200, 200), (302, 403, 422, 422)),
    "logs/<uuid:uid>/replay/": ((302, 403, 200, 200), (302, 403, 422, 422)),
    "logs/<uuid:uid>/why/": ((302, 200, 200, 200), (302, 405, 405, 405)),
    "bulk/<uuid:uid>/missed/": ((302, 404, 404, 404), (302, 405, 405, 405)),
    "keys/": ((302, 403, 403, 200), (302, 403, 403, 422)),
    "keys/<slug:public_id>/roll/": ((302, 405, 405, 405), (302, 403, 403, 404)),
    "keys/<slug:public_id>/revoke/": ((302, 405, 405, 405), (302, 403, 403, 404)),
    "users/": ((302, 403, 403, 200), (302, 403, 403, 422)),
    "users/<int:pk>/": ((302, 405, 405, 405), (302, 403, 403, 404)),
    "invited/<path:token>/": ((404, 404, 404, 404), (404, 404, 404, 404)),
    "bulk/": ((302, 200, 200, 200), (302, 405, 405, 405)),
    "bulk/new/": ((302, 403, 200, 200), (302, 403, 422, 422)),
    "bulk/<uuid:uid>/": ((302, 404, 404, 404), (302, 405, 405, 405)),
    "bulk/<uuid:uid>/undo/": ((302, 405, 405, 405), (302, 404, 404, 404)),
    "workers/": ((404, 404, 404, 404), (405, 405, 405, 405)),
    "environment/": ((302, 405, 405, 405), (302, 302, 302, 302)),
    "audit/": ((302, 403, 403, 200), (302, 405, 405, 405)),
    "audit/export.csv": ((302, 403, 403, 200), (302, 405, 405, 405)),
    "docs/": ((302, 200, 200, 200), (302, 405, 405, 405)),
    "docs/<slug:slug>/": ((302, 200, 200, 200), (302, 405, 405, 405)),
    "environments/": ((302, 403, 403, 200), (302, 403, 403, 422)),
    "webhooks/": ((302, 403, 403, 200), (302, 403, 403, 422)),
    "webhooks/<uuid:uid>/": ((302, 403, 403, 404), (302, 403, 403, 404)),
    "webhooks/<uuid:uid>/deliveries/<uuid:delivery>/retry/": ((302, 405, 405, 405), (302, 403, 403, 404)),
    "recipients/": ((302, 200, 200, 200), (302, 405, 405, 405)),
    "recipients/new/": ((302, 403, 403, 200), (302, 403, 403, 422)),
    "recipients/lists/": ((302, 200, 200, 200), (302, 403, 403, 422)),
    "recipients/lists/<str:key>/": ((302, 404, 404, 404), (302, 404, 404, 404)),
    "recipients/<int:pk>/": ((302, 404, 404, 404), (302, 404, 404, 404)),
    "messages/": ((302, 200, 200, 200), (302, 405, 405, 405)),
    "messages/~new/": ((302, 403, 403, 200), (302, 403, 403, 422)),
    "messages/<str:key>/": ((302, 404, 404, 404), (302, 404, 404, 404)),
    "providers/": ((302, 403, 403, 200), (302, 403, 403, 422)),
    "providers/<str:key>/remove/": ((302, 405, 405, 405), (302, 403, 403, 404)),
    "templates/": ((302, 200, 200, 200), (302, 405, 405, 405)),
    "templates/new/": ((302, 403, 403, 200), (302, 403, 403, 422)),
    "templates/<key:key>/token-preview": ((302, 405, 405, 405), (302, 403, 200, 200)),
    "templates/<key:key>/steps/<int:place>": ((302, 200, 200, 200), (302, 403, 403, 412)),
    "templates/<key:key>/json": ((302, 200, 200, 200), (302, 403, 403, 422)),
    "templates/<key:key>/settings": ((302, 200, 200, 200), (302, 403, 403, 422)),
    "templates/<key:key>/versions": ((302, 200, 200, 200), (302, 403, 403, 404)),
    "templates/<key:key>/runs": ((302, 200, 200, 200), (302, 405, 405, 405)),
    "templates/<key:key>/publish": ((302, 403, 403, 200), (302, 403, 403, 412)),
    "templates/<key:key>/disable": ((302, 403, 403, 200), (302, 403, 403, 422)),
    "templates/<key:key>/enable": ((302, 403, 403, 200), (302, 403, 403, 302)),
    "templates/<key:key>/invoke": ((302, 403, 200, 200), (302, 403, 302, 302)),
    "templates/<key:key>/use": ((302, 200, 200, 200), (302, 405, 405, 405)),
    "templates/<key:key>/": ((302, 200, 200, 200), (302, 403, 403, 422)),
}


def patterns(resolver: URLResolver, before: str = "") -> Iterator[tuple[str, Any]]:
    for entry in resolver.url_patterns:
        route = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from patterns(entry, route)
        elif isinstance(entry, URLPattern):
            yield route, entry.callback


def test_every_page_has_its_row() -> None:
    routes = [
        route for route, view in patterns(get_resolver()) if not view.__module__.startswith("automations.api.")
    ]  # fmt: skip
    assert sorted(routes) == sorted(PAGES)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("route", PAGES)
def test_a_role_may_do_so_much_and_no_more(route: str, role: str | None) -> None:
    person("admin")
    publish("welcome", {"steps": [DELAY]})
    uid = invoke(DELAY).runs[0]["id"]
    given = {
        "uid": uid,
        "key": "welcome",
        "public_id": "nobody",
        "pk": "0",
        "token": "x",
        "slug": "steps",
        "delivery": uid,
        "place": "0",
    }
    address = "/" + re.sub(r"<\w+:(\w+)>", lambda name: given[name[1]], route)
    column = ROLES.index(role)
    gets, posts = PAGES[route]
    assert client(role).get(address).status_code == gets[column]
    assert client(role).post(address).status_code == posts[column]


@pytest.mark.parametrize(
    "route", [route for route, (gets, _) in PAGES.items() if gets[0] == TO_LOGIN and route]
)
def test_nobody_is_sent_to_the_login_and_from_there_back(route: str) -> None:
    person("admin")
    given = route.replace("<int:pk>", "7").replace("<int:place>", "7")
    address = "/" + re.sub(r"<\w+:(\w+)>", "01a1faa2-7e38-7497-8d4a-8ef95a6dba71", given)
    assert client().get(f"{address}?a=b")["Location"] == f"/login/?next={address.replace('/', '%2F')}%3Fa%3Db"


def test_after_a_form_one_is_led_to_a_page_and_not_to_where_the_form_went() -> None:
    person("admin")
    assert client().post("/logout/")["Location"] == "/login/?next=%2F"


def test_an_expired_login_moves_the_whole_page_when_htmx_polls() -> None:
    person("admin")
    headers = {**HTMX, "HX-Current-URL": "http://testserver/logs/?status=waiting"}
    answer = client().get("/logs/?tag=x", headers=headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer["HX-Redirect"] == "/login/?next=%2Flogs%2F%3Fstatus%3Dwaiting"


def test_while_nobody_can_log_in_every_page_leads_to_the_set_up() -> None:
    assert [client().get(address)["Location"] for address in ("/", "/login/", "/logs/", "/templates/")] == [
        "/setup/"
    ] * 4
    assert client().get("/logs/", headers=HTMX)["HX-Redirect"] == "/setup/"


def test_a_deactivated_person_is_out_at_once() -> None:
    browser = client("admin")
    assert browser.get("/logs/").status_code == 200
    someone = person("admin")
    someone.is_active = False
    someone.save()
    assert browser.get("/logs/").status_code == 302


def test_a_post_needs_the_forms_token() -> None:
    browser = client("admin", enforce_csrf_checks=True)
    posts = [route for route, (_, posted) in PAGES.items() if posted[3] not in (404, 405)]
    publish("welcome", {"steps": [DELAY]})
    uid = invoke(DELAY).runs[0]["id"]
    answers = {
        route: browser.post(
            "/" + route.replace("<uuid:uid>", uid).replace("<key:key>", "welcome").replace("<int:place>", "0")
        ).status_code
        for route in posts
    }
    assert answers == dict.fromkeys(posts, 403)
