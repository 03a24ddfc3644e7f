"""Runs over the native API: found, looked into, called off."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from automations.api.moments import stamp
from automations.execution import keep_house
from automations.models import Cancellation, LiveRun, Run
from automations.models.uid import first_uid
from tests.api.conftest import Caller, decoded, refused
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    invoke,
    make_due,
    production,
    publish,
    run_of,
    start,
    work_off,
)

pytestmark = pytest.mark.django_db
PATH = "/api/v1/runs"
LATER = {"action": "delay", "duration": "3 days"}


def found(api: Caller, query: str) -> list[str | None]:
    """The recipients of the runs found, in the order of the list."""
    return [item["recipient"] for item in api.get(f"{PATH}?{query}")["items"]]


def test_a_waiting_run_is_told_with_its_steps(api: Caller) -> None:
    publish("trial", {"cancellation_token": "t", "steps": [SEND, {"id": "nap", **DELAY}, SEND]})
    invoke(DELAY)  # another one
    answer = decoded(
        api.post("/api/v1/invocations", {"automation": "trial", "recipient": "u1", "cancellation_key": "k"}),
        201,
    )
    work_off()
    run = Run.objects.get(recipient="u1")
    told = api.get(f"{PATH}/{run.uid}")
    steps, link = told.pop("steps"), told.pop("explain_cancel")
    assert (link, told.pop("children")) == (f"{PATH}/{run.uid}/explain-cancel", [])
    assert told == {
        "id": answer["runs"][0]["id"], "invocation": answer["id"], "automation": "trial", "version": 1,
        "source": "api/backend", "recipient": "u1", "cancellation_token": "t", "cancellation_key": "k",
        "status": "waiting", "settling": False, "held": False, "status_reason": None,
        "created_at": stamp(run.created_at),
        "due_at": stamp(run.live.due_at), "finished_at": None, "cancellation": None, "parent": None,
        "replay_of": None,
    }  # fmt: skip
    assert api.get(f"{PATH}?recipient=u1")["items"] == [told]
    assert [(step["index"], step["id"], step["action"], step["status"], step["attempts"]) for step in steps] == [
        (0, "0", "send", "completed", 1), (1, "nap", "delay", "waiting", 0), (2, "2", "send", "pending", 0),
    ]  # fmt: skip
    assert set(steps[0]) == {
        "index", "id", "action", "status", "attempts", "due_at", "started_at", "finished_at", "output", "error",
        "skip_reason", "outcome_after_cancel",
    }  # fmt: skip
    assert steps[0]["output"]["body"] == "Hello "
    assert (steps[1]["due_at"], steps[2]["started_at"]) == (told["due_at"], None)


def test_a_cancelled_run_says_by_whom(api: Caller) -> None:
    run = run_of(invoke(DELAY))
    receipt = decoded(api.post(f"{PATH}/{run.uid}/cancel", {"reason": "asked"}))
    told = api.get(f"{PATH}/{run.uid}")
    assert (told["status"], told["status_reason"], told["settling"], told["due_at"]) == (
        "cancelled",
        "cancel_request",
        False,
        None,
    )
    assert told["finished_at"] == receipt["as_of"]
    assert told["cancellation"] == {
        "id": receipt["id"],
        "at": receipt["as_of"],
        "actor": "key/backend",
        "origin": "api",
        "reason": "asked",
    }
    assert [step["status"] for step in told["steps"]] == ["cancelled"]


def test_a_run_tells_of_its_parent_and_its_children(api: Caller) -> None:
    publish("child", {"steps": [DELAY]})
    run = run_of(invoke({"action": "invoke", "template": "child", "wait": True}, DELAY))
    other = run_of(invoke(DELAY))
    work_off()
    (child,) = Run.objects.filter(parent=run.pk)
    told = api.get(f"{PATH}/{run.uid}")
    assert (told["parent"], told["children"], told["status"], told["due_at"]) == (
        None, [str(child.uid)], "waiting", None
    )  # fmt: skip
    assert (told["steps"][0]["status"], told["steps"][0]["output"]) == ("waiting", {"run": str(child.uid)})
    of_child = api.get(f"{PATH}/{child.uid}")
    assert (of_child["parent"], of_child["children"], of_child["source"]) == (
        str(run.uid), [], f"run/{run.uid}"
    )  # fmt: skip
    listed = api.get(f"{PATH}?parent={run.uid}")["items"]
    assert [(item["id"], item["parent"]) for item in listed] == [(str(child.uid), str(run.uid))]
    assert api.get(f"{PATH}?parent={other.uid}")["items"] == []
    refused = decoded(api.send("POST", f"{PATH}/{run.uid}/run-now"), 422)
    assert [error["code"] for error in refused["errors"]] == ["awaits_child"]


def test_the_receipt_of_a_parent_names_its_children(api: Caller) -> None:
    publish("child", {"steps": [DELAY]})
    run = run_of(invoke({"action": "invoke", "template": "child"}, DELAY))
    work_off()
    (child,) = Run.objects.filter(parent=run.pk)
    receipt = decoded(api.post(f"{PATH}/{run.uid}/cancel", {}))
    assert (receipt["matched"], receipt["cancelled"]) == (2, 2)
    assert receipt["cancelled_run_ids"] == [str(run.uid), str(child.uid)]
    assert api.get(f"{PATH}/{child.uid}")["status_reason"] == "parent_cancelled"


def test_a_run_that_is_settling_says_so(api: Caller) -> None:
    run = run_of(invoke(SEND, DELAY))
    start()
    cancel_runs(run_ids=(run.uid,))
    told = api.get(f"{PATH}/{run.uid}")
    assert (told["status"], told["settling"], told["status_reason"]) == ("cancelled", True, "cancel_request")
    assert [step["status"] for step in told["steps"]] == ["running", "cancelled"]


@pytest.fixture
def first(api: Caller) -> dict[str, Any]:
    """The invocation of `a`, which was followed by those of `b` and `c`, finished by now."""
    publish("trial", {"cancellation_token": "refs.data.t", "steps": [DELAY]})
    later, send = {"steps": [LATER]}, {"steps": [SEND]}
    answers = [
        decoded(api.post("/api/v1/invocations", given), 201)
        for given in (
            {"automation": "trial", "data": {"t": "tok"}, "recipient": "a", "source": "cron/1"},
            {"definition": later, "recipient": "b", "source": "cron/11", "cancellation_key": "tok"},
            {"definition": send, "recipient": "c"},
        )
    ]
    work_off()
    return answers[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("query", "recipients"),
    [
        ("", "cba"),
        ("status=waiting", "ba"),
        ("status=completed", "c"),
        ("automation=trial", "a"),
        ("automation=nobody", ""),
        ("source=cron/1", "ba"),
        ("source=cron/11", "b"),
        ("source=CRON", ""),
        ("source=cr%25", ""),
        ("token=tok", "ba"),
        ("key=tok", "b"),
        ("recipient=c", "c"),
        ("id=ffff", ""),
        ("token=tok&recipient=b&status=waiting", "b"),
        ("invocation=0199d3f2-0000-7000-8000-000000000001", ""),
    ],
)
@pytest.mark.usefixtures("first")
def test_every_filter_finds_its_runs(api: Caller, query: str, recipients: str) -> None:
    assert found(api, query) == list(recipients)


def test_runs_are_found_by_their_ids(api: Caller, first: dict[str, Any]) -> None:
    uid = first["runs"][0]["id"]
    assert found(api, f"invocation={first['id']}") == ["a"]
    for prefix in (uid, uid.upper(), uid.replace("-", ""), uid[:30]):
        assert found(api, f"id={prefix}") == ["a"]
    assert found(api, f"id={uid[:4]}") == ["c", "b", "a"]


def test_runs_are_found_by_their_times(api: Caller) -> None:
    early, late = run_of(invoke(DELAY, recipients=["early"])), run_of(invoke(LATER, recipients=["late"]))
    for run, hours in ((early, 3), (late, 1)):
        at = run.created_at - timedelta(hours=hours)
        Run.objects.filter(pk=run.pk).update(created_at=at, uid=UUID(int=first_uid(at).int + run.pk))
    two_hours_ago = stamp(early.created_at - timedelta(hours=2))
    assert found(api, f"created_before={two_hours_ago}") == ["early"]
    assert found(api, f"created_after={two_hours_ago}") == ["late"]
    assert found(api, f"due_before={stamp(early.created_at + timedelta(days=1))}") == ["early"]
    for name in ("created_after=0001-01-01", "created_before=9999-12-31T23:59:59Z", "due_before=9999-12-31"):
        assert found(api, name) == ["late", "early"]
    for name in ("created_before=0001-01-01", "created_after=9999-12-31T23:59:59Z", "due_before=0001-01-01"):
        assert found(api, name) == []
    early.refresh_from_db()
    cancel_runs(run_ids=(early.uid,))
    assert found(api, f"due_before={stamp(early.created_at + timedelta(days=9))}") == ["late"]


def test_cancelled_runs_are_found_before_and_after_they_are_archived(api: Caller) -> None:
    runs = [run_of(invoke(DELAY, recipients=["a"])), run_of(invoke(SEND, recipients=["b"]))]
    start()
    cancel_runs(run_ids=tuple(run.uid for run in runs))
    assert found(api, "status=cancelled") == ["b", "a"]
    keep_house(production())
    assert list(LiveRun.objects.values_list("recipient", flat=True)) == ["b"]
    assert found(api, "status=cancelled") == ["b", "a"]


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ("status=WAITING", "/status", "invalid"),
        ("status=cancelling", "/status", "invalid"),
        ("id=xyz", "/id", "invalid"),
        ("id=" + "0" * 40, "/id", "invalid"),
        ("invocation=x", "/invocation", "invalid"),
        ("created_after=yesterday", "/created_after", "invalid"),
        ("created_before=99999-01-01", "/created_before", "invalid"),
        ("due_before=0001-01-01T00:00:00%2B14:00", "/due_before", "invalid"),
        ("token=a%00b", "/token", "invalid"),
        ("source=" + "s" * 256, "/source", "invalid"),
        ("tag=x", "/tag", "unknown_parameter"),
        ("token=a&token=b", "/token", "duplicate"),
        ("limit=5&token=a&limit=5", "/limit", "duplicate"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused(api: Caller, query: str, pointer: str, code: str) -> None:
    assert refused(api.send("GET", f"{PATH}?{query}")) == (400, code, [(pointer, code)])


def test_pages_follow_one_another_without_gap_or_repetition(api: Caller) -> None:
    invoke(DELAY, recipients=[f"u{n}" for n in range(5)])
    seen, query = [], "limit=2"
    for _ in range(3):
        page = api.get(f"{PATH}?{query}")
        seen.append([item["recipient"] for item in page["items"]])
        invoke(DELAY, recipients=["newer"])
        query = f"limit=2&cursor={page['next_cursor']}"
    assert (seen, page["next_cursor"]) == ([["u4", "u3"], ["u2", "u1"], ["u0"]], None)


@pytest.mark.parametrize("count", [1, 3])
def test_a_list_of_any_length_costs_two_statements(
    api: Caller, count: int, django_assert_num_queries: Any
) -> None:
    publish("trial", {"steps": [DELAY]})
    for _ in range(count):
        decoded(api.post("/api/v1/invocations", {"automation": "trial"}), 201)
        cancel_runs(run_ids=(Run.objects.latest("pk").uid,))
        decoded(api.post("/api/v1/invocations", {"automation": "trial"}), 201)
    with django_assert_num_queries(2):  # the key, the runs
        assert len(api.get(PATH)["items"]) == 2 * count


def test_a_run_costs_three_statements(api: Caller, django_assert_num_queries: Any) -> None:
    for steps in ([DELAY], [SEND, DELAY, SEND]):
        run = run_of(invoke(*steps))
        work_off()
        with django_assert_num_queries(3):  # the key, the run, its events
            api.get(f"{PATH}/{run.uid}")


def test_the_log_of_a_run_is_told_newest_first(api: Caller) -> None:
    run = run_of(invoke(SEND, DELAY))
    work_off()
    cancel_runs(run_ids=(run.uid,))
    archive_all()
    items = api.get(f"{PATH}/{run.uid}/events")["items"]
    assert [(item["kind"], item["step"], item["attempt"]) for item in items] == [
        ("cancelled", "2", 0), ("step_completed", "0", 1), ("invoked", None, 0),
    ]  # fmt: skip
    cancellation, due_at = Cancellation.objects.get(), items[1]["data"]["due_at"]
    assert items[0]["data"] == {"due_at": due_at, "cancellation": str(cancellation.pk)}
    assert items[0]["at"] == stamp(cancellation.as_of)
    assert items[1]["data"]["folded"] == [{"step": "1", "outcome": "waiting", "due_at": due_at}]
    assert (due_at[-1], items[1]["data"]["started_at"][-1], "fence" in items[1]["data"]) == ("Z", "Z", False)
    first = api.get(f"{PATH}/{run.uid}/events?limit=2")
    assert api.get(f"{PATH}/{run.uid}/events?cursor={first['next_cursor']}")["items"] == items[2:]


@pytest.mark.parametrize(
    "uid", ["0199d3f2-0000-7000-8000-000000000001", "x", "a%00b", "0" * 32, "%F0%9F%98%80"]
)
def test_a_run_that_is_not_there_is_not_found(api: Caller, uid: str) -> None:
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
        assert refused(api.send(method, f"{PATH}/{uid}{path}"))[0] == 404


def test_a_run_is_cancelled_with_a_receipt(api: Caller) -> None:
    run = run_of(invoke(DELAY, SEND))
    response = api.send("POST", f"{PATH}/{run.uid}/cancel", X_Request_ID="req-7")
    row = Cancellation.objects.get()
    assert decoded(response) == {
        "id": str(row.pk), "as_of": stamp(row.as_of), "actor": "key/backend", "reason": None,
        "filter": {"run_ids": [str(run.uid)]}, "matched": 1, "cancelled": 1, "cancelled_run_ids": [str(run.uid)],
        "already_finished": 0, "in_flight": [], "settled": True, "counted": True, "dry_run": False,
    }  # fmt: skip
    assert (row.request_id, row.origin) == ("req-7", "api")
    make_due(run)
    assert start() == []


def test_a_finished_run_is_left_as_it_is(api: Caller) -> None:
    run = run_of(invoke(SEND))
    work_off()
    receipt = decoded(api.post(f"{PATH}/{run.uid}/cancel", {}))
    assert (receipt["matched"], receipt["cancelled"], receipt["already_finished"]) == (1, 0, 1)
    assert api.get(f"{PATH}/{run.uid}")["status"] == "completed"


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"reason": "r" * 501}, "too_long", "/reason"),
        ({"reason": 5}, "invalid", "/reason"),
        ({"why": "x"}, "unknown_field", "/why"),
    ],
)
def test_a_cancel_of_a_run_says_what_is_wrong_with_it(
    api: Caller, body: Any, code: str, pointer: str
) -> None:
    run = run_of(invoke(DELAY))
    assert refused(api.post(f"{PATH}/{run.uid}/cancel", body)) == (422, code, [(pointer, code)])
    assert Cancellation.objects.count() == 0


@pytest.mark.parametrize("wait", ["-1", "31", "x", "1e1", "nan", "inf", "%D9%A1", "1_0"])
def test_a_wait_is_a_number_of_seconds_up_to_thirty(api: Caller, wait: str) -> None:
    run = run_of(invoke(DELAY))
    for path, body in (
        (f"{PATH}/{run.uid}/cancel", {}),
        ("/api/v1/cancellations", {"filter": {"token": "t"}}),
    ):
        assert refused(api.post(f"{path}?wait={wait}", body)) == (400, "invalid", [("/wait", "invalid")])
    assert Cancellation.objects.count() == 0


def test_a_cancel_of_a_run_costs_the_same_whatever_it_finds(
    api: Caller, django_assert_max_num_queries: Any
) -> None:
    for steps in ([DELAY], [DELAY, SEND, SEND]):
        run = run_of(invoke(*steps))
        with django_assert_max_num_queries(14):
            decoded(api.post(f"{PATH}/{run.uid}/cancel", {}))
