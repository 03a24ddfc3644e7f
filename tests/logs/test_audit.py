"""The audit log: every change that is not a run's, who made it, from where, and what it was before."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt

from automations import publication
from automations.admission import keys, users
from automations.models import ApiKey, AuditEntry, Cancellation, Environment, audit, database_now
from tests.captured import Captured
from tests.pages import read
from tests.people import PASSWORD, client, person
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
    assert text.rpartition("_")[2] not in str(list(AuditEntry.objects.order_by("pk").values()))


def test_what_is_published_and_disabled_is_noted() -> None:
    publish("trial", {"steps": [DELAY]})
    publication.publish(environment=production(), key="trial", by="test")  # nothing new
    publication.disable(environment=production(), key="trial", by="user/ana", mode="hold", reason="a mistake")
    publication.enable(environment=production(), key="trial", by="user/ana")
    publication.archive(environment=production(), key="trial", by="key/ci")
    assert entries() == [
        (by, f"automation.{action}", "automation/trial")
        for by, action in (
            ("test", "made"), ("test", "published"), ("user/ana", "disabled"), ("user/ana", "enabled"),
            ("key/ci", "archived"),
        )
    ]  # fmt: skip
    disabled = AuditEntry.objects.get(action="automation.disabled")
    assert disabled.after == {"mode": "hold", "reason": "a mistake"}


@pytest.mark.parametrize(("actor", "noted"), [("user/ana", 1), ("key/shop", 0), ("run/x", 0)])
def test_only_what_a_person_cancels_costs_a_statement(actor: str, noted: int) -> None:
    counts = []
    for by in ("key/ci", actor):
        invoke(DELAY, SEND, token=by)
        with Captured() as captured:
            cancel_runs(token=by, actor=by)
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


def save(by: str = "user/ana", **settings: Any) -> int:
    """Saves another draft; how many entries that left."""
    before = AuditEntry.objects.count()
    draft = {"steps": [DELAY] * (before + 1)}
    publication.save_draft(environment=production(), key="trial", definition=draft, by=by, settings=settings)
    return AuditEntry.objects.count() - before


def test_drafts_are_noted_once_for_a_sitting_and_names_each_time() -> None:
    publish("trial", {"steps": [SEND]})
    assert [save(), save(), save(by="user/otto"), save(by="user/otto"), save()] == [1, 0, 1, 0, 1]
    publication.publish(environment=production(), key="trial", by="user/ana")
    assert [save(), save()] == [1, 0]
    elsewhere = AuditEntry.objects.create(
        at=database_now(), actor="user/otto", action="automation.draft_saved", object="automation/trial-2"
    )
    AuditEntry.objects.exclude(pk=elsewhere.pk).update(at=database_now() - timedelta(minutes=16))
    assert [save(), save(), save(alias="t"), save(alias="t")] == [1, 0, 1, 0]
    assert list(AuditEntry.objects.order_by("-pk").values_list("action", "before", "after")[:2]) == [
        ("automation.changed", {"alias": None}, {"alias": "t"}),
        ("automation.draft_saved", None, {"revision": 9}),
    ]


def test_logins_are_noted_with_the_name_that_was_tried() -> None:
    person("viewer")
    browser = client(REMOTE_ADDR="192.0.2.7")
    for name, password in (
        ("vera", "wrong"),
        (PASSWORD, "vera"),
        ("a\0", "x"),
        ("vera", ""),
        ("vera", PASSWORD),
    ):
        browser.post("/login/", {"username": name, "password": password})
    browser.post("/logout/")
    assert entries() == [
        ("nobody", "login.failed", "user/vera"), ("nobody", "login.failed", "user/?"),
        ("user/vera", "login.succeeded", "user/vera"), ("user/vera", "login.ended", "user/vera"),
    ]  # fmt: skip
    noted = list(AuditEntry.objects.order_by("pk").values())
    assert noted[1]["after"] == {"name": "co… (28 characters)"}
    assert PASSWORD not in str(noted)
    assert {entry["address"] for entry in noted} == {"192.0.2.7"}


def test_a_lock_out_is_noted_once() -> None:
    person("viewer")
    for _ in range(13):
        client().post("/login/", {"username": "vera", "password": "wrong"})
    assert [action for _, action, _ in entries()] == ["login.failed"] * 9 + ["login.throttled"]


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "198.51.100.1", "10.0.0.1"),
        (1, "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        (2, "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (2, "198.51.100.1", "198.51.100.1"),
        (1, "198.51.100.1:4711", "198.51.100.1"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "", "10.0.0.1"),
        (1, "6.6.6.6, unknown", "10.0.0.1"),
    ],
)
def test_behind_proxies_the_address_is_the_one_that_the_outermost_of_them_saw(
    settings: Any, proxies: int, forwarded: str, address: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    _, text = keys.issue(environment=production(), name="shop", scopes=("read",), by="command")
    given = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": forwarded}
    client(**given).get("/api/v1/runs", headers={"Authorization": f"Bearer {text}"})
    assert ApiKey.objects.get().last_used_from == address
    person("viewer")
    client(**given).post("/login/", {"username": "vera", "password": "wrong"})
    assert AuditEntry.objects.get(action="login.failed").address == address
    assert AccessAttempt.objects.get().ip_address == address


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
