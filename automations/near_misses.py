"""Finds cancellations that nearly hit a run, and runs that a cancellation nearly hit; never by a search through all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

from automations.explanation import Explanation, explain
from automations.models import Cancellation, Run, first_uid, runs_with
from automations.nearness import SEPARATORS, SHORTEST, difference, essence, may_be_near, prefixes_of, variants

NEWEST = 300  # records looked at
MOST = 10  # of them told
BEFORE, AFTER = timedelta(minutes=5), timedelta(hours=1)  # a run's life, and so much more at its ends


def of_run(run: Run) -> list[tuple[Cancellation, Explanation]]:
    """Cancellations of about the run's lifetime, or that held when it was accepted, that asked for its token or key,
    or nearly so, and did not hit it; newest first, out of the newest 300 of that time and 300 that held. The run is
    read as `explained()` or `with_state()`."""
    held = [label for label in (run.token, run.key) if label is not None]
    if not held:
        return []
    lived = Cancellation.objects.filter(
        environment=run.environment_id, pk__gte=first_uid(run.created_at - BEFORE)
    )
    if (ended_at := run.ended_at) is not None:
        lived = lived.filter(pk__lt=first_uid(ended_at + AFTER))
    holding = Cancellation.objects.filter(
        environment=run.environment_id, hold_until__gte=run.created_at, undone_at=None,
        as_of__lte=run.created_at,
    )  # fmt: skip
    asked_of = ("pk", "filter__token", "filter__key")
    rows = [
        *lived.order_by("-pk").values_list(*asked_of)[:NEWEST],
        *holding.order_by("hold_until").values_list(*asked_of)[:NEWEST],
    ]
    near = _near(held)
    found_near = (pk for pk, *asked in rows if any(near(label) for label in asked if label))
    pks = list(dict.fromkeys(found_near))[:MOST]
    if not pks:
        return []
    found = Cancellation.objects.filter(pk__in=pks).order_by("-pk").defer("cancelled_run_ids", "in_flight")
    explained = [(cancellation, explain(run, cancellation)) for cancellation in found]
    return [(cancellation, explanation) for cancellation, explanation in explained if not explanation.hit]


def of_cancellation(cancellation: Cancellation) -> list[tuple[Run, Explanation]]:
    """Runs that bear the token or key that the cancellation asked for, or nearly so, and were not hit; newest
    first. One for each spelling that was looked for.

    An index answers for whole tokens and for what begins with them. What else they may begin with is learnt from
    the newest 300 runs of that time.
    """
    asked = cancellation.filter.get("token") or cancellation.filter.get("key")
    if not asked:
        return []
    columns = ("token", "key") if "token" in cancellation.filter else ("key",)
    runs = Run.objects.filter(environment=cancellation.environment_id)
    until = max(cancellation.as_of, cancellation.hold_until or cancellation.as_of)
    rows = runs.until(until).newest_first().values_list("pk", *columns)
    recent = list(rows[:NEWEST])
    pks = set(_newest(recent, _near([asked])))
    prefixes = [asked + separator for separator in SEPARATORS] if len(asked) >= SHORTEST else []
    for place, column in enumerate(columns, start=1):
        seen = prefixes_of(row[place] for row in recent if row[place])
        values = variants(asked, prefixes=seen)
        where = cancellation.environment_id
        pks.update(runs_with(column, environment_id=where, values=values, prefixes=prefixes))
    newest = sorted(pks, reverse=True)[: 2 * MOST]  # some of them it hit
    found = runs.with_state().filter(pk__in=newest).newest_first().defer("profile", "invocation__data")
    explained = ((run, explain(run, cancellation)) for run in found)
    return [(run, explanation) for run, explanation in explained if not explanation.hit][:MOST]


def _newest(rows: Iterable[Sequence[Any]], near: Callable[[str], bool]) -> Iterable[int]:
    """Of the rows (primary key, labels), newest first, the first with each label that is near."""
    found: dict[str, int] = {}
    for pk, *held in rows:
        for label in held:
            if label and label not in found and near(label):
                found[label] = pk
    return found.values()


def _near(wanted: Iterable[str]) -> Callable[[str], bool]:
    """Tells whether a label is one of those wanted, or nearly so."""
    essences = [(text, essence(text)) for text in wanted]

    @cache
    def near(label: str) -> bool:
        its = essence(label)
        return any(
            text == label or (may_be_near(its, common) and bool(difference(text, label)))
            for text, common in essences
        )

    return near
