"""SuprSend's triggers: one, many at once, and the legacy form that brings its message."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from automations import execution, testpoints
from automations.models import ApiKey, Contact, Invocation, Recipient, Run, contact
from tests.api.conftest import Caller, decoded, suprsend_refused
from tests.captured import Captured
from tests.scenes import DELAY, SEND, archive_all, cancel_runs, production, publish, status

pytestmark = pytest.mark.django_db
BODY: dict[str, Any] = {"workflow": "delayed", "recipients": ["u1"], "data": {}}
LEGACY: dict[str, Any] = {
    "name": "wf", "template": "tpl", "notification_category": "transactional",
    "users": [{"distinct_id": "u1", "$email": ["a@b.co"]}], "data": {"x": 1},
}  # fmt: skip


@pytest.fixture(autouse=True)
def delayed(db: None) -> None:
    publish("delayed", {"steps": [DELAY, SEND]}, alias="Delayed one")


def steps(invocation: Invocation) -> list[dict[str, Any]]:
    """Those that the request brought."""
    assert invocation.definition is not None
    return list(invocation.definition["steps"])


def triggered(api: Caller, body: dict[str, Any], path: str = "/trigger/") -> Invocation:
    """The invocation whose id the answer gave."""
    answer = decoded(api.post(path, body), 202)
    assert (list(answer), answer["status"]) == (["status", "message_id"], "success")
    return Invocation.objects.get(uid=UUID(answer["message_id"]))


@pytest.fixture
def legacy(api: Caller) -> str:
    """The path of the legacy form."""
    return f"/{ApiKey.objects.get().workspace}/trigger/"


# -- one ---------------------------------------------------------------------------------------------------


def test_a_workflow_runs_once_for_each_recipient(api: Caller) -> None:
    body = {
        "workflow": "delayed",
        "recipients": [
            {"distinct_id": "u1", "$email": ["a@b.co", "c@d.co"], "$channels": ["email"], "plan": "pro"},
            "u2",
            {"is_transient": True, "$sms": "+15555550100", "email": "own@b.co"},
        ],
        "data": {"n": "é"},
        "actor": {"distinct_id": "boss"},
        "tenant_id": "t",
        "$idempotency_key": "ik-1",
        "cancellation_key": "ck-1",
        "metadata": {"ignored": 1},
    }
    invocation = triggered(api, body)
    assert (invocation.source, invocation.dialect, invocation.idempotency_key) == (
        "trigger/delayed",
        "suprsend",
        "ik-1",
    )
    assert (invocation.performer, invocation.tenant, invocation.data) == ("boss", "t", {"n": "é"})
    emails = {"$email": ["a@b.co", "c@d.co"], "email": "a@b.co"}
    assert list(Run.objects.order_by("pk").values_list("recipient", "profile", "key")) == [
        ("u1", {**emails, "$channels": ["email"], "plan": "pro"}, "ck-1"),
        ("u2", {}, "ck-1"),
        ("own@b.co", {"$sms": "+15555550100", "email": "own@b.co", "phone_number": "+15555550100"}, "ck-1"),
    ]


def test_whoever_is_named_twice_has_one_run_and_those_without_an_id_one_each(api: Caller) -> None:
    nobody, first = {"is_transient": True, "n": 1}, {"distinct_id": "u1", "$email": "a@b.co"}
    named = [nobody, "u1", first, nobody, {"distinct_id": "u1", "$email": "c@d.co"}, "u2"]
    assert triggered(api, {**BODY, "recipients": named}).run_count == 4
    latest = {"$email": "c@d.co", "email": "c@d.co"}
    runs = Run.objects.order_by("pk").values_list("recipient", "profile")
    assert list(runs) == [(None, {"n": 1}), ("u1", latest), (None, {"n": 1}), ("u2", {})]
    assert set(Contact.objects.values_list("address", "recipient")) == {("a@b.co", "u1"), ("c@d.co", "u1")}


def test_what_is_said_of_the_actor_is_kept_as_what_is_said_of_recipients(api: Caller) -> None:
    triggered(
        api,
        {**BODY, "recipients": ["u1"], "actor": {"distinct_id": "boss", "$email": ["b@x.y"], "plan": "pro"}},
    )
    triggered(api, {**BODY, "recipients": ["u1"], "actor": {"distinct_id": "plain"}})
    assert dict(Recipient.objects.values_list("key", "profile")) == {
        "boss": {"$email": ["b@x.y"], "email": "b@x.y", "plan": "pro"}
    }


def test_addresses_are_learnt_once(api: Caller) -> None:
    named = {"distinct_id": "u1", "$email": ["A@b.co "], "$whatsapp": [{"value": "+1555"}], "$sms": [None]}
    for _ in range(2):
        triggered(api, {**BODY, "recipients": [named]})
    known = Contact.objects.order_by("address").values_list("address", "recipient", "environment__key")
    assert list(known) == [("+1555", "u1", "production"), ("a@b.co", "u1", "production")]


def test_addresses_are_forgotten_a_month_after_the_last_trigger_unless_a_run_is_unfinished(
    api: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact, "LOOKED_AT_ONCE", 2)
    for name in ("gone", "alive", "recent", "again"):
        triggered(api, {**BODY, "recipients": [{"distinct_id": name, "$email": [f"{name}@b.co"]}]})
    cancel_runs(recipients=("gone", "recent", "again"))
    archive_all()
    past = timezone.now() - contact.KEPT
    Contact.objects.exclude(recipient="recent").update(learnt_at=past)
    triggered(api, {**BODY, "recipients": [{"distinct_id": "again", "$email": "again@b.co"}]})
    cancel_runs(recipients=("again",))
    archive_all()
    seen = 0
    for _ in range(3):
        seen = Contact.objects.forget(now=timezone.now(), behind=seen)
    assert (seen, set(Contact.objects.values_list("recipient", flat=True))) == (
        0,
        {"alive", "recent", "again"},
    )
    Contact.objects.filter(recipient="again").update(learnt_at=past)
    for _ in range(3):  # it has a place of its own to go on from
        execution.tidy()
    assert set(Contact.objects.values_list("recipient", flat=True)) == {"alive", "recent"}


def test_an_address_is_known_with_the_commit_that_accepts_its_run(api: Caller) -> None:
    seen: dict[str, int] = {}
    told = {**BODY, "recipients": [{"distinct_id": "u1", "$email": ["a@b.co", "c@d.co"]}]}
    with (
        Captured() as captured,
        testpoints.watched(
            lambda name: seen.update({name: Contact.objects.count()}) if name.startswith("invoke.") else None
        ),
    ):
        triggered(api, told)
    assert seen == {"invoke.prepared": 0, "invoke.committed": 2}
    assert sum('INTO "automations_contact"' in query["sql"] for query in captured) == 1


def test_recipients_without_addresses_cost_no_statement(api: Caller) -> None:
    triggered(api, BODY)  # what is read once is kept
    with Captured() as suprsend:
        triggered(api, BODY)
    with Captured() as knock:
        decoded(api.post("/v1/workflows/delayed/trigger", {"recipients": ["u1"]}))
    assert len(suprsend) == len(knock) + 1  # of which one is this test's own


@pytest.mark.parametrize("name", ["delayed", "Delayed one"])
@pytest.mark.parametrize("path", ["/trigger/", "/trigger", "/compat/suprsend/trigger/"])
def test_a_workflow_is_named_by_key_or_alias(api: Caller, path: str, name: str) -> None:
    assert triggered(api, {**BODY, "workflow": name}, path).automation.key == "delayed"


def test_the_same_key_again_is_skipped_whatever_comes_with_it(api: Caller) -> None:
    first = triggered(api, {**BODY, "$idempotency_key": "ik"})
    again = triggered(api, {**BODY, "$idempotency_key": "ik", "recipients": ["u2"]})
    assert (again.pk, Run.objects.count()) == (first.pk, 1)
    assert triggered(api, {**BODY, "$idempotency_key": None}).pk != first.pk


def test_of_a_transient_recipient_without_an_address_the_run_alone_knows(api: Caller) -> None:
    slack = {"access_token": "xoxb-1", "channel_id": "C1"}
    people = [{"is_transient": True, "$slack": slack}, {"is_transient": True, "$inbox": ["i"]}]
    triggered(api, {**BODY, "recipients": people})
    assert list(Run.objects.order_by("pk").values_list("recipient", "profile")) == [
        (None, {"$slack": slack}), (None, {"$inbox": ["i"]}),
    ]  # fmt: skip
    assert (Recipient.objects.count(), Contact.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"recipients": [{"is_transient": False, "$slack": {}}]}, "/recipients/0/distinct_id"),
        ({"recipients": [{"is_transient": True, "distinct_id": ""}]}, "/recipients/0/distinct_id"),
        ({"workflow": None}, "/workflow"),
        ({"workflow": ""}, "/workflow"),
        ({"recipients": None}, "/recipients"),
        ({"recipients": []}, "/recipients"),
        ({"recipients": ["u"] * 101}, "/recipients"),
        ({"recipients": ["u", None]}, "/recipients/1"),
        ({"recipients": [5]}, "/recipients/0"),
        ({"recipients": [{"$email": []}]}, "/recipients/0/distinct_id"),
        ({"recipients": [{"$email": "a\nb", "$sms": "1" * 256}]}, "/recipients/0/distinct_id"),
        ({"recipients": [{"distinct_id": "", "$email": "a@b.co"}]}, "/recipients/0/distinct_id"),
        ({"data": "x"}, "/data"),
        ({"data": {"x": "x" * 300_000}}, "/data"),
        ({"$idempotency_key": "x" * 256}, "/$idempotency_key"),
        ({"cancellation_key": "x" * 256}, "/cancellation_key"),
        ({"tenant_id": 5}, "/tenant_id"),
    ],
)
def test_what_does_not_fit_is_named(api: Caller, change: dict[str, Any], pointer: str) -> None:
    code, kind, message = suprsend_refused(api.post("/trigger/", {**BODY, **change}))
    assert (code, kind, f"({pointer})" in message) == (400, "bad_request", True)
    assert (Run.objects.count(), Contact.objects.count()) == (0, 0)


def test_an_unknown_workflow_is_named(api: Caller) -> None:
    response = api.post("/trigger/", {**BODY, "workflow": "nope"})
    assert suprsend_refused(response) == (404, "not_found", "workflow 'nope' not found")
    assert suprsend_refused(api.post("/trigger/", {**BODY, "workflow": "x" * 256}))[0] == 400


# -- many --------------------------------------------------------------------------------------------------


def test_of_many_each_stands_for_itself(api: Caller) -> None:
    bodies = [BODY, {**BODY, "workflow": "nope"}, 5, {**BODY, "recipients": []}, BODY]
    answer = decoded(api.post("/trigger/", bodies), 207)
    assert (answer["status"], len(answer["records"])) == ("success", 5)
    first, unknown, no_object, nobody, last = answer["records"]
    for record in (first, last):
        assert (record["status"], record["status_code"]) == ("success", 202)
        assert Invocation.objects.filter(uid=UUID(record["message_id"])).exists()
    assert unknown == {
        "status": "error",
        "status_code": 404,
        "error": {"message": "workflow 'nope' not found", "type": "not_found"},
    }
    assert [(record["status"], record["status_code"]) for record in (no_object, nobody)] == [
        ("error", 400)
    ] * 2
    assert Run.objects.count() == 2


def test_many_are_at_most_a_hundred(api: Caller) -> None:
    assert len(decoded(api.post("/trigger/", [BODY] * 100), 207)["records"]) == 100
    for bodies in ([], [BODY] * 101):
        assert suprsend_refused(api.post("/trigger/", bodies))[:2] == (400, "bad_request")
    assert Run.objects.count() == 100


# -- the legacy form ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        ({"delay": "1d2h3m4s"}, 93_784),
        ({"delay": 90}, 90),
        ({"delay": "90"}, 90),
        ({"delay": "1h", "trigger_at": None}, 3600),
    ],
)
def test_a_message_is_brought_with_its_delay(
    api: Caller, legacy: str, delay: dict[str, Any], seconds: int
) -> None:
    invocation = triggered(api, {**LEGACY, **delay}, legacy)
    run = Run.objects.with_state().get()
    assert (invocation.source, run.recipient, run.profile["email"]) == ("trigger/wf", "u1", "a@b.co")
    assert (status(run), run.live.position) == ("waiting", "1")
    assert run.live.due_at - run.created_at == timedelta(seconds=seconds)
    assert [step["action"] for step in steps(invocation)] == ["delay", "send"]
    assert steps(invocation)[1]["template"] == "tpl"


def test_a_message_may_have_a_moment_or_no_delay(api: Caller, legacy: str) -> None:
    now = triggered(api, LEGACY, legacy)
    assert [step["action"] for step in steps(now)] == ["send"]
    assert suprsend_refused(api.post(legacy, {**LEGACY, "trigger_at": "soon"}))[0] == 400
    moment = "2099-01-01T00:00:00Z"
    later = triggered(api, {**LEGACY, "trigger_at": moment, "brand_id": "b"}, legacy)
    assert (steps(later)[0], later.tenant) == ({"action": "delay", "until": moment}, "b")


def test_a_delay_and_a_moment_are_not_weighed_against_each_other(api: Caller, legacy: str) -> None:
    both = {"delay": "1h", "trigger_at": "2099-01-01T00:00:00Z"}
    message = "give either “delay” or “trigger_at” (/trigger_at)"
    assert suprsend_refused(api.post(legacy, {**LEGACY, **both})) == (400, "bad_request", message)
    assert Run.objects.count() == 0


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"delay": "x"}, "/delay"),
        ({"trigger_at": "soon"}, "/trigger_at"),
    ],
)
def test_what_is_wrong_is_named_as_the_caller_sent_it(
    api: Caller, legacy: str, change: dict[str, Any], pointer: str
) -> None:
    assert suprsend_refused(api.post(legacy, {**LEGACY, **change}))[2].endswith(f" ({pointer})")


def test_a_workflow_that_is_disabled_is_named_as_the_caller_named_it(api: Caller) -> None:
    production().automations.update(disabled_at="2026-01-01T00:00:00Z")
    message = "the workflow “delayed” is disabled (/workflow)"
    assert suprsend_refused(api.post("/trigger/", BODY)) == (400, "bad_request", message)


def test_many_are_brought_at_once(api: Caller, legacy: str) -> None:
    answer = decoded(api.post(legacy, [LEGACY, {**LEGACY, "delay": "long"}]), 207)
    assert [record["status_code"] for record in answer["records"]] == [202, 400]
    assert "not a duration" in answer["records"][1]["error"]["message"]


@pytest.mark.parametrize("prefix", ["", "/compat/suprsend"])
def test_the_workspace_must_be_one_that_there_is(api: Caller, legacy: str, prefix: str) -> None:
    assert triggered(api, LEGACY, prefix + legacy).run_count == 1
    assert triggered(api, LEGACY, prefix + legacy.rstrip("/")).run_count == 1
    for other in ("/ws_AbCd1234/trigger/", "/production/trigger/", "/ws_x/trigger"):
        assert suprsend_refused(api.post(prefix + other, LEGACY))[:2] == (404, "not_found")


def test_the_workspace_must_be_the_callers(make_key: Any) -> None:
    stranger = make_key("invoke", environment="test")
    mine = Caller(make_key("invoke"))
    assert suprsend_refused(mine.post(f"/ws_{stranger.split('_')[2]}/trigger/", LEGACY))[:2] == (
        404,
        "not_found",
    )
    sibling = make_key("read")
    assert triggered(mine, LEGACY, f"/ws_{sibling.split('_')[2]}/trigger/").environment == production()


def test_who_may_not_invoke_triggers_nothing(make_key: Any) -> None:
    text = make_key("read", "cancel", "write")
    path = f"/ws_{text.split('_')[2]}/trigger/"
    assert suprsend_refused(Caller(text).post(path, LEGACY))[:2] == (403, "forbidden")
    assert suprsend_refused(Caller("").post(path, LEGACY))[:2] == (401, "unauthorized")
    assert suprsend_refused(Caller(text).send("GET", path))[0] == 405
    assert json.loads(Caller(text).send("OPTIONS", path).content)["code"] == 405
