"""A search of the logs carried over to the form that cancels many runs, and what of it is left out."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode

import pytest

from automations.models import database_now
from logs.bulk_forms import FilterForm
from logs.carried import asked_by
from logs.search import Search
from tests.pages import read
from tests.people import client
from tests.scenes import DELAY, invoke, production, publish, run_of

pytestmark = pytest.mark.django_db


def test_a_search_of_the_logs_becomes_the_filter() -> None:
    now = database_now()
    search = Search(
        text='recipient:ana token:"a b" source:api/x', automation="onboarding", started="1h", wakes="24h"
    )
    carried = asked_by(search, environment=production(), now=now)
    assert carried.left_out == ["what only begins with recipient ana", "what only begins with source api/x"]
    form = FilterForm(carried.fields)
    assert form.is_valid(), form.errors
    scope = form.filter
    assert (scope.token, scope.recipients, scope.source, scope.automation) == (
        "a b",
        ("ana",),
        "api/x",
        "onboarding",
    )
    assert scope.created_after == (now - timedelta(hours=1)).replace(microsecond=0)
    assert scope.due_before == (now + timedelta(days=1)).replace(microsecond=0)
    page = read(client("operator").get("/logs/?q=user-1&status=waiting"))
    assert page.one("#to-bulk")["href"] == "/bulk/new/?q=user-1&status=waiting"
    assert read(client("operator").get(page.one("#to-bulk")["href"])).one("#token")["value"] == "user-1"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("onboarding-u1", "token"),
        ("api/shop", "source"),
        ("ana", "recipients"),
        ("order-7", "key"),
        ("i-1", "idempotency_key"),
        ("onboarding-", "token"),  # the beginning of a token is sought as a whole one, and hits nothing
    ],
)
def test_a_text_is_put_where_it_hits_and_never_widens(text: str, name: str) -> None:
    invoke(DELAY, token="onboarding-u1", source="api/shop", recipients=["ana"], key="order-7",
           idempotency_key="i-1", fingerprint="f")  # fmt: skip
    page = read(client("operator").get(f"/bulk/new/?{urlencode({'q': text})}"))
    inputs = [field for field in page.one("#asked").all("input") if field["name"] != "csrfmiddlewaretoken"]
    filled = {field["name"]: field["value"] for field in inputs if field["value"]}
    filled |= {field["name"]: field.text for field in page.one("#asked").all("textarea") if field.text}
    assert filled == {name: text}
    assert page.one("#left-out").text == (
        f"Left out: what only begins with {text}; only exact values are cancelled here."
        " Name the 1 unfinished run of the list instead"
    )


def test_what_the_list_showed_and_the_form_cannot_ask_for_is_named() -> None:
    run = run_of(invoke(DELAY, token="7", source="7", recipients=["7"]))
    query = {"q": "token:a token:b key:k 7", "status": "running", "cancellation": str(run.uid)}
    page = read(client("operator").get(f"/bulk/new/?{urlencode(query)}"))
    assert page.one("#left-out").text == (
        "Left out: status running; what one cancellation called off; what only begins with token a; token b;"
        " what only begins with key k; recipient 7; source 7; token 7; what only begins with 7;"
        " only exact values are cancelled here."
    )
    assert (page.one("#token")["value"], page.one("#key")["value"]) == ("a", "k")
    named = read(client("operator").get(f"/bulk/new/?q={run.uid}"))
    assert (named.one("#run_ids").text, named.all("#left-out")) == (str(run.uid), [])
    assert read(client("operator").get("/bulk/new/?token=x")).all("#left-out") == []


@pytest.mark.parametrize(
    ("query", "filled", "left_out"),
    [
        ('key:"order-8"', {"key": "order-8"}, []),
        ('key:"order-9"', {"idempotency_key": "order-9"}, []),
        ("key:order-9", {"idempotency_key": "order-9"}, ["what only begins with key order-9"]),
        ('key:"order-10"', {"key": "order-10"}, ["idempotency key order-10"]),
        ('key:"order-11"', {"key": "order-11"}, []),  # it is both, of one run
        ('key:"order-8" key:"order-9"', {"key": "order-8", "idempotency_key": "order-9"}, []),
        ('key:"order-8" key:"none"', {"key": "order-8"}, ["key none"]),
        ('key:"none"', {"key": "none"}, []),
    ],
)
def test_a_key_that_is_an_idempotency_key_is_carried_as_one(
    query: str, filled: dict[str, str], left_out: list[str]
) -> None:
    for key, idempotency_key in (
        ("order-8", None), (None, "order-9"), ("order-10", None), (None, "order-10"), ("order-11", "order-11"),
    ):  # fmt: skip
        invoke(DELAY, key=key, idempotency_key=idempotency_key, fingerprint="f")
    carried = asked_by(Search(text=query), environment=production(), now=database_now())
    assert (carried.fields, carried.left_out) == (filled, left_out)


def test_the_preview_of_a_key_hits_what_the_list_showed() -> None:
    invoke(DELAY, idempotency_key="order-9", fingerprint="f")
    browser = client("operator")
    asked = read(browser.get("/bulk/new/?q=key:order-9"))
    assert asked.one("#idempotency_key")["value"] == "order-9"
    plan = read(browser.get("/bulk/new/?idempotency_key=order-9"))
    assert plan.one("#plan-title").text.startswith("This calls off 1 run")


def test_a_search_with_an_automation_is_never_taken_for_all_of_that_automation() -> None:
    publish("a", {"steps": [DELAY]})
    for query, previewed in (("automation=a", 1), ("automation=a&q=u1", 0), ("automation=a&started=1h", 0)):
        page = read(client("operator").get(f"/bulk/new/?{query}"))
        assert (query, len(page.all("#plan"))) == (query, previewed)
        assert page.one("#automation")["value"] == "a"
    assert read(client("operator").get("/bulk/new/?automation=a&q=u1")).one("#token")["value"] == "u1"


def test_the_filter_takes_a_text_apart_as_the_search_does() -> None:
    text = 'mykey:7 key:"a b" onboarding-token:x recipient:ana'
    search = Search(text=text, wakes="late")
    assert [(part.field, part.value, part.whole) for part in search.qualified] == [
        ("key", "a b", True), ("recipient", "ana", False),
    ]  # fmt: skip
    now = database_now()
    fields = asked_by(search, environment=production(), now=now).fields
    assert {name: fields[name] for name in ("token", "key", "recipients")} == {
        "token": search.bare, "key": "a b", "recipients": "ana",
    }  # fmt: skip
    assert search.bare.split() == ["mykey:7", "onboarding-token:x"]
    assert fields["due_before"] == (now - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S")


def test_what_the_form_cannot_ask_for_is_cancelled_by_the_ids_of_the_list() -> None:
    """A beginning, a status and a text that hits in two fields, as the list finds them: its runs, and no other."""
    runs = [run_of(invoke(DELAY, token=f"onboarding-{name}")) for name in ("ana", "bob")]
    runs.append(run_of(invoke(DELAY, source="onboarding-import")))
    invoke(DELAY, token="trial-ana")
    browser = client("operator")
    offered = read(browser.get("/bulk/new/?q=onboarding-&status=waiting")).one("#to-these")
    assert offered.text == "Name the 3 unfinished runs of the list instead"
    assert offered["href"] == "/bulk/new/?q=onboarding-&status=waiting&these=runs"
    page = read(browser.get(offered["href"]))
    named = page.one("#run_ids").text.split()
    assert named == [str(run.uid) for run in reversed(runs)]
    assert (page.one("#token")["value"], page.all("#left-out")) == ("", [])
    assert page.one("#named").text == (
        "These are the unfinished runs, 3 of them, that the list finds now, by id:"
        " what it finds later is not among them."
    )
    plan = read(browser.post("/bulk/new/", {"run_ids": "\n".join(named)}, follow=True))
    assert plan.one("#plan-title").text.startswith("This calls off 3 runs")


def test_only_unfinished_runs_are_named_and_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ana", "bob"):
        invoke(DELAY, token=f"onboarding-{name}")
    run = run_of(invoke(DELAY, token="onboarding-eva"))
    browser = client("operator")
    browser.post(f"/logs/{run.uid}/cancel/")
    for query in (
        "q=onboarding-&status=cancelled",
        "status=completed",
        "q=onboarding-&nonsense=1",
        "q=nothing-",
    ):
        page = read(browser.get(f"/bulk/new/?{query}&these=runs"))
        assert (query, page.all("#to-these"), page.all("#named")) == (query, [], [])
    assert page.one("#left-out").text.endswith("only exact values are cancelled here.")
    assert read(browser.get("/bulk/new/?q=onboarding-")).one("#to-these").text.startswith("Name the 2 ")
    for module in ("logs.carried", "logs.views.bulk"):
        monkeypatch.setattr(f"{module}.MOST_RUNS", 1)
    page = read(browser.get("/bulk/new/?q=onboarding-&these=runs"))
    assert (page.all("#to-these"), page.one("#token")["value"]) == ([], "onboarding-")
    assert page.one("#left-out").text.endswith(
        "The list finds more than 1 unfinished runs: narrow it, and they can be named by their ids."
    )


def test_one_run_is_named_as_one() -> None:
    run = run_of(invoke(DELAY, token="onboarding-ana"))
    browser = client("operator")
    page = read(browser.get("/bulk/new/?q=onboarding-"))
    assert page.one("#to-these").text == "Name the 1 unfinished run of the list instead"
    page = read(browser.get(page.one("#to-these")["href"]))
    assert page.one("#run_ids").text == str(run.uid)
    assert page.one("#named").text == (
        "This is the one unfinished run that the list finds now, by id: what it finds later is not among them."
    )
