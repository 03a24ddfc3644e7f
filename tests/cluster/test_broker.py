"""The broker hands out hints while something is due, and remembers nothing."""

from __future__ import annotations

import time

import pytest
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from automations.cluster import broker
from automations.cluster.broker import DueWork
from tests.captured import Captured
from tests.notices.scene import endpoint
from tests.scenes import DELAY, SEND, cancel_runs, invoke

pytestmark = pytest.mark.django_db


def quiet_broker() -> DueWork:
    """One that has just looked after its queue and given a sign of life."""
    quiet = DueWork(list_key="countermand")
    quiet.next_beat = quiet.next_house = quiet.next_queue = float("inf")
    return quiet


def test_a_due_run_makes_a_hint_that_is_not_stored() -> None:
    invoke(SEND)
    (hint,) = quiet_broker().dequeue() or []
    acknowledgement, text = hint
    package = SignedPackage.loads(text)
    assert (acknowledgement, package["func"], package["args"]) == (
        None,
        "automations.cluster.pump.run_pump",
        (),
    )
    assert package["timeout"] == -1  # django-q2 would kill a pump that has a long step in hand
    assert OrmQ.objects.count() == 0


def test_nothing_due_makes_no_hint_and_costs_one_statement() -> None:
    invoke(DELAY, SEND)
    quiet = quiet_broker()
    with Captured() as captured:
        assert quiet.dequeue() is None
    assert len(captured) == 1


def test_a_hint_is_handed_out_for_a_sign_of_life_now_and_then() -> None:
    quiet = quiet_broker()
    quiet.next_beat = 0.0
    assert len(quiet.dequeue() or []) == 1
    assert quiet.dequeue() is None


def test_while_something_settles_a_hint_is_handed_out_once_a_second() -> None:
    invoke(DELAY, token="t")
    cancel_runs(token="t")
    quiet = quiet_broker()
    assert quiet.dequeue() is None
    quiet.next_house = 0.0
    assert len(quiet.dequeue() or []) == 1
    assert quiet.dequeue() is None


def test_the_poll_stays_under_twelve_statements_a_second() -> None:
    assert 1 / broker.POLL_SECONDS < 12


def test_what_is_owed_to_a_webhook_makes_a_hint_within_a_second() -> None:
    endpoint()
    invoke({"action": "cancel", "cancellation_token": "nobody"})
    quiet = quiet_broker()
    quiet.next_owed = time.monotonic() + 60
    assert quiet.dequeue() is None
    quiet.next_owed = 0.0
    assert len(quiet.dequeue() or []) == 1
    assert 0 < quiet.next_owed - time.monotonic() <= 1
