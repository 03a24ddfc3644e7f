"""Children are called off with their parent, in one commit and at any depth, also when the cancel is a bar."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from automations import cancellation as cancelling
from automations import execution, rehearsal
from automations.cancellation import CancelRequest, Shown
from automations.execution import housekeeping
from automations.explanation import explain
from automations.models import (
    Cancellation,
    CancellationFilter,
    Descent,
    Environment,
    LiveRun,
    Origin,
    Refusal,
    Run,
    RunStatus,
    standing,
)
from tests.captured import Captured
from tests.scenes import (
    DELAY,
    SEND,
    archive_all,
    cancel_runs,
    expire_leases,
    finish,
    invoke,
    make_due,
    production,
    publish,
    read,
    run_of,
    start,
    status,
    work_off,
)

pytestmark = pytest.mark.django_db

INVOKE: dict[str, Any] = {"action": "invoke", "template": "child"}
GRAND = {"action": "invoke", "template": "grandchild"}
LEFT = {"on_parent_cancel": "leave"}


@pytest.fixture(autouse=True)
def _automations() -> None:
    publish("grandchild", {"steps": [DELAY, SEND]})
    publish("child", {"steps": [GRAND, DELAY, SEND]})
    publish("ends", {"steps": [GRAND]})
    publish("leaves", {"steps": [{**GRAND, **LEFT}, DELAY]})
    publish("sends", {"steps": [SEND, DELAY]})


def tree(step: dict[str, Any] = INVOKE, *more: dict[str, Any], **given: Any) -> list[Run]:
    """A run whose first step starts a child, and all that came of it, the oldest first."""
    first = run_of(invoke(step, *more, DELAY, SEND, **{"token": "t", **given}))
    work_off()
    return list(Run.objects.with_state().filter(pk__gte=first.pk).order_by("pk"))


def statuses(runs: list[Run]) -> list[str]:
    return [status(run) for run in runs]


def ids(runs: list[Run]) -> list[str]:
    return [str(run.uid) for run in runs]


# -- one by one ----------------------------------------------------------------------------------------------


def test_a_cancel_takes_the_whole_tree_and_its_receipt_names_it() -> None:
    runs, (other, *_) = tree(), tree(token="other")
    receipt = cancel_runs(token="t")
    assert (receipt.matched, receipt.cancelled, receipt.cancelled_run_ids) == (3, 3, ids(runs))
    assert (statuses(runs), status(other)) == (["cancelled"] * 3, "waiting")
    assert [read(run).reason for run in runs] == ["cancel_request", "parent_cancelled", "parent_cancelled"]
    archive_all()
    stored = [Run.objects.get(pk=run.pk) for run in runs]
    assert [run.status_reason for run in stored] == ["cancel_request", "parent_cancelled", "parent_cancelled"]
    assert [run.cancellation_id for run in stored] == [receipt.pk] * 3
    assert not LiveRun.objects.filter(pk__in=[run.pk for run in runs]).exists()


def test_a_cancel_in_the_middle_leaves_what_is_above() -> None:
    top, child, grandchild = tree()
    receipt = cancel_runs(run_pks=(child.pk,))
    assert receipt.cancelled_run_ids == ids([child, grandchild])
    assert statuses([top, child, grandchild]) == ["waiting", "cancelled", "cancelled"]


def test_a_finished_run_in_the_middle_does_not_cut_the_tree() -> None:
    top, middle, grandchild = tree({**INVOKE, "template": "ends"})
    assert status(middle) == "completed"
    receipt = cancel_runs(token="t")
    assert receipt.cancelled_run_ids == ids([top, grandchild])
    assert statuses([top, middle, grandchild]) == ["cancelled", "completed", "cancelled"]


def test_an_archived_run_in_the_middle_does_not_cut_the_tree_either() -> None:
    top, middle, grandchild = tree({**INVOKE, "template": "leaves"})
    cancel_runs(run_pks=(middle.pk,))
    archive_all()
    assert statuses([top, middle, grandchild]) == ["waiting", "cancelled", "waiting"]
    assert cancel_runs(token="t").cancelled_run_ids == ids([top])


def test_a_child_that_is_left_is_left_with_all_beneath_it() -> None:
    top, child, grandchild = tree({**INVOKE, **LEFT})
    assert cancel_runs(token="t").cancelled_run_ids == ids([top])
    assert statuses([top, child, grandchild]) == ["cancelled", "waiting", "waiting"]
    assert cancel_runs(run_pks=(child.pk,)).cancelled_run_ids == ids([child, grandchild])


def test_a_cancel_of_a_finished_run_moves_nothing_beneath_it() -> None:
    _, middle, grandchild = tree({**INVOKE, "template": "ends"})
    assert cancel_runs(run_pks=(middle.pk,)).cancelled_run_ids == []
    assert status(grandchild) == "waiting"


def test_a_step_in_flight_of_a_child_is_listed_and_nothing_follows_it() -> None:
    top = run_of(invoke({**INVOKE, "template": "sends"}, DELAY, token="t"))
    finish(*[execution.perform(task) for task in start()])
    (task,) = start()
    receipt = cancel_runs(token="t")
    assert [(entry["run"], entry["step"]) for entry in receipt.in_flight] == [(task.run, "0")]
    assert len(cancelling.outstanding(receipt)) == 1
    finish(execution.perform(task))
    assert cancelling.outstanding(receipt) == []
    archive_all()
    assert [run.status for run in Run.objects.order_by("pk")] == ["cancelled"] * 2
    assert status(top) == "cancelled"


def test_a_lost_step_of_a_child_counts_as_in_flight() -> None:
    tree({**INVOKE, "template": "grandchild"})
    child = Run.objects.order_by("-pk")[0]
    make_due(child)
    start()
    expire_leases()
    housekeeping.reap(production())
    receipt = cancel_runs(token="t")
    assert [entry["run"] for entry in receipt.in_flight] == [str(child.uid)]
    assert LiveRun.objects.get(pk=child.pk).state == "cancelling"


def test_a_cancel_step_takes_the_tree_as_well() -> None:
    runs = tree()
    run_of(invoke({"action": "cancel", "cancellation_token": "t"}))
    assert statuses(runs) == ["cancelled"] * 3


def test_a_cancel_takes_nothing_of_another_environment() -> None:
    runs = tree()
    elsewhere = Environment.objects.get(key="test")
    request = CancelRequest(
        environment=elsewhere, filter=CancellationFilter(everything=True), actor="x", origin=Origin.API
    )
    cancelling.cancel(request)
    assert statuses(runs) == ["waiting"] * 3


def test_the_explanation_of_a_child_says_that_its_parent_was_cancelled() -> None:
    _, child, _ = tree()
    receipt = cancel_runs(token="t")
    said = explain(read(child), receipt)
    assert (said.hit, said.sentence) == (
        True, "hit: it was called off together with the run that invoked it, and had not ended"
    )  # fmt: skip


def test_a_dry_run_counts_the_tree_and_its_plan_takes_no_more() -> None:
    runs = tree()
    request = CancelRequest(
        environment=production(), filter=CancellationFilter(token="t"), actor="x", origin=Origin.API
    )
    told = rehearsal.rehearse(request)
    assert (told.cancelled, dict(told.by_automation)) == (3, {None: 1, "child": 1, "grandchild": 1})
    scope, shown = rehearsal.planned(told.plan, environment=production())
    assert shown == Shown(3, frozenset(run.pk for run in runs))
    fewer = CancelRequest(
        environment=production(), filter=scope, actor="x", origin=Origin.API, shown=Shown(2)
    )
    with pytest.raises(Refusal) as refused:
        cancelling.cancel(fewer)
    assert (refused.value.code, statuses(runs)) == ("plan_outgrown", ["waiting"] * 3)


@pytest.mark.parametrize("named", [(0, 1, 2), (0, 2), (0,), (1,)])
def test_a_dry_run_counts_each_once_that_is_named_and_beneath_another(named: tuple[int, ...]) -> None:
    runs = tree()
    scope = CancellationFilter(run_ids=tuple(runs[place].uid for place in named))
    request = CancelRequest(environment=production(), filter=scope, actor="x", origin=Origin.API)
    told = rehearsal.rehearse(request)
    assert told.cancelled == 3 - named[0]
    assert [run.pk for run in told.sample] == [run.pk for run in reversed(runs[named[0] :])]


def test_a_list_of_the_cancelled_holds_the_children_before_they_are_archived() -> None:
    runs = tree()
    cancel_runs(token="t")
    assert shown(RunStatus.CANCELLED) == {run.pk for run in runs}


def test_among_ordinary_runs_no_statement_asks_who_descends_from_whom() -> None:
    run = run_of(invoke(DELAY))
    cancellation = Cancellation(environment=production())
    with Captured() as seen:
        hit = LiveRun.objects.cancel(cancellation=cancellation, scope=CancellationFilter(token="x"))
    assert hit[:3] == ([], 0, [])
    # PostgreSQL takes them in one round trip.
    assert len(seen) == {"postgresql": 1, "sqlite": 3}[connection.vendor]
    assert not any("descent" in query["sql"] for query in seen)
    assert status(run) == "waiting"


# -- bars ----------------------------------------------------------------------------------------------------


def shown(status: str) -> set[int]:
    """The runs a list narrowed to that status holds."""
    bars = list(standing(environment=production()))
    runs = Run.objects.within(production())
    found = runs.in_status(status, environment=production(), most=50, bars=bars).listed()
    assert {run.public_status for run in found} <= {status}
    return {run.pk for run in found}


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cancel of two runs is a bar."""
    monkeypatch.setattr(cancelling, "AT_ONCE", 1)


