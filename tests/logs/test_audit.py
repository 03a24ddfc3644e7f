"""The audit log: every change that is not a run's, who made it, from where, and what it was before."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from automations import publication
from automations.admission import keys, users
from automations.models import AuditEntry, Cancellation, Environment, Origin, audit
from tests.pages import read
from tests.people import client, person
from tests.scenes import DELAY, SEND, cancel_runs, invoke, production, publish

pytestmark = pytest.mark.django_db


def entries() -> list[tuple[str, str, str]]:
    """Actor, action and object, oldest first."""
    return list(AuditEntry.objects.order_by("pk").values_list("actor", "action", "object"))


def test_what_an_admin_does_in_the_browser_is_noted_with_the_address() -> None:
    browser = client("admin", REMOTE_ADDR="192.0.2.7")
    browser.post("/keys/", {"name": "backend", "scopes": ["read"], "expires": ""})
    browser.post("/users/", {"username": "nadia", "role": "viewer"})
    nadia = person("viewer").__class__.objects.get(username="nadia")
    browser.post(f"/users/{nadia.pk}/", {"role": "operator", "is_active": "on"})
    browser.post(f"/users/{nadia.pk}/", {"role": "operator", "is_active": "on"})  # nothing new
    browser.post("/environments/", {"key": "staging"})
    found = [(actor, action) for actor, action, _ in entries()]
    assert found == [
        ("user/ana", "key.made"), ("user/ana", "user.invited"), ("user/ana", "user.changed"),
        ("user/ana", "environment.made"),
    ]  # fmt: skip
    changed = AuditEntry.objects.get(action="user.changed")
    assert (changed.before, changed.after) == ({"role": "viewer"}, {"role": "operator"})
    assert set(AuditEntry.objects.values_list("address", flat=True)) == {"192.0.2.7"}
    assert (changed.environment, AuditEntry.objects.get(action="key.made").environment) == (
        None,
        production(),
    )


def test_keys_are_noted_without_their_secrets() -> None:
    key, text = keys.issue(environment=production(), name="shop", scopes=("read",), by="command")
    keys.revoke(key, by="user/ana")
    keys.revoke(key, by="user/ana")
    assert entries() == [
        ("command", "key.made", f"key/{key.public_id} shop"), ("user/ana", "key.revoked", f"key/{key.public_id} shop"),
    ]  # fmt: skip
    assert text.rpartition("_")[2] not in str(list(AuditEntry.objects.values()))


def test_what_is_published_and_disabled_is_noted() -> None:
    publish("trial", {"steps": [DELAY]})
    publication.publish(environment=production(), key="trial", by="test")  # nothing new
    publication.disable(environment=production(), key="trial", by="user/ana", mode="hold", reason="a mistake")
    publication.enable(environment=production(), key="trial", by="user/ana")
    publication.archive(environment=production(), key="trial", by="key/ci")
    assert entries() == [
        ("test", "automation.published", "automation/trial"), ("user/ana", "automation.disabled", "automation/trial"),
        ("user/ana", "automation.enabled", "automation/trial"), ("key/ci", "automation.archived", "automation/trial"),
    ]  # fmt: skip
    disabled = AuditEntry.objects.get(action="automation.disabled")
    assert disabled.after == {"mode": "hold", "reason": "a mistake"}


@pytest.mark.parametrize(("origin", "noted"), [(Origin.BROWSER, 1), (Origin.API, 0)])
def test_only_cancels_from_the_browser_cost_a_statement(origin: Origin, noted: int) -> None:
    counts = []
    for used in (Origin.API, origin):
        invoke(DELAY, SEND, token="t")
        with CaptureQueriesContext(
            connection,
        ) as captured:
            cancel_runs(token="t", origin=used)
        counts.append(len(captured))
    assert (counts[1] - counts[0], AuditEntry.objects.count()) == (noted, noted)


def test_a_cancel_and_its_undo_are_noted_with_what_was_asked_for() -> None:
    run = invoke(DELAY, SEND).runs[0]["id"]
    browser = client("operator")
    browser.post(f"/logs/{run}/cancel/", {"reason": "a mistake"})
    row = Cancellation.objects.get()
    browser.post(f"/bulk/{row.pk}/undo/")
    assert entries() == [
        ("user/otto", "runs.cancelled", f"cancellation/{row.pk}"),
        ("user/otto", "runs.undone", f"cancellation/{row.pk}"),
    ]  # fmt: skip
    noted = AuditEntry.objects.get(action="runs.cancelled")
    assert noted.after is not None
    assert noted.after["reason"] == "a mistake"


def test_a_change_that_is_rolled_back_leaves_no_entry() -> None:
    ana = person("admin")
    assert not users.change(ana, role="viewer", is_active=True, by="user/ana")
    assert entries() == []


def test_the_page_finds_by_who_what_and_kind_within_the_environment(
    django_assert_max_num_queries: Any,
) -> None:
    elsewhere = Environment.objects.get(key="test")
    for number in range(3):
        audit(
            "key.made",
            of=f"key/{number} shop",
            by="user/ana",
            environment_id=production().pk,
            after={"n": number},
        )
    audit("user.invited", of="user/anton", by="user/otto", before={"a": 1}, after={"a": "<b>"})
    audit("key.made", of="key/9 other", by="user/ana", environment_id=elsewhere.pk)
    browser = client("admin")
    with django_assert_max_num_queries(5):
        page = read(browser.get("/audit/"))
    assert [row.texts("td")[2:4] for row in page.all("[data-row]")] == [
        ["user.invited", "user/anton"], ["key.made", "key/2 shop"], ["key.made", "key/1 shop"],
        ["key.made", "key/0 shop"],
    ]  # fmt: skip
    assert page.all("[data-row]")[0].texts("td")[4] == '{"a": 1} → {"a": "<b>"}'
    for query, count in (("q=otto", 1), ("q=ana", 3), ("q=an", 4), ("q=key/1", 1), ("q=key%251", 0),
                         ("action=user", 1), ("action=lost", 4), ("q=ana&action=user", 0)):  # fmt: skip
        assert len(read(browser.get(f"/audit/?{query}")).all("[data-row]")) == count, query
    assert read(browser.get("/audit/?q=ana")).one("#csv")["href"] == "/audit/export.csv?q=ana"


def test_the_log_has_pages_and_a_csv_of_all_of_it() -> None:
    for number in range(51):
        audit("key.made", of=f"key/{number}", by="=cmd()", environment_id=production().pk)
    browser = client("admin")
    page = read(browser.get("/audit/"))
    assert len(page.all("[data-row]")) == 50
    older = read(browser.get(page.one("#older")["href"]))
    assert (len(older.all("[data-row]")), older.one("#newest")["href"]) == (1, "/audit/")
    answer = browser.get("/audit/export.csv?before=1")
    lines = list(csv.reader(io.StringIO(answer.getvalue().decode())))
    assert lines[0] == ["at", "actor", "action", "object", "environment", "before", "after", "address"]
    assert (len(lines), lines[1][1], lines[1][3:5]) == (52, "'=cmd()", ["key/50", "production"])
