"""Events and superseding as they are written at first: a run slips through, or one too many is hit."""

from __future__ import annotations

from datetime import datetime

from automations import concurrency
from automations.models import Run, database_now
from automations.occurrence import reporting
from tests.mutants.mutant import mutant, swap


@mutant(only="postgresql")
def event_takes_its_place_while_invokes_are_half_way() -> None:
    """The order rule: a run accepted before the event may not be committed yet when its rules are looked for."""

    def place(*, environment_id: int) -> tuple[datetime, int]:
        return database_now(), Run.objects.order_by("-pk").values_list("pk", flat=True).first() or 0

    swap(reporting, "_place", place)


@mutant()
def event_concerns_whatever_is_there() -> None:
    """The order rule: a run accepted after the event is none of its business, however long judging takes."""
    real = reporting._place
    swap(reporting, "_place", lambda **given: (real(**given)[0], 2**62))


@mutant(only="postgresql")
def superseding_takes_no_turn() -> None:
    """Two invokes of one concurrency key each miss the other's run, which is not committed yet; both live."""
    swap(concurrency, "words", lambda draft: [])