def forest(*more: dict[str, Any], step: dict[str, Any] = INVOKE, **given: Any) -> list[Run]:
    """Two trees of three."""
    return [*tree(step, *more, **given), *tree(step, *more, **given)]


def swept(receipt: Cancellation) -> Cancellation:
    while standing().exists():
        housekeeping.sweep(production())
    receipt.refresh_from_db()
    return receipt


@pytest.mark.usefixtures("bars")
def test_a_bar_is_over_the_trees_at_once_and_sweeps_them() -> None:
    runs, spared = forest(), forest(token="other")
    receipt = cancel_runs(token="t")
    assert receipt.bar is not None
    assert LiveRun.objects.filter(state="waiting").count() == 12
    assert (statuses(runs), statuses(spared)) == (["cancelled"] * 6, ["waiting"] * 6)
    assert (shown("cancelled"), shown("waiting")) == ({run.pk for run in runs}, {run.pk for run in spared})
    assert receipt.cancelled_run_ids == sorted(ids(runs))
    assert read(runs[1]).reason == "parent_cancelled"
    assert swept(receipt).cancelled == 6
    archive_all()
    assert [Run.objects.get(pk=run.pk).status_reason for run in runs[:2]] == [
        "cancel_request",
        "parent_cancelled",
    ]
    assert [read(run).called_off_by for run in runs] == [receipt] * 6
    receipt.refresh_from_db()
    assert (receipt.cancelled, receipt.matched) == (6, 6)


