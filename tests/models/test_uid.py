"""Ids are of version 7, differ, and follow the order in which they are made."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from automations.models.uid import first_uid, new_uid

pytestmark = pytest.mark.pure


def test_ids_of_version_7_that_differ() -> None:
    made = [new_uid() for _ in range(1_000)]
    assert len(set(made)) == 1_000
    assert {(one.version, one.variant) for one in made} == {(7, "specified in RFC 4122")}
    assert len({one.int & (1 << 62) - 1 for one in made}) == 1_000


def test_ids_made_within_a_millisecond_follow_one_another() -> None:
    for _ in range(100):
        first = new_uid()
        until = time.time_ns() + 2_000  # longer than a part of a millisecond
        while time.time_ns() < until:
            pass
        assert first < new_uid()


def test_no_id_is_less_than_the_first_of_its_time() -> None:
    before = timezone.now()
    made = new_uid()
    assert first_uid(before) <= made < first_uid(timezone.now() + timedelta(milliseconds=1))
