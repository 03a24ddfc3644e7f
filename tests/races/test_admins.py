"""Admins who send one another away at the same moment: one of them stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from automations.admission import users
from automations.models import AuditEntry, Role, User
from tests.people import PASSWORD
from tests.races.together import rounds, together

pytestmark = pytest.mark.django_db
NAMES = ("ana", "ben", "cem")


@pytest.fixture(autouse=True)
def _nobody(db: None) -> Iterator[None]:
    yield
    AuditEntry.objects.all().delete()
    User.objects.all().delete()


@rounds(6)
def test_of_admins_who_demote_one_another_one_stays_admin() -> None:
    AuditEntry.objects.all().delete()
    User.objects.all().delete()
    for name in NAMES:
        User.objects.create(username=name, password=PASSWORD, role=Role.ADMIN)

    def send_away(name: str, *, by: str, is_active: bool) -> Callable[[], bool]:
        user = User.objects.get(username=name)
        role = Role.ADMIN if not is_active else Role.VIEWER
        return lambda: users.change(user, role=role, is_active=is_active, by=f"user/{by}")

    done = together(
        [
            send_away(name, by=by, is_active=number % 2 == 0)
            for number, (name, by) in enumerate(zip(NAMES, NAMES[1:] + NAMES[:1], strict=True))
        ]
    )
    left = User.objects.filter(role=Role.ADMIN, is_active=True)
    assert (sorted(done), left.count()) == ([False, True, True], 1)
    assert AuditEntry.objects.filter(action="user.changed").count() == 2


def test_what_two_changes_were_before_is_told_one_after_the_other() -> None:
    for name in NAMES:
        User.objects.create(username=name, password=PASSWORD, role=Role.ADMIN)
    cem = [User.objects.get(username="cem") for _ in range(2)]
    roles = (Role.VIEWER, Role.OPERATOR)
    together(
        [
            lambda user=user, role=role: users.change(user, role=role, is_active=True, by="user/ana")  # type: ignore[misc]
            for user, role in zip(cem, roles, strict=True)
        ]
    )
    first, second = AuditEntry.objects.filter(action="user.changed").order_by("pk")
    assert first.before == {"role": Role.ADMIN}
    assert second.before == first.after
