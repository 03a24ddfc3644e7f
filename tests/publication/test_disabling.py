"""Every way to disable an automation, from every other one, and what it does to the runs under way."""

from __future__ import annotations

from typing import Any

import pytest

from automations import cancellation as cancelling
from automations import publication
from automations.execution import housekeeping
from automations.models import Automation, Cancellation, LiveRun, Refusal, Run, database_now
from automations.publication import counting, disabling
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
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


def of(key: str = "a", *, amount: int = 1) -> list[Run]:
    return [run_of(invoke(definition=None, automation=key)) for _ in range(amount)]


def disable(mode: str, key: str = "a", **given: Any) -> publication.Disabled:
    return publication.disable(environment=production(), key=key, by="user/ana", mode=mode, **given)


def enable(overdue: str = "fire_now", key: str = "a") -> Automation:
    return publication.enable(environment=production(), key=key, by="user/ana", overdue=overdue)


def automation(key: str = "a") -> Automation:
    return Automation.objects.get(key=key)


@pytest.fixture(autouse=True)
def _published() -> None:
    publish("a", {"steps": [SEND, DELAY, SEND]})


@pytest.mark.parametrize("mode", ["drain", "hold", "cancel"])
def test_new_invokes_are_refused_in_every_mode_until_it_is_enabled(mode: str) -> None:
    disable(mode, reason="why")
    disabled = automation()
    assert (disabled.mode, disabled.disabled_reason, disabled.updated_by) == (mode, "why", "user/ana")
    with pytest.raises(Refusal, match="disabled"):
        of()
    enabled = enable()
    assert (enabled.mode, enabled.disabled_reason, enabled.held_at, enabled.resuming) == (
        None,
        "",
        None,
        None,
    )
    assert [status(run) for run in of()] == ["waiting"]


@pytest.mark.parametrize("mode", ["drain", "hold"])
def test_disabling_twice_in_one_way_changes_nothing_more(mode: str) -> None:
    disable(mode)
    first = automation()
    disable(mode)
    again = automation()
    assert (again.disabled_at, again.held_at) == (first.disabled_at, first.held_at)
    assert enable().mode is None
    assert enable().mode is None


def test_what_was_held_goes_on_at_once_when_it_is_to_drain() -> None:
    runs = of(amount=2)
    disable("hold")
    assert start() == []
    disable("drain")
    assert (automation().mode, automation().held_at) == ("drain", None)
    assert {task.claim.run_id for task in start()} == {run.pk for run in runs}


def test_what_drained_waits_when_it_is_held() -> None:
    (run,) = of()
    disable("drain")
    disabled_at = automation().disabled_at
    disable("hold")
    assert (automation().disabled_at, start(), read(run).is_held) == (disabled_at, [], True)


def test_what_is_held_is_cancelled_with_its_automation() -> None:
    runs = of(amount=2)
    other = run_of(invoke(SEND))
    LiveRun.objects.filter(pk=runs[0].pk).update(due_at=database_now())
    disable("hold")
    start(room=1)
    start()
    done = disable("cancel", reason="wrong text", request_id="r1")
    receipt = done.cancellation
    assert receipt is not None
    assert (receipt.cancelled, receipt.origin, receipt.actor) == (2, "disable", "user/ana")
    assert (receipt.reason, receipt.request_id, receipt.bar) == ("wrong text", "r1", None)
    assert receipt.cancelled_run_ids == sorted(str(run.uid) for run in runs)
    assert [(status(run), read(run).reason) for run in runs] == [("cancelled", "template_disabled")] * 2
    assert status(other) != "cancelled"
    publication.resume(production())
    assert (automation().resuming, LiveRun.objects.exclude(parked_due_at=None).count()) == (None, 0)
    archive_all()
    assert Run.objects.filter(status_reason="template_disabled").count() == 2
    again = disable("cancel").cancellation
    assert again is not None
    assert (again.cancelled, again.already_finished) == (0, 2)


def test_cancelled_with_a_step_in_flight_it_is_named() -> None:
    (run,) = of()
    start()
    receipt = disable("cancel").cancellation
    assert receipt is not None
    assert [(entry["run"], entry["step"]) for entry in receipt.in_flight] == [(str(run.uid), "0")]
    assert read(run).is_settling


def test_more_than_a_thousand_are_called_off_by_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 1)
    runs, other = of(amount=3), run_of(invoke(SEND))
    (task,) = start(room=1)
    receipt = disable("cancel").cancellation
    assert receipt is not None
    assert (receipt.bar, receipt.counted) == (f"automation:{automation().pk}", False)
    assert [entry["run"] for entry in receipt.in_flight] == [task.run]
    assert [status(run) for run in runs] == ["cancelled"] * 3
    assert [task.claim.run_id for task in start()] == [other.pk]
    enable()
    (later,) = of()
    housekeeping.sweep(production())
    assert (status(later), read(runs[1]).reason) == ("waiting", "template_disabled")


