"""Lists of recipients in the browser, and what the audit log keeps of them."""

from __future__ import annotations

from typing import Any

import pytest

from automations.models import MOST_MEMBERS, AuditEntry, Environment, RecipientList
from tests.letters import knows, listed
from tests.pages import read
from tests.people import client

pytestmark = pytest.mark.django_db
LISTS = "/recipients/lists/"
TEAM = "/recipients/lists/team/"


def members(key: str = "team") -> Any:
    return RecipientList.objects.get(key=key).members


def noted() -> list[tuple[str, str, Any, Any]]:
    return list(
        AuditEntry.objects.filter(object="list/team", actor="user/ana")
        .order_by("pk").values_list("action", "actor", "before", "after")
    )  # fmt: skip


def test_an_admin_makes_names_changes_and_removes_a_list_and_all_is_noted() -> None:
    browser = client("admin")
    made = browser.post(LISTS, {"key": "team", "name": "The team", "members": "b\r\n a \r\n\r\nb"})
    assert (made["Location"], members()) == (TEAM, ["b", "a"])
    browser.post(TEAM, {"do": "add", "members": "c\nd, e"})
    browser.post(TEAM, {"do": "take-off", "members": "b\nnobody"})
    browser.post(TEAM, {"do": "drop", "ticked": ["a", "c"]})
    browser.post(TEAM, {"do": "drop"})  # nothing is ticked, so nothing changes
    browser.post(TEAM, {"do": "name", "name": "T"})
    assert (members(), RecipientList.objects.get().name) == (["d, e"], "T")
    wrong = browser.post(TEAM, {"do": "remove", "typed": "Team"})
    assert (wrong.status_code, read(wrong).one("#typed-errors").text) == (
        422, "Type “team” to remove this list.",
    )  # fmt: skip
    assert browser.post(TEAM, {"do": "remove", "typed": "team"})["Location"] == LISTS
    assert not RecipientList.objects.exists()
    by = "user/ana"
    assert noted() == [
        ("list.made", by, None, {"name": "The team", "members": 2}),
        ("list.changed", by, {"added": None, "members": 2}, {"added": ["c", "d, e"], "members": 4}),
        ("list.changed", by, {"members": 4, "removed": None}, {"members": 3, "removed": ["b"]}),
        ("list.changed", by, {"members": 3, "removed": None}, {"members": 1, "removed": ["a", "c"]}),
        ("list.changed", by, {"name": "The team"}, {"name": "T"}),
        ("list.removed", by, {"name": "T", "members": 1}, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"key": "-x"}, "key"),
        ({"key": "team"}, "key"),
        ({"name": "x" * 201}, "name"),
        ({"members": "x" * 256}, "members"),
        ({"members": "a\u200bb"}, "members"),
        ({"members": "\n".join(map(str, range(MOST_MEMBERS + 1)))}, "members"),
    ],
)
def test_what_is_wrong_with_a_new_list_is_said_at_its_field(fields: dict[str, str], name: str) -> None:
    listed("team", "ada")
    answer = client("admin").post(LISTS, {"key": "new", **fields})
    assert answer.status_code == 422
    assert read(answer).one(f"#{name}-errors").text
    assert [row.key for row in RecipientList.objects.all()] == ["team"]


def test_a_list_that_would_be_too_long_stays_as_it_is() -> None:
    listed("team", *(str(number) for number in range(MOST_MEMBERS)))
    answer = client("admin").post(TEAM, {"do": "add", "members": "one more"})
    assert read(answer).one("#list-errors").text == "A list has at most 1,000 members."
    assert (answer.status_code, len(members())) == (422, MOST_MEMBERS)
    assert read(client("admin").post(TEAM, {"do": "add", "members": " "})).one("#members-errors").text


def test_others_read_and_may_change_nothing(django_assert_max_num_queries: Any) -> None:
    for number in range(3):
        listed(f"l{number}", *"abc"[: number + 1])
    listed("foreign", "x", environment=Environment.objects.get(key="test"))
    browser = client("operator")
    with django_assert_max_num_queries(5):
        page = read(browser.get(LISTS))
    assert [row.texts("td")[:2] for row in page.all("[data-row]")] == [
        ["l2 l2", "3"], ["l1 l1", "2"], ["l0 l0", "1"],
    ]  # fmt: skip
    assert page.all("#new-list") == []
    one = read(browser.get(f"{LISTS}l2/"))
    assert (one.one("#count").text, one.all("#add"), one.all("#drop"), one.all("#remove")) == (
        "3 members", [], [], [],
    )  # fmt: skip
    for address, do in ((LISTS, ""), (f"{LISTS}l2/", "add"), (f"{LISTS}l2/", "drop")):
        assert browser.post(address, {"do": do, "key": "k", "members": "a"}).status_code == 403
    assert client("admin").get(f"{LISTS}foreign/").status_code == 404


def test_members_are_found_by_the_beginning_of_their_id_and_come_in_pages() -> None:
    listed("team", "zoe", *(f"u-{number:03}" for number in range(120)), "<b>")
    page = read(client("viewer").get(TEAM))
    assert (len(page.all("[data-row]")), page.all("[data-row]")[0].text.split()[0]) == (50, "zoe")
    found = read(client("viewer").get(f"{TEAM}?q=u-"))
    older = read(client("viewer").get(found.one("#older")["href"]))
    last = read(client("viewer").get(older.one("#older")["href"]))
    assert [len(one.all("[data-row]")) for one in (found, older, last)] == [50, 50, 20]
    assert (last.all("#older"), last.one("#newest")["href"]) == ([], f"{TEAM}?q=u-")
    for query in ("q=nobody", "from=99999", "from=-1", "from=x", "q=%00"):
        assert client("viewer").get(f"{TEAM}?{query}").status_code == 200
    assert read(client("viewer").get(f"{TEAM}?q=nobody")).all("[data-row]") == []


def test_a_recipient_leads_to_its_lists_and_they_lead_back() -> None:
    ada = knows("ada")
    for key, *ids in (("team", "ada", "bob"), ("beta", "bob", "ada"), ("other", "adam", "bob")):
        listed(key, *ids)
    page = read(client("viewer").get(f"/recipients/{ada.pk}/"))
    links = [link["href"] for link in page.one("#its-lists").all("a")]
    assert links == [f"{LISTS}beta/", TEAM]
    team = read(client("viewer").get(TEAM))
    assert team.one(f"#member-{ada.pk}")["href"] == f"/recipients/{ada.pk}/"
    assert [row.texts("td")[1] for row in team.all("[data-row]")] == ["yes", "nothing is known of it"]
