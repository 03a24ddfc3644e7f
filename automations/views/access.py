"""What a person may do and see; what is not there is a 404."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.http import Http404

from automations.middleware import require as require
from automations.models import Refusal


@contextmanager
def or_404() -> Iterator[None]:
    """Http404 where the block is refused: what it looks for is unknown in this environment."""
    try:
        yield
    except Refusal as refusal:
        raise Http404(refusal.message) from refusal
