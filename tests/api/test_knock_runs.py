"""Knock's lists of recipients' runs, and one run with its events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from automations.api.moments import stamp
from automations.models import Cancellation, LiveRun, Run, RunStatus, database_now
from tests.api.conftest import Caller, decoded, knock_refused
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    invoke,
    production,
    publish,
    run_of,
    start,
    work_off,
)

pytestmark = pytest.mark.django_db
PATH = "/v1/workflow_recipient_runs"
OBJECT = {"id": "p1", "collection": "projects"}


def found(api: Caller, **query: Any) -> list[str]:
    answer = api.get(f"{PATH}?{urlencode(query, doseq=True)}")
    return [item["id"] for item in answer["items"]]


def trigger(api: Caller, *recipients: Any, **given: Any) -> str:
    """The id of the runs' common invocation."""
    body = {"recipients": recipients, **given}
    return str(decoded(api.post("/v1/workflows/one/trigger", body))["workflow_run_id"])


@pytest.fixture(autouse=True)
def one(db: None) -> None:
    publish("one", {"steps": [{"id": "nap", **DELAY}, {"id": "tell", **SEND}]}, alias="One/1")


def test_a_run_is_shown_in_knocks_words(api: Caller) -> None:
    uid = trigger(api, OBJECT, actor="a", tenant="t", cancellation_key="ck")
    run = Run.objects.get()
    shown = {
        "__typename": "WorkflowRecipientRun",
        "id": str(run.uid),
        "workflow": "one",
        "workflow_run_id": uid,
        "recipient": OBJECT,
        "actor": "a",
        "tenant": "t",
        "status": "paused",
        "error_count": 0,
        "trigger_source": {"type": "api", "cancellation_key": "ck"},
        "inserted_at": stamp(run.created_at),
        "updated_at": stamp(run.created_at),
    }
    response = api.send("GET", PATH)
    assert response["Content-Type"] == "application/json"
    assert decoded(response) == {
        "items": [shown],
        "page_info": {"__typename": "PageInfo", "after": None, "before": None, "page_size": 50},
    }
    event = run.events.get()
    assert api.get(f"{PATH}/{run.uid}") == {
        **shown,
        "events": [
            {
                "__typename": "WorkflowRecipientRunEvent", "id": str(event.pk), "event": "invoked", "status": "ok",
                "inserted_at": stamp(event.at), "step_ref": None, "step_type": None, "attempt": None,
                "data": event.data,
            }
        ],
    }  # fmt: skip


@pytest.fixture
def runs() -> dict[str, Run]:
    """One run in every state, by its name here."""
    made = {
        "completed": run_of(invoke(SEND)),
        "failed": run_of(invoke({"action": "delay", "duration": "${1}"})),
        "skipped": run_of(invoke(SEND)),
    }
    work_off()
    Run.objects.filter(pk=made["skipped"].pk).update(status=RunStatus.SKIPPED)
    made["processing"] = run_of(invoke(SEND))
    start()
    made |= {"queued": run_of(invoke(SEND)), "paused": run_of(invoke(DELAY)), "retried": run_of(invoke(SEND))}
    LiveRun.objects.filter(pk=made["retried"].pk).update(attempt=1)
    made["cancelled"] = run_of(invoke(DELAY))
    cancel_runs(run_pks=(made["cancelled"].pk,))
    made["under a bar"] = run_of(invoke(DELAY, key="barred"))
    return made


WORDS = {
    "queued": ["queued"],
    "paused": ["paused", "retried"],
    "processing": ["processing"],
    "completed": ["completed", "failed", "skipped"],
    "cancelled": ["cancelled", "under a bar"],
}


@pytest.fixture
def bar(runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch) -> Cancellation:
    """One that stands and is not swept."""
    monkeypatch.setattr("automations.cancellation.AT_ONCE", 0)
    return cancel_runs(key="barred")


@pytest.mark.parametrize("word", WORDS)
def test_every_status_has_its_word_and_is_found_by_it(
    api: Caller, runs: dict[str, Run], bar: Cancellation, word: str
) -> None:
    ids = {str(runs[name].uid) for name in WORDS[word]}
    assert {item["id"] for item in api.get(PATH)["items"] if item["status"] == word} == ids
    assert set(found(api, **{"status[]": word})) == ids
    assert {api.get(f"{PATH}/{run}")["status"] for run in ids} == {word}


def test_statuses_add_up(api: Caller, runs: dict[str, Run], bar: Cancellation) -> None:
    wanted = [*WORDS["paused"], *WORDS["queued"], *WORDS["cancelled"]]
    ids = {str(runs[name].uid) for name in wanted}
    assert set(found(api, **{"status[]": ["paused", "queued", "cancelled"]})) == ids
    newest_first = [str(run.uid) for run in sorted(runs.values(), key=lambda run: -run.pk)]
    assert found(api) == newest_first


def test_a_failed_run_is_completed_with_errors(api: Caller, runs: dict[str, Run]) -> None:
    failed = str(runs["failed"].uid)
    assert {item["id"] for item in api.get(PATH)["items"] if item["error_count"] == 1} == {failed}
    assert found(api, has_errors="true") == [failed]
    assert set(found(api, has_errors="false")) == {str(run.uid) for run in runs.values()} - {failed}