def test_a_mode_after_cancel_is_for_what_is_there_then() -> None:
    of()
    disable("cancel")
    disable("hold")
    assert (automation().mode, automation().held_at is not None) == ("hold", True)
    assert enable("skip").mode is None


def test_a_hold_placed_while_others_are_still_let_go_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disabling, "RESUMED_AT_ONCE", 1)
    runs = of(amount=3)
    disable("hold")
    start()
    assert enable().resuming is not None
    disable("hold")
    assert not publication.resume(production())
    assert (start(), automation().resuming) == ([], None)
    assert LiveRun.objects.exclude(parked_due_at=None).count() == 3
    monkeypatch.setattr(disabling, "RESUMED_AT_ONCE", 9)
    enable()
    assert {task.claim.run_id for task in start()} == {run.pk for run in runs}


def test_runs_of_an_archived_automation_are_held_and_called_off_as_well() -> None:
    runs = of(amount=2)
    Automation.objects.update(archived_at=database_now())
    disable("hold")
    assert start() == []
    enable()
    with pytest.raises(Refusal, match="there is no automation"):
        of()
    assert len(start(room=1)) == 1
    disable("cancel")
    assert [status(run) for run in runs] == ["cancelled"] * 2


def test_a_reason_too_long_changes_nothing() -> None:
    with pytest.raises(Refusal) as refused:
        disable("cancel", reason="x" * 501)
    assert refused.value.problems[0].pointer == "/reason"
    assert automation().mode is None


# -- publishing --------------------------------------------------------------------------------------------


def change(*steps: dict[str, Any]) -> None:
    publication.save_draft(environment=production(), key="a", definition={"steps": list(steps)}, by="t")


def publish_and_cancel() -> tuple[int, Cancellation | None]:
    version, cancelled = publication.publish_and_cancel(environment=production(), key="a", by="user/ana")
    return version.number, cancelled


def test_runs_of_earlier_versions_are_called_off_with_the_publication() -> None:
    first = of()
    change(SEND)
    publication.publish(environment=production(), key="a", by="t")
    second = of()
    change(SEND, SEND)
    number, receipt = publish_and_cancel()
    (third,) = of()
    assert receipt is not None
    assert (number, receipt.cancelled, receipt.origin) == (3, 2, "publish")
    assert [read(run).reason for run in (*first, *second)] == ["template_unpublished"] * 2
    assert (status(third), automation().published.number) == ("waiting", 3)


def test_by_a_bar_where_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 1)
    runs = of(amount=3)
    change(SEND)
    _, receipt = publish_and_cancel()
    (later,) = of()
    assert receipt is not None
    assert (receipt.as_of_run, receipt.in_flight) == (runs[-1].pk, [])
    assert [status(run) for run in (*runs, later)] == ["cancelled"] * 3 + ["waiting"]


def test_where_nothing_is_published_nothing_is_called_off() -> None:
    runs = of(amount=2)
    assert publish_and_cancel() == (1, None)
    assert [status(run) for run in runs] == ["waiting"] * 2
    assert Cancellation.objects.count() == 0


def test_a_draft_that_cannot_be_published_calls_nothing_off() -> None:
    (run,) = of()
    change({"action": "wat"})
    with pytest.raises(Refusal):
        publish_and_cancel()
    assert (status(run), Cancellation.objects.count()) == ("waiting", 0)


# -- counts beforehand -------------------------------------------------------------------------------------


def test_counts_are_by_state_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    of(amount=2)
    change(SEND)
    publication.publish(environment=production(), key="a", by="t")
    of(amount=3)
    start(room=1)
    found = publication.impact(automation())
    assert (found.waiting, found.running, found.overdue, found.counted) == (4, 1, 4, True)
    assert found.by_version == [(2, 3), (1, 2)]
    disable("hold")
    start()
    assert publication.impact(automation()).overdue == 4
    monkeypatch.setattr(counting, "MOST_COUNTED", 3)
    capped = publication.impact(automation())
    assert (capped.waiting + capped.running, capped.counted) == (3, False)
    assert (capped.beneath, capped.beneath_counted) == (0, True)


def test_what_is_beneath_them_is_counted_apart_for_a_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    publish("leaf", {"steps": [DELAY]})
    bear = {"action": "invoke", "template": "leaf"}
    publish("top", {"steps": [bear, bear, DELAY]})
    (top,) = of("top")
    of("leaf")
    work_off()
    found = publication.impact(automation("top"))
    assert (found.waiting, found.running, found.beneath, found.counted) == (1, 0, 2, True)
    assert (found.by_version, found.beneath_counted) == ([(1, 1)], True)
    own = publication.impact(automation("leaf"))
    assert (own.waiting, own.beneath) == (3, 0)
    monkeypatch.setattr(counting, "MOST_COUNTED", 1)
    capped = publication.impact(automation("top"))
    assert (capped.counted, capped.beneath, capped.beneath_counted) == (True, 1, False)
    receipt = disable("cancel", "top").cancellation
    assert receipt is not None
    assert (receipt.cancelled, status(top)) == (found.waiting + found.beneath, "cancelled")
    assert publication.impact(automation("top")).beneath == 0
