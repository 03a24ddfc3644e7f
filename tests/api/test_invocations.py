"""Invocations over the native API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from automations import cancellation, execution
from automations.api.native.invocations import roll_up
from automations.cancellation import CancelRequest
from automations.execution import Accepted, housekeeping
from automations.models import CancellationFilter, Environment, Invocation, LiveRun, Origin, Run, database_now
from tests.api.conftest import Caller, decoded, refused
from tests.captured import Captured
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    finish,
    invoke,
    production,
    publish,
    start,
    work_off,
)

pytestmark = pytest.mark.django_db
PATH = "/api/v1/invocations"
STEPS = {"definition": {"steps": [DELAY]}}


def test_an_invocation_answers_with_its_runs(api: Caller) -> None:
    publish("trial", {"cancellation_token": "t-{{data.user_id}}", "steps": [DELAY]})
    body = {
        "automation": "trial",
        "recipient": "u1",
        "data": {"user_id": 7},
        "cancellation_key": "k",
        "tags": ["a"],
    }
    answer = decoded(api.post(PATH, body), 201)
    run, invocation = Run.objects.get(), Invocation.objects.get()
    assert answer == {
        "id": str(invocation.uid), "automation": "trial", "version": 1, "source": "api/backend", "run_count": 1,
        "runs": [
            {
                "id": str(run.uid), "status": "waiting", "recipient": "u1", "cancellation_token": "t-7",
                "cancellation_key": "k",
            }
        ],
    }  # fmt: skip
    assert (invocation.actor, invocation.dialect, invocation.tags) == ("key/backend", "native", ["a"])
    assert api.get(f"{PATH}/{answer['id']}") == {**answer, "status": "waiting", "counts": {"waiting": 1}}


def test_steps_can_be_brought_along(api: Caller) -> None:
    answer = decoded(api.post(PATH, {**STEPS, "source": "cron/7"}), 201)
    assert (answer["automation"], answer["version"], answer["source"]) == (None, None, "cron/7")
    assert answer["runs"][0]["recipient"] is None


def test_each_recipient_has_a_run_with_its_own_profile(api: Caller) -> None:
    body = {
        "definition": {"cancellation_token": "{{profile.mail}}", "steps": [DELAY]},
        "profile": {"mail": "all@x", "plan": "pro"},
        "recipients": ["u1", {"id": "u2", "mail": "u2@x"}],
    }
    answer = decoded(api.post(PATH, body), 201)
    assert [(run["recipient"], run["cancellation_token"]) for run in answer["runs"]] == [
        ("u1", "all@x"),
        ("u2", "u2@x"),
    ]
    assert list(Run.objects.order_by("pk").values_list("profile", flat=True)) == [
        {"mail": "all@x", "plan": "pro"}, {"mail": "u2@x", "plan": "pro"},
    ]  # fmt: skip


def test_one_recipient_may_bring_a_profile(api: Caller) -> None:
    decoded(api.post(PATH, {**STEPS, "recipient": {"id": "u1", "mail": "m"}}), 201)
    assert (Run.objects.get().recipient, Run.objects.get().profile) == ("u1", {"mail": "m"})


def test_a_thousand_recipients_are_invoked_and_a_hundred_listed(api: Caller) -> None:
    answer = decoded(api.post(PATH, {**STEPS, "recipients": [f"u{n}" for n in range(1000)]}), 201)
    assert (answer["run_count"], len(answer["runs"]), LiveRun.objects.count()) == (1000, 100, 1000)
    again = api.get(f"{PATH}/{answer['id']}")
    assert (again["runs"], again["counts"]) == (answer["runs"], {"waiting": 1000})


def test_an_id_beyond_javascripts_integers_keeps_its_digits(api: Caller) -> None:
    definition = {"cancellation_token": "refs.data.id", "steps": [DELAY]}
    answer = decoded(api.send("POST", PATH, b'{"definition": %s, "data": {"id": 9007199254740993}}' % (
        b'{"cancellation_token": "refs.data.id", "steps": [{"action": "delay", "duration": "1 hour"}]}'
    )), 201)  # fmt: skip
    assert answer["runs"][0]["cancellation_token"] == "9007199254740993"
    assert Invocation.objects.get().data == {"id": 9007199254740993}
    assert Invocation.objects.get().definition == definition


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("/automation", "required")]),
        ({"automation": "a", "definition": {}}, [("/automation", "required")]),
        ({"automation": 5}, [("/automation", "invalid")]),
        ({"automation": "a" * 101}, [("/automation", "too_long")]),
        ({**STEPS, "recipient": 5}, [("/recipient", "invalid")]),
        ({**STEPS, "recipient": " "}, [("/recipient", "invalid")]),
        ({**STEPS, "recipient": "u\n"}, [("/recipient", "invalid")]),
        ({**STEPS, "recipient": "u" * 256}, [("/recipient", "too_long")]),
        ({**STEPS, "recipient": {"mail": "m"}}, [("/recipient/id", "required")]),
        ({**STEPS, "recipient": "u", "recipients": ["v"]}, [("/recipient", "invalid")]),
        ({**STEPS, "recipients": []}, [("/recipients", "required")]),
        ({**STEPS, "recipients": "u"}, [("/recipients", "invalid")]),
        ({**STEPS, "recipients": ["u"] * 1001}, [("/recipients", "too_many")]),
        (
            {**STEPS, "recipients": ["u", 5, None]},
            [("/recipients/1", "invalid"), ("/recipients/2", "required")],
        ),
        ({**STEPS, "recipients": [{"id": 5}]}, [("/recipients/0/id", "invalid")]),
        (
            {**STEPS, "recipients": [{"id": "u", "a": "x" * 262_144}]},
            [("/recipients/0", "data_too_large"), ("/recipients/0/id", "required")],
        ),
        ({**STEPS, "data": []}, [("/data", "invalid")]),
        ({**STEPS, "data": {"a": "x" * 262_137}}, [("/data", "data_too_large")]),
        ({**STEPS, "profile": "p"}, [("/profile", "invalid")]),
        ({**STEPS, "profile": {"a": "x" * 262_144}}, [("/profile", "data_too_large")]),
        ({**STEPS, "cancellation_key": ""}, [("/cancellation_key", "invalid")]),
        ({**STEPS, "cancellation_key": "k" * 256}, [("/cancellation_key", "too_long")]),
        ({**STEPS, "cancellation_key": 7}, [("/cancellation_key", "invalid")]),
        ({**STEPS, "source": "a\tb"}, [("/source", "invalid")]),
        ({**STEPS, "source": "s" * 256}, [("/source", "too_long")]),
        ({**STEPS, "tags": "t"}, [("/tags", "invalid")]),
        ({**STEPS, "tags": ["t"] * 51}, [("/tags", "too_many")]),
        ({**STEPS, "tags": ["t", 1]}, [("/tags/1", "invalid")]),
        ({**STEPS, "tags": ["t" * 129]}, [("/tags/0", "too_long")]),
        ({**STEPS, "dat": {}, "recipent": "u"}, [("/dat", "unknown_field"), ("/recipent", "unknown_field")]),
    ],
)
def test_what_cannot_be_invoked_is_refused_by_name(api: Caller, body: Any, expected: Any) -> None:
    status, code, problems = refused(api.post(PATH, body))
    assert (status, code, problems) == (422, expected[0][1], expected)
    assert Invocation.objects.count() == 0


def test_data_of_exactly_256_kib_is_taken(api: Caller) -> None:
    decoded(api.post(PATH, {**STEPS, "data": {"a": "x" * (262_144 - len('{"a":""}'))}}), 201)


def test_an_unknown_automation_is_not_found(api: Caller) -> None:
    expected = (404, "automation_not_found", [("", "automation_not_found")])
    assert refused(api.post(PATH, {"automation": "nobody"})) == expected


def test_an_automation_without_a_version_is_unpublished(api: Caller) -> None:
    decoded(
        api.post("/api/v1/automations", {"key": "a", "name": "A", "definition": STEPS["definition"]}), 201
    )
    expected = (422, "unpublished", [("/automation", "unpublished")])
    assert refused(api.post(PATH, {"automation": "a"})) == expected


def test_an_alias_is_no_key_here(api: Caller) -> None:
    publish("trial", {"steps": [DELAY]}, alias="other")
    assert refused(api.post(PATH, {"automation": "other"}))[0] == 404


def test_a_field_that_one_of_many_recipients_is_missing_is_named_with_the_recipient(api: Caller) -> None:
    publish("trial", {"cancellation_token": "u-{{profile.x}}", "steps": [DELAY]})
    known = [{"id": f"r{number}", "x": number} for number in range(3)]
    response = api.post(PATH, {"automation": "trial", "recipients": [*known, known[0], {"id": "bob"}]})
    code = "cancellation_token_unresolved"
    assert refused(response) == (422, code, [("/recipients/4/x", code)])
    assert json.loads(response.content)["detail"].endswith("(recipient “bob”)")
    alone = api.post(PATH, {"automation": "trial", "recipient": {"id": "bob"}})
    assert refused(alone) == (422, code, [("/profile/x", code)])
    assert not Run.objects.exists()


def test_a_missing_token_field_is_named(api: Caller) -> None:
    definition = {"cancellation_token": "${`t-${data.user.id}`}", "steps": [DELAY]}
    expected = (422, "cancellation_token_unresolved", [("/data/user/id", "cancellation_token_unresolved")])
    assert refused(api.post(PATH, {"definition": definition, "data": {"user": {}}})) == expected


@pytest.mark.parametrize(
    "definition", [5, [], {}, {"steps": []}, {"steps": [5]}, {"steps": [{"action": "wat"}]}]
)
def test_steps_that_cannot_be_run_are_refused(api: Caller, definition: object) -> None:
    status, code, problems = refused(api.post(PATH, {"definition": definition}))
    assert (status, code) == (422, "invalid_definition")
    assert problems[0][0].startswith("/definition")


def test_the_same_key_and_body_give_the_same_answer(api: Caller) -> None:
    first = api.post(PATH, {**STEPS, "data": {"a": 1, "b": 2}}, Idempotency_Key="once")
    again = api.post(PATH, {"data": {"b": 2, "a": 1}, **STEPS}, Idempotency_Key="once")
    assert decoded(again, 201) == decoded(first, 201)
    assert (first.get("Idempotent-Replayed"), again["Idempotent-Replayed"]) == (None, "true")
    assert Run.objects.count() == 1


def test_a_replay_knows_its_version(api: Caller) -> None:
    publish("trial", {"steps": [DELAY]})
    first = api.post(PATH, {"automation": "trial"}, Idempotency_Key="once")
    assert decoded(api.post(PATH, {"automation": "trial"}, Idempotency_Key="once"), 201) == decoded(
        first, 201
    )


def test_the_same_key_with_another_body_is_refused(api: Caller) -> None:
    decoded(api.post(PATH, STEPS, Idempotency_Key="once"), 201)
    expected = (422, "idempotency_key_reused", [("", "idempotency_key_reused")])
    assert refused(api.post(PATH, {**STEPS, "data": {"a": 1}}, Idempotency_Key="once")) == expected
    assert Run.objects.count() == 1


@pytest.mark.parametrize("key", ["", "k" * 256, "é", "tab\there"])
def test_an_idempotency_key_is_printable_ascii(api: Caller, key: str) -> None:
    expected = (422, "invalid_idempotency_key", [("", "invalid_idempotency_key")])
    assert refused(api.post(PATH, STEPS, Idempotency_Key=key)) == expected


def test_an_idempotency_key_of_255_characters_is_taken(api: Caller) -> None:
    decoded(api.post(PATH, STEPS, Idempotency_Key="~ " * 127 + "~"), 201)


def test_a_failed_invoke_leaves_its_key_free(api: Caller) -> None:
    assert api.post(PATH, {"automation": "trial"}, Idempotency_Key="once").status_code == 404
    publish("trial", {"steps": [DELAY]})
    decoded(api.post(PATH, {"automation": "trial"}, Idempotency_Key="once"), 201)


def test_how_an_invocation_stands_is_told_by_status(api: Caller) -> None:
    accepted = invoke(DELAY, recipients=["u1", "u2", "u3"])
    path = f"{PATH}/{accepted.invocation.uid}"
    cancel_runs(run_ids=(Run.objects.get(recipient="u2").uid,))
    answer = api.get(path)
    assert (answer["status"], answer["counts"]) == ("partially_cancelled", {"cancelled": 1, "waiting": 2})
    assert [run["status"] for run in answer["runs"]] == ["waiting", "cancelled", "waiting"]


def test_a_run_that_is_cancelled_while_a_step_runs_counts_as_cancelled(api: Caller) -> None:
    accepted = invoke(SEND, token="t")
    start()
    assert api.get(f"{PATH}/{accepted.invocation.uid}")["counts"] == {"running": 1}
    cancel_runs(token="t")
    answer = api.get(f"{PATH}/{accepted.invocation.uid}")
    assert (answer["status"], answer["counts"]) == ("cancelled", {"cancelled": 1})


def test_a_finished_invocation_is_completed(api: Caller) -> None:
    accepted = invoke(SEND, recipients=["u1", "u2"])
    work_off()
    answer = api.get(f"{PATH}/{accepted.invocation.uid}")
    assert (answer["status"], answer["counts"]) == ("completed", {"completed": 2})


def stands(api: Caller, accepted: Accepted) -> tuple[str, dict[str, int], list[str]]:
    """The invocation's status, its counts, and its runs' statuses, as told."""
    answer = api.get(f"{PATH}/{accepted.invocation.uid}")
    return answer["status"], answer["counts"], [run["status"] for run in answer["runs"]]


def test_some_recipients_of_an_invocation_are_cancelled_and_the_others_are_left(api: Caller) -> None:
    accepted = invoke(SEND, DELAY, recipients=["u1", "u2", "u3"])
    elsewhere = invoke(SEND, recipients=["u1", "u3"])
    scope = {"invocation": str(accepted.invocation.uid), "recipients": ["u1", "u3", "nobody"]}
    receipt = decoded(api.post("/api/v1/cancellations", {"filter": scope}))
    assert (receipt["matched"], receipt["cancelled"], receipt["already_finished"]) == (2, 2, 0)
    told = ("partially_cancelled", {"cancelled": 2, "waiting": 1}, ["cancelled", "waiting", "cancelled"])
    assert stands(api, accepted) == told
    archive_all()
    assert stands(api, accepted) == told
    work_off()
    assert stands(api, accepted) == told
    LiveRun.objects.update(due_at=database_now())
    work_off()
    ended = ("partially_cancelled", {"cancelled": 2, "completed": 1}, ["cancelled", "completed", "cancelled"])
    assert stands(api, accepted) == ended
    assert stands(api, elsewhere) == ("completed", {"completed": 2}, ["completed"] * 2)
    again = decoded(
        api.post("/api/v1/cancellations", {"filter": {"invocation": str(accepted.invocation.uid)}})
    )
    assert (again["matched"], again["cancelled"], again["already_finished"]) == (3, 0, 3)


def test_under_a_bar_it_stands_as_its_runs_are_shown(
    api: Caller, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(cancellation, "AT_ONCE", 1)
    accepted = invoke(SEND, DELAY, token="t", recipients=["u1", "u2", "u3"])
    bystander = invoke(DELAY, recipients=["u1", "u2"])
    tasks = start(room=1)
    some = cancel_runs(invocation=accepted.invocation.uid, recipients=("u2", "u3"))
    assert some.swept_at is None
    partly = ("partially_cancelled", {"cancelled": 2, "running": 1}, ["running", "cancelled", "cancelled"])
    assert stands(api, accepted) == partly
    # Bars, and the runs once more: for the list; bars: for the counts.
    with django_assert_num_queries(7):
        stands(api, accepted)
    housekeeping.sweep(production())
    assert stands(api, accepted) == partly
    rest = cancel_runs(token="t", reason="bar of all")
    assert rest.swept_at is not None  # one is left, which is no bar's number
    execution.keep_house(production())  # not all of it can be archived while a step is in flight
    finish(*[execution.perform(task) for task in tasks])
    archive_all()
    assert stands(api, accepted) == ("cancelled", {"cancelled": 3}, ["cancelled"] * 3)
    assert stands(api, bystander) == ("waiting", {"waiting": 2}, ["waiting"] * 2)


def test_a_bar_over_all_of_it_and_one_of_another_environment(
    api: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancellation, "AT_ONCE", 1)
    accepted = invoke(SEND, token="t", recipients=["u1", "u2"])
    test = Environment.objects.get(key="test")
    invoke(DELAY, token="t", recipients=["u1", "u2"], environment=test)
    request = CancelRequest(
        environment=test, filter=CancellationFilter(token="t"), actor="key/a", origin=Origin.API
    )
    assert cancellation.cancel(request)[0].swept_at is None
    assert stands(api, accepted)[:2] == ("waiting", {"waiting": 2})
    start(room=1)
    assert cancel_runs(token="t").swept_at is None
    assert stands(api, accepted) == ("cancelled", {"cancelled": 2}, ["cancelled"] * 2)


def test_errors_are_told_whatever_the_rest_became(api: Caller) -> None:
    failing = {"action": "delay", "duration": "refs.data.nothing"}
    assert stands(api, invoke(failing, recipients=["u1", "u2"]))[:2] == ("failed", {"failed": 2})
    accepted = invoke(SEND, recipients=["u1", "u2", "u3"])
    Run.objects.filter(recipient="u2", invocation=accepted.invocation).update(has_errors=True)
    assert stands(api, accepted)[:2] == ("waiting", {"waiting": 3})
    cancel_runs(invocation=accepted.invocation.uid, recipients=("u1",))
    assert stands(api, accepted)[:2] == ("partially_cancelled", {"cancelled": 1, "waiting": 2})


def test_more_runs_than_are_listed_are_counted(api: Caller) -> None:
    accepted = invoke(DELAY, recipients=[f"u{n}" for n in range(105)])
    cancel_runs(invocation=accepted.invocation.uid, recipients=("u104",))
    status, counts, listed = stands(api, accepted)
    assert (status, counts) == ("partially_cancelled", {"cancelled": 1, "waiting": 104})
    assert listed == ["waiting"] * 100


@pytest.mark.parametrize(
    ("counts", "has_errors", "status"),
    [
        ({"failed": 2}, True, "failed"),
        ({"completed": 2}, True, "completed_with_errors"),
        ({"completed": 2, "failed": 1}, False, "completed_with_errors"),
        ({"completed": 2, "skipped": 1}, False, "completed"),
        ({"completed": 2, "waiting": 1}, False, "waiting"),
        ({"failed": 2, "running": 1, "waiting": 3}, True, "running"),
        ({"failed": 2, "cancelled": 1, "waiting": 3}, True, "partially_cancelled"),
        ({"cancelled": 3, "completed": 0}, False, "cancelled"),
        ({"cancelled": 2, "completed": 1}, True, "partially_cancelled"),
        ({"cancelled": 1, "skipped": 1}, False, "partially_cancelled"),
        ({"cancelled": 1, "failed": 1}, True, "partially_cancelled"),
        ({"failed": 1, "skipped": 1}, True, "completed_with_errors"),
        ({"skipped": 2}, False, "skipped"),
        ({"running": 1, "waiting": 1}, False, "running"),
    ],
)
def test_many_runs_have_one_status(counts: dict[str, int], has_errors: bool, status: str) -> None:
    assert roll_up(counts, has_errors=has_errors) == status


@pytest.mark.parametrize("uid", ["0199d3f2-0000-7000-8000-000000000001", "x", "%00", "0" * 32])
def test_an_invocation_that_is_not_there_is_not_found(api: Caller, uid: str) -> None:
    assert refused(api.send("GET", f"{PATH}/{uid}"))[0] == 404


@pytest.mark.parametrize("recipients", [1, 3])
def test_an_invocation_is_read_in_four_statements(
    api: Caller, recipients: int, django_assert_num_queries: Any
) -> None:
    accepted = invoke(DELAY, recipients=[f"u{n}" for n in range(recipients)])
    with django_assert_num_queries(4):  # key, invocation, counts, runs
        api.get(f"{PATH}/{accepted.invocation.uid}")


def test_what_an_invoke_costs_does_not_grow_with_its_recipients(api: Caller) -> None:
    publish("trial", {"cancellation_token": "refs.data.id", "steps": [DELAY]})
    body: dict[str, Any] = {"automation": "trial", "data": {"id": 1}}
    decoded(api.post(PATH, body), 201)  # reads the definition and the number of its version, once
    costs = []
    for count in (1, 3):
        with Captured() as captured:
            decoded(api.post(PATH, {**body, "recipients": [f"u{n}" for n in range(count)]}), 201)
        costs.append(len(captured))
        assert sum("automations_apikey" in query["sql"] for query in captured) == 1
        assert sum("automations_version" in query["sql"] for query in captured) == 0
    assert costs[0] == costs[1] <= 12
