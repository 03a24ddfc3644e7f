"""Who came in and went, and who was turned away at the door, noted in the audit log."""

from __future__ import annotations

from automations.models import User, audit

NOBODY = "nobody"


def began(user: User) -> None:
    """The user is in."""
    audit("login.succeeded", of=user.actor, by=user.actor)


def ended(user: User) -> None:
    """The user has gone, and said so."""
    audit("login.ended", of=user.actor, by=user.actor)


def failed(username: str) -> None:
    """Somebody tried that name with a wrong password."""
    _note("failed", username)


def throttled(username: str) -> None:
    """Somebody tried that name so often that nothing more is tried for a while."""
    _note("throttled", username)


def _note(what: str, username: str) -> None:
    """The name, if it is somebody's. Another one is perhaps a password, typed into the wrong field: its beginning
    and its length have to do."""
    is_known = User.objects.filter(username=username).exists()
    tried = f"{username[:2]}… ({len(username)} characters)"
    audit(
        f"login.{what}", of=f"user/{username}" if is_known else "user/?", by=NOBODY,
        after=None if is_known else {"name": tried},
    )  # fmt: skip