@pytest.mark.usefixtures("bars")
def test_what_is_swept_goes_with_all_beneath_it_wherever_its_keys_lie(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The runs beneath have higher keys than the bar knows of, and each range holds one run of the filter."""
    monkeypatch.setattr(housekeeping, "_swept_at_once", [1])
    monkeypatch.setattr(housekeeping, "SWEPT_AT_MOST", 1)
    tops = [run_of(invoke(INVOKE, DELAY, SEND, token="t")) for _ in range(3)]
    work_off()
    runs = list(Run.objects.order_by("pk"))
    receipt = cancel_runs(token="t", up_to=tops[-1].pk)
    assert (receipt.as_of_run, len(runs)) == (tops[-1].pk, 9)
    assert housekeeping.sweep(production()) == 3
    receipt.refresh_from_db()
    assert LiveRun.objects.under(receipt) == (2, 3)
    assert (swept(receipt).cancelled, statuses(runs)) == (9, ["cancelled"] * 9)


@pytest.mark.usefixtures("bars")
def test_no_child_starts_under_the_bar_of_its_parent() -> None:
    runs = forest()
    make_due(*runs)
    receipt = cancel_runs(token="t")
    assert start() == []
    assert set(LiveRun.objects.values_list("cancellation", flat=True)) == {receipt.pk}


@pytest.mark.usefixtures("bars")
def test_one_child_met_under_the_bar_takes_its_tree_with_it() -> None:
    runs = forest()
    make_due(runs[2])
    receipt = cancel_runs(token="t")
    assert start() == []
    of_bar = LiveRun.objects.filter(cancellation=receipt.pk)
    assert set(of_bar.values_list("pk", flat=True)) == {run.pk for run in runs[:3]}
    assert swept(receipt).cancelled == 6


@pytest.mark.usefixtures("bars")
def test_a_finished_run_in_the_middle_does_not_cut_the_tree_of_a_bar() -> None:
    runs = forest(step={**INVOKE, "template": "ends"})
    make_due(runs[2])
    cancel_runs(token="t")
    assert statuses(runs) == ["cancelled", "completed", "cancelled"] * 2
    assert start() == []
    assert shown("waiting") == set()


@pytest.mark.usefixtures("bars")
def test_a_child_that_is_left_is_under_no_bar_of_its_parent() -> None:
    runs = forest(step={**INVOKE, **LEFT})
    receipt = cancel_runs(token="t")
    assert statuses(runs) == ["cancelled", "waiting", "waiting"] * 2
    assert swept(receipt).cancelled == 2


@pytest.mark.usefixtures("bars")
def test_a_parent_under_a_bar_bears_no_child() -> None:
    runs = [run_of(invoke(SEND, INVOKE, DELAY, token="t")) for _ in range(2)]
    done = [execution.perform(task) for task in start()]
    receipt = cancel_runs(token="t")
    assert len(receipt.in_flight or ()) == 2
    finish(*done)
    assert (Run.objects.count(), statuses(runs)) == (2, ["cancelled"] * 2)


@pytest.mark.usefixtures("bars")
def test_a_step_of_a_child_in_flight_is_listed_by_the_bar_of_its_parent() -> None:
    runs = forest(step={**INVOKE, "template": "grandchild"})
    make_due(runs[1])
    (task,) = start()
    receipt = cancel_runs(token="t")
    assert [entry["run"] for entry in receipt.in_flight] == [task.run]
    finish(execution.perform(task))
    assert cancelling.outstanding(receipt) == []
    assert statuses(runs) == ["cancelled"] * 4


@pytest.mark.usefixtures("bars")
def test_of_two_bars_the_older_has_a_child_that_both_reach() -> None:
    runs = forest()
    older = cancel_runs(automation="child")
    younger = cancel_runs(token="t")
    make_due(runs[0])
    assert start() == []
    called_off = [older if place % 3 else younger for place in range(6)]
    assert [read(run).called_off_by for run in runs] == called_off
    swept(younger)
    older.refresh_from_db()
    assert (older.cancelled, younger.cancelled) == (4, 2)
    assert [read(run).called_off_by for run in runs] == called_off


@pytest.mark.usefixtures("bars")
def test_a_small_cancel_of_a_parent_takes_no_child_from_an_older_bar() -> None:
    runs = forest()
    older = cancel_runs(automation="grandchild")
    small = cancel_runs(run_ids=(runs[0].uid,))
    assert (older.bar is not None, small.cancelled_run_ids) == (True, ids(runs[:2]))
    assert [read(run).called_off_by for run in runs[:3]] == [small, small, older]


@pytest.mark.usefixtures("bars")
def test_a_dry_run_counts_no_tree_that_stands_under_a_bar() -> None:
    forest()
    cancel_runs(token="t")
    request = CancelRequest(
        environment=production(), filter=CancellationFilter(everything=True), actor="x", origin=Origin.API
    )
    assert rehearsal.rehearse(request).cancelled == 0
    assert Descent.objects.count() == 6
