"""What explanations tell of a cancellation that was undone, and of others while it stood."""

from __future__ import annotations

from datetime import timedelta

import pytest

from automations.explanation import explain_undone
from automations.models import Run, database_now
from tests.scenes import SEND, archive_all, cancel_runs, invoke, read, run_of, start
from tests.test_explanation import MINUTE, TOKEN, run, told
from tests.test_undo import undone

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("age", [timedelta(), MINUTE])
@pytest.mark.parametrize("is_archived", [False, True])
def test_called_off_then_by_one_that_was_undone_since(age: timedelta, is_archived: bool) -> None:
    one = run()
    Run.objects.filter(pk=one.pk).update(created_at=one.created_at - age)
    first, second = cancel_runs(token=TOKEN), cancel_runs(token=TOKEN)
    if is_archived:
        archive_all()
    at = undone(first).undone_at
    third = cancel_runs(token=TOKEN)
    assert at is not None
    for _ in range(2):  # called off once more a moment later, or not
        found = told(one, second)
        assert (found.reason, found.hit) == ("called_off_before", False)
        assert found.sentence == (
            f"cancellation {first.pk} had called the run off before, at {first.as_of:%Y-%m-%d %H:%M:%S} UTC, "
            f"and was undone later, at {at:%Y-%m-%d %H:%M:%S} UTC"
        )
        assert found.details == {"by": str(first.pk), "at": first.as_of, "undone_at": at}
        assert (told(one, first).reason, told(one, third).reason) == (
            "undone", "undone" if third.undone_at else "hit",
        )  # fmt: skip
        third = undone(third) if third.undone_at is None else third


def test_one_that_was_undone_before_explains_nothing() -> None:
    one = run_of(invoke(SEND, token=TOKEN))
    undone(cancel_runs(token=TOKEN))
    start()
    late = cancel_runs(due_before=database_now() + timedelta(days=1))
    assert told(one, late).reason == "not_due"


def test_of_a_run_that_nobody_calls_off_now_it_is_told_who_had() -> None:
    one = run()
    assert explain_undone(one) is None
    for _ in range(2):
        row = undone(cancel_runs(run_ids=(one.uid,)))
    found, at = explain_undone(read(one)), row.undone_at
    assert found is not None
    assert at is not None
    assert (found.hit, found.reason) == (False, "undone")
    assert found.details == {"by": str(row.pk), "at": row.as_of, "undone_at": at}
    assert found.sentence == (
        f"cancellation {row.pk} had called the run off, at {row.as_of:%Y-%m-%d %H:%M:%S} UTC, "
        f"and was undone at {at:%Y-%m-%d %H:%M:%S} UTC; the run is waiting"
    )
