"""Accepting an invoke: what is stored at the acknowledgement, and what is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.db import connection

from automations import execution, publication
from automations.invocation import InvokeRequest, Recipient, preparation
from automations.models import Event, Invocation, LiveRun, No, Refusal, Run, clock, identify
from tests.captured import Captured
from tests.scenes import DELAY, SEND, invoke, production, publish, run_of, status

pytestmark = pytest.mark.django_db
TOKEN = "${`onboarding-${data.user_id}`}"


def test_a_run_waits_at_its_first_effect() -> None:
    accepted = invoke(SEND, token=TOKEN, key="order-7", tags=["a"], recipients=["ada"])
    run = run_of(accepted)
    assert (run.public_status, run.token, run.key, run.recipient) == (
        "waiting",
        "onboarding-u1",
        "order-7",
        "ada",
    )
    live = run.live
    assert (live.position, live.state, live.attempt, live.fence) == ("0", "waiting", 0, 0)
    assert (live.token, live.key, live.recipient, live.tags) == ("onboarding-u1", "order-7", "ada", ["a"])
    assert accepted.runs == [
        {"id": str(run.uid), "status": "waiting", "recipient": "ada", "cancellation_token": "onboarding-u1",
         "cancellation_key": "order-7"}
    ]  # fmt: skip
    assert [event.kind for event in run.events.all()] == ["invoked"]


def test_a_head_of_delays_is_folded_into_the_acknowledgement() -> None:
    run = run_of(invoke(DELAY, SEND))
    event = run.events.get()
    assert (run.live.position, (run.live.due_at - run.created_at).total_seconds()) == (
        "1",
        pytest.approx(3600, abs=2),
    )
    assert event.data["folded"] == [
        {"step": "0", "outcome": "waiting", "due_at": run.live.due_at.isoformat()}
    ]


def test_every_recipient_gets_a_run_of_its_own() -> None:
    accepted = invoke(DELAY, SEND, token="refs.profile.email", recipients=["a", "b"], profile={"email": "x"})
    assert accepted.invocation.run_count == 2
    assert [run["recipient"] for run in accepted.runs] == ["a", "b"]
    assert LiveRun.objects.count() == 2


@pytest.mark.parametrize("source", ["request", "recipients", "stored"])
def test_the_profiles_of_all_runs_together_have_a_limit(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "LARGEST_PROFILES", 2_000)
    profile = {"p": "x" * 992}  # 1,000 bytes
    names = ["a", "b", "c"]
    if source == "stored":
        identify(dict.fromkeys(names, profile), environment_id=production().pk, now=clock())
    own = profile if source == "recipients" else {}
    people = [Recipient(id=name, profile=own) for name in names]
    request = InvokeRequest(
        environment=production(), actor="a", source="s", dialect="native", definition={"steps": [DELAY]},
        recipients=people, profile=profile if source == "request" else {},
    )  # fmt: skip
    with pytest.raises(Refusal) as refused:
        execution.accept(request)
    assert [(one.pointer, one.code) for one in refused.value.problems] == [("/recipients", "data_too_large")]
    assert not Run.objects.exists()
    execution.accept(replace(request, recipients=people[:2]))
    assert [run.profile for run in Run.objects.order_by("pk")] == [profile] * 2


def test_a_recipient_s_profile_is_laid_over_the_request_s() -> None:
    request = InvokeRequest(
        environment=production(), actor="a", source="s", dialect="native",
        definition={"cancellation_token": "{{profile.plan}}-{{profile.email}}", "steps": [DELAY]},
        recipients=[Recipient(id="a", profile={"email": "a@x"}), Recipient(id="b")],
        profile={"plan": "pro", "email": "none"},
    )  # fmt: skip
    from automations import execution

    runs = execution.accept(request).runs
    assert [run["cancellation_token"] for run in runs] == ["pro-a@x", "pro-none"]


@pytest.mark.parametrize("data", [{}, {"user_id": None}, {"user_id": ""}, {"user_id": "undefined", "x": 1}])
def test_a_token_that_does_not_resolve_stores_nothing(data: dict[str, object]) -> None:
    with pytest.raises(Refusal) as refused:
        invoke(DELAY, token="refs.data.user_id", data=data)
    assert (refused.value.kind, refused.value.code) == (No.INVALID, "cancellation_token_unresolved")
    assert Invocation.objects.count() == Run.objects.count() == 0


def test_the_refusal_names_the_missing_path() -> None:
    with pytest.raises(Refusal) as refused:
        invoke(DELAY, token=TOKEN, data={})
    assert [problem.pointer for problem in refused.value.problems] == ["/data/user_id"]


def test_a_definition_may_choose_to_run_without_a_token() -> None:
    definition = {"cancellation_token": TOKEN, "on_unresolved_token": "run_without_token", "steps": [DELAY]}
    run = run_of(invoke(definition=definition, data={}))
    assert run.token is None
    assert "data.user_id" in run.token_error


def test_an_ad_hoc_cancel_has_cancelled_when_it_answers() -> None:
    waiting = run_of(invoke(DELAY, SEND, token=TOKEN))
    accepted = invoke({"action": "cancel", "cancellation_token": "onboarding-u1"}, dialect="courier")
    own = run_of(accepted)
    assert status(waiting) == "cancelled"
    assert (own.public_status, accepted.runs[0]["status"]) == ("completed", "completed")
    cancellation = Run.objects.with_state().get(pk=waiting.pk).called_off_by
    assert cancellation is not None
    assert (cancellation.origin, cancellation.actor, cancellation.cancelled) == ("step", f"run/{own.uid}", 1)
    assert own.events.get().data["folded"] == [
        {"step": "0", "outcome": "completed", "token": "onboarding-u1", "cancellation": str(cancellation.pk),
         "cancelled": 1}
    ]  # fmt: skip


def test_cancel_the_previous_then_start_mine_leaves_mine() -> None:
    steps: list[dict[str, Any]] = [{"action": "cancel", "cancellation_token": "onboarding-u1"}, DELAY, SEND]
    first, second = run_of(invoke(*steps, token=TOKEN)), run_of(invoke(*steps, token=TOKEN))
    assert (status(first), status(second)) == ("cancelled", "waiting")


def test_recipients_that_share_a_token_do_not_cancel_one_another() -> None:
    steps: list[dict[str, Any]] = [{"action": "cancel", "cancellation_token": "onboarding-u1"}, DELAY, SEND]
    accepted = invoke(*steps, token=TOKEN, recipients=["a", "b"])
    assert [status(run_of(accepted, index)) for index in (0, 1)] == ["waiting", "waiting"]


def test_a_cancel_step_may_include_its_own_run() -> None:
    accepted = invoke(
        {"action": "cancel", "cancellation_token": "onboarding-u1", "include_self": True},
        DELAY,
        SEND,
        token=TOKEN,
    )
    run = run_of(accepted)
    assert (run.public_status, accepted.runs[0]["status"]) == ("cancelled", "cancelled")
    assert run.reason == "cancel_step"


def test_a_head_that_fails_is_stored_as_failed_and_cancels_nothing() -> None:
    waiting = run_of(invoke(DELAY, SEND, token=TOKEN))
    failed = run_of(invoke({"action": "cancel", "cancellation_token": "refs.data.nobody"}))
    assert (failed.public_status, failed.status_reason, failed.has_errors) == (
        "failed",
        "expression_error",
        True,
    )
    assert status(waiting) == "waiting"


def test_the_same_idempotency_key_and_body_is_answered_again() -> None:
    first = invoke(DELAY, SEND, idempotency_key="k1", fingerprint="f1")
    again = invoke(DELAY, SEND, idempotency_key="k1", fingerprint="f1")
    assert (first.replayed, again.replayed) == (False, True)
    assert (again.invocation.pk, again.runs) == (first.invocation.pk, first.runs)
    assert Run.objects.count() == 1


def test_the_same_idempotency_key_with_another_body_is_refused() -> None:
    invoke(DELAY, idempotency_key="k1", fingerprint="f1")
    with pytest.raises(Refusal) as refused:
        invoke(DELAY, idempotency_key="k1", fingerprint="f2")
    assert refused.value.code == "idempotency_key_reused"


def test_an_expired_idempotency_key_may_be_used_again() -> None:
    first = invoke(DELAY, idempotency_key="k1", fingerprint="f1")
    Invocation.objects.update(key_expires_at=first.invocation.created_at)
    second = invoke(DELAY, idempotency_key="k1", fingerprint="f2")
    assert second.replayed is False
    assert list(Invocation.objects.order_by("pk").values_list("idempotency_key", "key_holder")) == [
        ("k1", None), ("k1", "k1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("prepare", "kind", "code"),
    [
        ("nothing", No.NOT_FOUND, "automation_not_found"),
        ("draft", No.INVALID, "unpublished"),
        ("disabled", No.INVALID, "disabled"),
    ],
)
def test_an_automation_must_be_published_and_enabled(prepare: str, kind: No, code: str) -> None:
    definition = {"steps": [DELAY]}
    if prepare == "draft":
        publication.create(environment=production(), key="a", name="a", definition=definition, by="test")
    if prepare == "disabled":
        publish("a", definition)
        publication.disable(environment=production(), key="a", by="test")
    with pytest.raises(Refusal) as refused:
        invoke(automation="a")
    assert (refused.value.kind, refused.value.code) == (kind, code)


def test_an_alias_is_only_found_where_aliases_are_accepted() -> None:
    publish("a", {"steps": [DELAY]}, alias="My Template/ü")
    with pytest.raises(Refusal):
        invoke(automation="My Template/ü")
    assert run_of(invoke(automation="My Template/ü", by_alias=True)).automation.key == "a"


def test_a_run_keeps_the_version_it_started_with() -> None:
    publish("a", {"steps": [DELAY, SEND]})
    before = run_of(invoke(automation="a"))
    publication.save_draft(environment=production(), key="a", definition={"steps": [SEND]}, by="test")
    publication.publish(environment=production(), key="a", by="test")
    after = run_of(invoke(automation="a"))
    assert (before.version.number, after.version.number) == (1, 2)
    assert [step.action for step in Run.objects.with_state().get(pk=before.pk) and _steps(before)] == [
        "delay",
        "send",
    ]


def _steps(run: Run) -> list[object]:
    from automations.models import steps_of_run

    return list(steps_of_run(Run.objects.with_state().get(pk=run.pk)))


def test_an_invoke_costs_the_same_statements_for_one_recipient_and_for_many() -> None:
    publish("a", {"cancellation_token": TOKEN, "steps": [DELAY, SEND]})
    invoke(automation="a")  # the version's definition is read once per process
    counts = []
    for amount in (1, 50, 200):
        with Captured() as captured:
            invoke(automation="a", recipients=[f"r{n}" for n in range(amount)])
        counts.append(len([query for query in captured if "SAVEPOINT" not in query["sql"]]))
    assert counts == ([3, 6, 6] if connection.vendor == "postgresql" else [8, 8, 8])
    assert Event.objects.count() == 252
