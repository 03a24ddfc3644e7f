"""People are let in, given a role, and sent away here."""

from __future__ import annotations

from django.db import transaction

from automations.models import User, audit, retried


def create(*, username: str, password: str, role: str, by: str) -> User:
    """A stored user with that password; the caller has validated both."""
    with transaction.atomic():
        user = User.objects.create_user(username=username, password=password, role=role)
        audit("user.created", of=user.actor, by=by, after={"role": user.role})
    return user


def invite(*, username: str, role: str, by: str) -> User:
    """A stored user who cannot log in before choosing a password."""
    with transaction.atomic():
        user = User.objects.invite(username=username, role=role)
        audit("user.invited", of=user.actor, by=by, after={"role": user.role})
    return user


def give_link(user: User, *, by: str) -> None:
    """Notes that somebody holds a link by which the user's password can be chosen anew."""
    audit("user.link_given", of=user.actor, by=by)


def choose_password(user: User, password: str) -> None:
    """The user's password from now on; the caller has validated it."""
    user.set_password(password)
    with transaction.atomic():
        user.save(update_fields=["password"])
        audit("user.password_chosen", of=user.actor, by=user.actor)


@retried
def change(user: User, *, role: str, is_active: bool, by: str) -> bool:
    """Gives the user that role, and lets in or sends away; False, and nothing is changed, when no active admin would
    be left."""
    with transaction.atomic():
        was = User.objects.change(user, role=role, is_active=is_active)
        if was is None:
            return False
        audit("user.changed", of=user.actor, by=by, before=_facts(was), after=_facts(user))
    return True


def _facts(user: User) -> dict[str, object]:
    return {"role": user.role, "may_log_in": user.is_active}
