"""Reporting an event: which runs it calls off, which it leaves alone, and what it says of both."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from automations import execution, publication, testpoints, undo
from automations import occurrence as verb
from automations.execution import tidy
from automations.models import (
    Cancellation,
    Environment,
    Listener,
    LiveRun,
    No,
    Occurrence,
    Refusal,
    Run,
    database_now,
)
from automations.occurrence import ReportRequest, judgement
from automations.occurrence import reporting as module
from tests.captured import Captured
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    invoke,
    production,
    publish,
    read,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db


def listening(*rules: dict[str, Any], steps: list[Any] | None = None) -> dict[str, Any]:
    """A definition with these rules."""
    return {"cancel_on": list(rules), "steps": steps or [DELAY, SEND]}


def ad_hoc(*rules: dict[str, Any], **given: Any) -> Run:
    """A run that waits, of a definition brought with these rules."""
    return run_of(invoke(definition=listening(*rules), **given))


def report(name: str = "order.paid", **given: Any) -> Occurrence:
    """The accepted event."""
    return verb.report(ReportRequest(environment=production(), name=name, actor="key/test", **given))[0]


def bring_back() -> None:
    """Housekeeping until what was undone is there again."""
    while Cancellation.objects.filter(undone_at__isnull=False, restored_at=None).exists():
        execution.keep_house(production())


def test_an_event_calls_off_the_runs_whose_rules_name_it() -> None:
    publish("cart", listening({"event": "order.paid", "reason": "they paid"}, {"event": "order.void"}))
    publish("other", listening({"event": "order.void"}))
    hit, spared = run_of(invoke(automation="cart")), run_of(invoke(automation="other"))
    occurrence = report(request_id="req-1")
    assert (status(hit), status(spared), start()) == ("cancelled", "waiting", [])
    row = Cancellation.objects.get()
    assert (row.origin, row.actor, row.reason, row.request_id) == (
        "rule",
        "event order.paid",
        "they paid",
        "req-1",
    )
    assert (occurrence.cancelled, occurrence.cancellations, occurrence.failed) == (1, [str(row.pk)], 0)
    assert (read(hit).reason, row.cancelled_run_ids) == ("cancel_rule", [str(hit.uid)])
    archive_all()
    assert (read(hit).status, read(hit).status_reason) == ("cancelled", "cancel_rule")
    assert [event.kind for event in hit.events.all()] == ["invoked", "cancelled"]


def test_a_step_under_way_is_on_the_receipt() -> None:
    run = run_of(invoke(definition=listening({"event": "order.paid"}, steps=[SEND, SEND])))
    (task,) = start()
    report()
    assert [entry["run"] for entry in Cancellation.objects.get().in_flight] == [str(run.uid)]
    assert (read(run).public_status, read(run).is_settling, task.run) == ("cancelled", True, str(run.uid))


def test_an_event_that_nobody_listens_to_is_kept_too() -> None:
    run = ad_hoc({"event": "order.void"})
    occurrence = report(data={"a": 1})
    assert (occurrence.cancelled, occurrence.cancellations, status(run)) == (0, [], "waiting")
    assert Occurrence.objects.get().data == {"a": 1}
    assert Occurrence.objects.get().answered_at is not None


def test_a_version_that_has_no_such_rule_is_not_asked() -> None:
    publish("cart", {"steps": [DELAY]})
    before = run_of(invoke(automation="cart"))
    publication.save_draft(
        environment=production(), key="cart", definition=listening({"event": "order.paid"}), by="test"
    )
    publication.publish(environment=production(), key="cart", by="test")
    after = run_of(invoke(automation="cart"))
    report()
    assert (status(before), status(after)) == ("waiting", "cancelled")


def test_a_recipient_narrows_it_to_that_recipient_s_runs() -> None:
    publish("cart", listening({"event": "order.paid"}))
    published = invoke(automation="cart", recipients=["ada", "bob"])
    brought = invoke(definition=listening({"event": "order.paid"}), recipients=["ada", "bob"])
    elsewhere = run_of(invoke(DELAY, recipients=["ada"]))
    assert report(recipient="ada").cancelled == 2
    states = [status(run_of(accepted, index)) for accepted in (published, brought) for index in (0, 1)]
    assert (states, status(elsewhere)) == (["cancelled", "waiting", "cancelled", "waiting"], "waiting")


def test_another_environment_hears_nothing() -> None:
    run = ad_hoc({"event": "order.paid"})
    test = Environment.objects.get(key="test")
    occurrence, _ = verb.report(ReportRequest(environment=test, name="order.paid", actor="key/test"))
    assert (occurrence.cancelled, status(run)) == (0, "waiting")


@pytest.mark.parametrize(
    ("told", "own", "hits"),
    [
        ({"order": {"id": 7}}, {"order": {"id": 7}}, True),
        ({"order": {"id": "7"}}, {"order": {"id": 7}}, False),
        ({"order": {"id": 1}}, {"order": {"id": True}}, False),
        ({"order": {"id": 8}}, {"order": {"id": 7}}, False),
        ({"order": {"id": None}}, {"order": {"id": None}}, False),
        ({}, {}, False),
        ({"order": [7]}, {"order": {"id": 7}}, False),
    ],
)
def test_match_compares_the_event_s_data_with_the_run_s(told: Any, own: Any, hits: bool) -> None:
    run = ad_hoc({"event": "order.paid", "match": "data.order.id"}, data=own)
    report(data=told)
    assert status(run) == ("cancelled" if hits else "waiting")


def test_a_condition_reads_the_event_and_the_run() -> None:
    condition = (
        "event.name === 'order.paid' && event.data.total >= data.total && profile.plan === 'pro' "
        "&& event.recipient === refs.recipient"
    )
    rule = {"event": "order.paid", "if": condition}
    runs = [
        ad_hoc(rule, data={"total": total}, profile={"plan": plan}, recipients=["ada"])
        for total, plan in ((5, "pro"), (6, "pro"), (5, "free"))
    ]
    report(data={"total": 5}, recipient="ada")
    assert [status(run) for run in runs] == ["cancelled", "waiting", "waiting"]


def test_a_rule_stops_listening_after_a_while() -> None:
    runs = [ad_hoc({"event": "order.paid", "within": "1 hour"}) for _ in range(2)]
    Run.objects.filter(pk=runs[0].pk).update(created_at=database_now() - timedelta(minutes=61))
    report()
    assert [status(run) for run in runs] == ["waiting", "cancelled"]


def test_a_condition_that_fails_cancels_nothing_and_is_told() -> None:
    run = ad_hoc({"event": "order.paid", "if": "event.data.order.id === data.order.id"})
    other = ad_hoc({"event": "order.paid", "if": "nonsense("}, {"event": "order.paid", "reason": "second"})
    occurrence = report()
    (first, second) = occurrence.failures
    assert (first["run"], first["rule"], first["code"]) == (str(run.uid), 0, "runtime")
    assert (second["run"], second["rule"], second["code"]) == (str(other.uid), 0, "syntax")
    assert (occurrence.failed, status(run), status(other)) == (2, "waiting", "cancelled")
    assert Cancellation.objects.get().reason == "second"


def test_rules_with_different_reasons_get_a_receipt_each() -> None:
    for reason in ("a", "b"):
        invoke(definition=listening({"event": "order.paid", "reason": reason}), recipients=["x", "y"])
    occurrence = report()
    rows = Cancellation.objects.in_bulk(occurrence.cancellations)
    assert sorted((row.reason, row.cancelled) for row in rows.values()) == [("a", 2), ("b", 2)]


def test_many_runs_are_called_off_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CALLED_OFF_AT_ONCE", 3)
    monkeypatch.setattr(judgement, "READ_AT_ONCE", 2)
    invoke(definition=listening({"event": "order.paid"}), recipients=[f"r{n}" for n in range(8)])
    occurrence = report()
    rows = Cancellation.objects.in_bulk(occurrence.cancellations)
    assert [rows[UUID(row)].cancelled for row in occurrence.cancellations] == [3, 3, 2]
    assert (occurrence.cancelled, LiveRun.objects.filter(state="cancelled").count()) == (8, 8)


def test_a_run_accepted_after_the_event_is_not_concerned(monkeypatch: pytest.MonkeyPatch) -> None:
    before, late = ad_hoc({"event": "order.paid"}), []
    placed = module._placed

    def place(request: ReportRequest) -> Occurrence:
        occurrence = placed(request)
        late.append(ad_hoc({"event": "order.paid"}))
        return occurrence

    monkeypatch.setattr(module, "_placed", place)
    assert report().cancelled == 1
    assert (status(before), status(late[0])) == ("cancelled", "waiting")


def test_finished_runs_are_left_alone() -> None:
    run = run_of(invoke(definition=listening({"event": "order.paid"}, steps=[SEND])))
    work_off()
    assert (report().cancelled, status(run)) == (0, "completed")


def test_the_same_key_and_event_is_answered_again() -> None:
    ad_hoc({"event": "order.paid"})
    given: dict[str, Any] = {"environment": production(), "name": "order.paid", "actor": "a"}
    key: dict[str, Any] = {"idempotency_key": "k", "fingerprint": "f"}
    first, replayed = verb.report(ReportRequest(**given, **key))
    late = ad_hoc({"event": "order.paid"})
    again, replayed_again = verb.report(ReportRequest(**given, **key))
    assert (replayed, replayed_again, again.pk, again.cancelled) == (False, True, first.pk, 1)
    assert status(late) == "waiting"
    with pytest.raises(Refusal) as refused:
        verb.report(ReportRequest(**given, idempotency_key="k", fingerprint="g"))
    assert refused.value.code == "idempotency_key_reused"


def test_a_repetition_completes_what_a_dead_process_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CALLED_OFF_AT_ONCE", 1)
    runs = [ad_hoc({"event": "order.paid"}) for _ in range(3)]
    real, calls = module._write, []

    def dies(*args: Any, **kwargs: Any) -> Occurrence:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(module, "_write", dies)
    with pytest.raises(KeyboardInterrupt):
        report(idempotency_key="k", fingerprint="f")
    assert [status(run) for run in runs] == ["cancelled", "waiting", "waiting"]
    late = ad_hoc({"event": "order.paid"})
    occurrence = report(idempotency_key="k", fingerprint="f")
    assert [status(run) for run in runs] == ["cancelled"] * 3
    assert (occurrence.cancelled, len(occurrence.cancellations), status(late)) == (3, 3, "waiting")
    assert Occurrence.objects.count() == 1


def test_an_event_that_too_many_runs_listen_to_is_refused_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(judgement, "MOST_ASKED", 2)
    invoke(definition=listening({"event": "order.paid"}), recipients=["a", "b", "c"])
    with pytest.raises(Refusal) as refused:
        report()
    assert (refused.value.kind, refused.value.code) == (No.INVALID, "too_many_runs")
    assert Occurrence.objects.count() == Cancellation.objects.count() == 0
    assert report(recipient="a").cancelled == 1


def test_while_an_undo_brings_runs_back_an_event_is_to_be_sent_again() -> None:
    run = ad_hoc({"event": "order.paid"})
    receipt = cancel_runs(run_pks=(run.pk,))
    archive_all()
    undo.undo(environment=production(), pk=receipt.pk, actor="user/ana")
    with pytest.raises(Refusal) as refused:
        report()
    assert (refused.value.kind, refused.value.code) == (No.UNAVAILABLE, "restoring")
    assert report("nobody.listens").cancelled == 0
    bring_back()
    assert status(run) == "waiting"
    assert (report().cancelled, status(run)) == (1, "cancelled")


def test_an_event_that_meets_an_undo_in_the_midst_is_to_be_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CALLED_OFF_AT_ONCE", 1)
    runs = [ad_hoc({"event": "order.paid"}) for _ in range(2)]
    other = run_of(invoke(DELAY))
    receipt = cancel_runs(run_pks=(other.pk,))
    archive_all()
    undoing = iter([lambda: undo.undo(environment=production(), pk=receipt.pk, actor="user/ana")])

    def undo_after_the_first(name: str) -> None:
        if name == "event.moved" and (act := next(undoing, None)) is not None:
            act()

    fields: dict[str, Any] = {"idempotency_key": "k", "fingerprint": "f"}
    with testpoints.watched(undo_after_the_first), pytest.raises(Refusal, match="send it again"):
        report(**fields)
    assert [status(run) for run in runs] == ["cancelled", "waiting"]
    bring_back()
    assert (report(**fields).cancelled, status(runs[1]), status(other)) == (2, "cancelled", "waiting")


def test_an_invocation_s_listeners_go_with_its_last_run() -> None:
    ended, living = ad_hoc({"event": "order.paid"}), ad_hoc({"event": "order.void"})
    publish("cart", listening({"event": "order.paid"}))
    report()
    archive_all()
    tidy()
    left = Listener.objects.order_by("pk").values_list("event", "invocation_id", "version__number")
    assert list(left) == [("order.void", living.invocation_id, None), ("order.paid", None, 1)]
    assert status(ended) == "cancelled"


def test_events_of_long_ago_are_forgotten() -> None:
    old, young = report(), report()
    Occurrence.objects.filter(pk=old.pk).update(accepted_at=database_now() - timedelta(days=31))
    tidy()
    assert list(Occurrence.objects.values_list("pk", flat=True)) == [young.pk]


def test_an_event_costs_the_same_statements_for_one_run_and_for_many() -> None:
    publish("cart", listening({"event": "order.paid", "match": "data.user_id"}))
    invoke(automation="cart")
    counts = []
    for amount in (1, 150):
        invoke(automation="cart", recipients=[f"r{n}" for n in range(amount)])
        with Captured() as captured:
            report(data={"user_id": "u1"})
        counts.append(len([query for query in captured if "SAVEPOINT" not in query["sql"]]))
    assert counts[0] == counts[1]
    with Captured() as captured:
        report("nobody.listens")
    assert len([query for query in captured if "SAVEPOINT" not in query["sql"]]) == 4
