"""What a person may do and see; what is not there is a 404."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.http import Http404
from django.middleware.csrf import rotate_token

from automations.middleware import PageRequest
from automations.middleware import require as require
from automations.models import Refusal


@contextmanager
def or_404() -> Iterator[None]:
    """Http404 where the block is refused: what it looks for is unknown in this environment."""
    try:
        yield
    except Refusal as refusal:
        raise Http404(refusal.message) from refusal


def look_at(request: PageRequest, environment: str) -> None:
    """From now on the person looks at the environment of that key. What was opened before, in other tabs, can send
    nothing any more: it would be done in this one."""
    request.session["environment"] = environment
    rotate_token(request)
