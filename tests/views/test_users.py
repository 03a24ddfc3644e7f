"""People invited, given a role and sent away in the browser."""

from __future__ import annotations

import re

import pytest
from django.core import signing
from django.test import Client

from automations.models import User
from automations.views.users import _SALT as SALT
from tests.pages import read
from tests.people import PASSWORD, client, person

pytestmark = pytest.mark.django_db


def invited(browser: Client, username: str = "ivo", role: str = "operator") -> str:
    """The path of the link."""
    link = read(browser.post("/users/", {"username": username, "role": role})).one("#invite-link").text
    assert link.startswith("http://testserver/invited/")
    return link.removeprefix("http://testserver")


def test_who_is_invited_chooses_a_password_and_is_in() -> None:
    link = invited(client("admin"))
    assert client().post("/login/", {"username": "ivo", "password": "!"}).status_code == 200
    guest = client()
    assert read(guest.get(link)).one("h1").text == "Welcome, ivo"
    weak = guest.post(link, {"password": "short"})
    assert (weak.status_code, read(weak).one("#password")["aria-invalid"]) == (422, "true")
    assert guest.post(link, {"password": PASSWORD})["Location"] == "/"
    assert guest.get("/logs/").status_code == 200
    user = User.objects.get(username="ivo")
    assert (user.role, user.check_password(PASSWORD)) == ("operator", True)


def test_a_link_is_good_once() -> None:
    link = invited(client("admin"))
    client().post(link, {"password": PASSWORD})
    again = client()
    assert again.get(link).status_code == 404
    assert again.post(link, {"password": "another long password"}).status_code == 404
    assert User.objects.get(username="ivo").check_password(PASSWORD)


def test_a_link_that_was_changed_is_none() -> None:
    link = invited(client("admin"))
    assert client().get(re.sub(r".(/)$", r"x\1", link)).status_code == 404


def test_somebody_sent_away_is_out_at_once() -> None:
    browser, admin = client("operator"), client("admin")
    otto = person("operator")
    assert browser.get("/logs/").status_code == 200
    admin.post(f"/users/{otto.pk}/", {"role": "operator"})
    assert browser.get("/logs/").status_code == 302
    row = read(admin.get("/users/")).one(f"#row-{otto.pk}")
    assert row.texts("td")[0] == "otto may not log in"
    admin.post(f"/users/{otto.pk}/", {"role": "operator", "is_active": "on"})
    assert browser.get("/logs/").status_code == 200


def test_a_role_is_given() -> None:
    vera = person("viewer")
    client("admin").post(f"/users/{vera.pk}/", {"role": "admin", "is_active": "on"})
    vera.refresh_from_db()
    assert vera.role == "admin"


@pytest.mark.parametrize("given", [{"role": "viewer", "is_active": "on"}, {"role": "admin"}])
def test_the_last_admin_stays_admin(given: dict[str, str]) -> None:
    browser, ana = client("admin"), person("admin")
    answer = browser.post(f"/users/{ana.pk}/", given)
    assert answer.status_code == 422
    assert read(answer).one("#refusal").text == "The last admin stays admin."
    ana.refresh_from_db()
    assert (ana.role, ana.is_active) == ("admin", True)


def test_a_new_password_is_chosen_by_a_link() -> None:
    otto = person("operator")
    page = read(
        client("admin").post(f"/users/{otto.pk}/", {"role": "operator", "is_active": "on", "link": "1"})
    )
    link = page.one("#invite-link").text.removeprefix("http://testserver")
    client().post(link, {"password": "quite another password"})
    otto.refresh_from_db()
    assert otto.check_password("quite another password")


def test_a_link_tells_nothing_of_the_password_it_replaces() -> None:
    otto = person("operator")
    page = read(
        client("admin").post(f"/users/{otto.pk}/", {"role": "operator", "is_active": "on", "link": "1"})
    )
    token = page.one("#invite-link").text.rstrip("/").rpartition("/")[2]
    pk, digest = signing.loads(token, salt=SALT)
    assert (pk, len(digest)) == (otto.pk, 64)
    assert otto.password.rpartition("$")[2] not in token + digest
    forged = signing.dumps([otto.pk, otto.password], salt=SALT, compress=True)
    assert [client().get(f"/invited/{text}/").status_code for text in (token, forged)] == [200, 404]


@pytest.mark.parametrize("username", ["ana", "", "with blank", "x" * 151])
def test_a_name_that_cannot_be_is_refused_at_its_field(username: str) -> None:
    answer = client("admin").post("/users/", {"username": username, "role": "viewer"})
    assert answer.status_code == 422
    assert read(answer).one("#username-errors").text
    assert User.objects.count() == 1


def test_many_people_are_shown_in_pages() -> None:
    User.objects.bulk_create(User(username=f"u{number:02d}", password="!") for number in range(51))
    User.objects.filter(username="u50").update(is_active=False)
    first = read(client("admin").get("/users/"))
    assert len(first.all("[data-row]")) == 50
    assert first.all("[data-row]")[-1].text.startswith("u50")  # who may not log in comes last
    older = read(client("admin").get(f"/users/{first.one('#older')['href'].removeprefix('/users/')}"))
    assert len(older.all("[data-row]")) == 2  # ana too


@pytest.mark.parametrize(
    ("role", "said"), [("viewer", "is a viewer."), ("operator", "is an operator."), ("admin", "is an admin.")]
)
def test_a_role_that_was_given_is_said_in_a_sentence(role: str, said: str) -> None:
    vera, admin = person("viewer"), client("admin")
    admin.post(f"/users/{vera.pk}/", {"role": role, "is_active": "on"})
    assert read(admin.get("/users/")).one("#toast").text == f"{vera.username} {said}"
