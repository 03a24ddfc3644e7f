"""What a filter names is looked up in its environment, together, and nothing where it names nothing."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from automations.models import CancellationFilter, Contact, Environment, Invocation, keys_named
from tests.captured import Captured
from tests.scenes import DELAY, invoke, production, run_of

pytestmark = pytest.mark.django_db


def named(**given: Any) -> dict[str, tuple[int, ...]]:
    return keys_named(CancellationFilter(**given), environment_id=production().pk)


def test_runs_are_named_by_their_ids() -> None:
    first, second, other = (run_of(invoke(DELAY)) for _ in range(3))
    found = named(run_ids=(second.uid, uuid4(), first.uid, second.uid))
    assert found == {"run_pks": (first.pk, second.pk)}
    assert other.pk not in found["run_pks"]
    assert named(run_ids=(uuid4(),)) == {"run_pks": ()}
    elsewhere = Environment.objects.get(key="test").pk
    scope = CancellationFilter(run_ids=(first.uid,))
    assert keys_named(scope, environment_id=elsewhere) == {"run_pks": ()}


def test_what_was_looked_up_before_is_not_again() -> None:
    assert named(run_ids=(uuid4(),), run_pks=()) == {}


def test_invocations_are_named_by_id_or_by_key_or_by_both() -> None:
    one, other = (run_of(invoke(DELAY)).invocation for _ in range(2))
    Invocation.objects.filter(pk=one.pk).update(idempotency_key="k-1")
    assert named(invocation=one.uid) == {"invocation_pks": (one.pk,)}
    assert named(idempotency_key="k-1") == {"invocation_pks": (one.pk,)}
    assert named(invocation=one.uid, idempotency_key="k-1") == {"invocation_pks": (one.pk,)}
    assert named(invocation=other.uid, idempotency_key="k-1") == {"invocation_pks": ()}
    scope = CancellationFilter(idempotency_key="k-1")
    elsewhere = Environment.objects.get(key="test").pk
    assert keys_named(scope, environment_id=elsewhere) == {"invocation_pks": ()}


def test_it_takes_one_round_trip_and_none_for_what_names_nothing() -> None:
    here, scope = production().pk, CancellationFilter(run_ids=(uuid4(),), idempotency_key="none")
    with Captured() as asked:
        assert keys_named(scope, environment_id=here) == {"run_pks": (), "invocation_pks": ()}
    assert len(asked) == {"postgresql": 1, "sqlite": 2}[connection.vendor]
    scope = CancellationFilter(token="t", recipients=("r",), automation="a")
    with Captured() as asked:
        assert keys_named(scope, environment_id=here) == {}
    assert len(asked) == 0


def test_recipients_are_known_by_their_addresses() -> None:
    known = [("zoe", "Same@x.co "), ("adam", "same@x.co"), ("eve", "+49 30 1"), ("o", 'quote"{},\\@x.co')]
    Contact.objects.learn(environment=production(), known=known)

    def at(*addresses: str, most: int = 10) -> list[str]:
        return Contact.objects.at(addresses, environment=production(), most=most)

    assert at(" SAME@x.co", "same@X.co") == ["adam", "zoe"]
    assert at("+49 30 1", "nobody@x.co", 'quote"{},\\@x.co') == ["eve", "o"]
    assert at("nobody@x.co") == []
    assert len(at("same@x.co", "+49 30 1", most=2)) == 2
    elsewhere = Environment.objects.get(key="test")
    assert Contact.objects.at(["same@x.co"], environment=elsewhere, most=10) == []