def test_runs_are_filtered_by_all_that_is_documented(api: Caller) -> None:
    trigger(api, "u1", tenant="t1")
    trigger(api, OBJECT, tenant="t2")
    publish("two", {"steps": [DELAY]})
    invoke(definition=None, automation="two", recipients=["u1"])
    user, thing, other = (str(uid) for uid in Run.objects.order_by("pk").values_list("uid", flat=True))
    assert found(api, recipient="u1") == [other, user]
    assert found(api, **{"recipient[id]": "p1", "recipient[collection]": "projects"}) == [thing]
    assert found(api, workflow="one") == found(api, workflow="One/1") == [thing, user]
    assert found(api, workflow="nobody") == []
    assert (found(api, tenant="t1"), found(api, tenant="t3")) == ([user], [])
    now = database_now()
    assert found(api, starting_at=(now - timedelta(hours=1)).isoformat()) == [other, thing, user]
    assert found(api, ending_at=(now - timedelta(hours=1)).isoformat()) == []
    assert found(api, recipient="u1", workflow="one", tenant="t1", **{"status[]": "paused"}) == [user]


def test_pages_follow_one_another(api: Caller) -> None:
    trigger(api, *(f"u{n}" for n in range(5)))
    seen, after = [], None
    for size in (2, 2, 1):
        query = {"page_size": 2} | ({"after": after} if after else {})
        answer = api.get(f"{PATH}?{urlencode(query)}")
        assert len(answer["items"]) == size
        seen += [item["recipient"] for item in answer["items"]]
        after = answer["page_info"]["after"]
    assert (seen, after) == (["u4", "u3", "u2", "u1", "u0"], None)


def test_a_page_has_at_most_fifty(api: Caller) -> None:
    trigger(api, *(f"u{n}" for n in range(51)))
    answer = api.get(f"{PATH}?page_size=1000")
    assert (len(answer["items"]), answer["page_info"]["page_size"]) == (50, 50)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("status[]=waiting", "invalid"),
        ("has_errors=maybe", "invalid"),
        ("starting_at=soon", "invalid"),
        ("after=x", "invalid"),
        ("page_size=0", "invalid"),
        ("before=MQ", "not_supported"),
        ("recipient[collection]=projects", "required"),
        ("recipient[collection]=projects&recipient=u1", "required"),
        ("recipient[collection]=projects&recipient[id]=", "required"),
    ],
)
def test_what_is_not_understood_is_refused(api: Caller, query: str, code: str) -> None:
    assert knock_refused(api.send("GET", f"{PATH}?{query}"))[:2] == (400, code)


def test_a_bound_is_written_out(api: Caller) -> None:
    refused = knock_refused(api.send("GET", f"{PATH}?page_size=0"))
    assert refused == (400, "invalid", "“page_size” must be a number from 1 to 1,000,000")


def test_the_events_say_what_became_of_the_steps(api: Caller) -> None:
    run = run_of(invoke({"id": "tell", **SEND}))
    work_off()
    events = api.get(f"{PATH}/{run.uid}")["events"]
    told = [(event["event"], event["status"], event["step_ref"], event["step_type"]) for event in events]
    assert told == [("invoked", "ok", None, None), ("step_completed", "ok", "tell", "send")]


def test_a_cancel_stands_among_the_events_at_once_and_no_second_time_when_it_is_written(api: Caller) -> None:
    run = run_of(invoke(DELAY, SEND))
    cancellation = cancel_runs(run_pks=(run.pk,))
    at_once = api.get(f"{PATH}/{run.uid}")
    assert (at_once["status"], [event["event"] for event in at_once["events"]]) == (
        "cancelled",
        ["invoked", "cancelled"],
    )
    told = at_once["events"][1]
    assert (told["id"], told["inserted_at"]) == (str(cancellation.pk), stamp(cancellation.as_of))
    archive_all()
    written = api.get(f"{PATH}/{run.uid}")["events"]
    assert [event["event"] for event in written] == ["invoked", "cancelled"]
    for name in ("event", "inserted_at", "step_ref", "step_type", "attempt", "status"):
        assert written[1][name] == told[name]
    assert written[1]["data"].items() >= told["data"].items()


def test_an_unknown_run_is_404(api: Caller) -> None:
    for run in ("0199d3f2-0000-7000-8000-000000000001", "nobody", quote("\0")):
        assert knock_refused(api.send("GET", f"{PATH}/{run}"))[:2] == (404, "run_not_found")


def test_another_environment_sees_nothing(make_key: Any) -> None:
    run = run_of(invoke(DELAY, key="ck"))
    stranger = Caller(make_key("read", "cancel", environment="test"))
    assert found(stranger) == []
    assert knock_refused(stranger.send("GET", f"{PATH}/{run.uid}"))[:2] == (404, "run_not_found")
    response = stranger.post("/v1/workflows/one/cancel", {"cancellation_key": "ck"})
    assert knock_refused(response)[:2] == (404, "workflow_missing")
    assert production().automations.count() == 1
