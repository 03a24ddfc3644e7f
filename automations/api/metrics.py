"""`/metrics`: what a monitor watches, in the text format of Prometheus (its documentation: Exposition formats)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from django.core.cache import cache
from django.db import DatabaseError
from django.db.models import Count
from django.http import HttpResponse
from rest_framework.request import Request

from automations.api.health import OpenEndpoint
from automations.models import Environment, LiveRun, LiveState, Worker, standing, what_is_due

FORMAT = "text/plain; version=0.0.4; charset=utf-8"
KEPT = 5  # seconds: to count a million runs takes a good part of one, whoever asks


class Gauge(NamedTuple):
    """A number that goes up and down; `values` by their labels, written as they stand in the braces."""

    name: str
    about: str
    values: Mapping[str, float]

    def lines(self) -> Iterator[str]:
        """As Prometheus reads it."""
        yield f"# HELP countermand_{self.name} {self.about}"
        yield f"# TYPE countermand_{self.name} gauge"
        for labels, value in self.values.items():
            yield f"countermand_{self.name}{f'{{{labels}}}' if labels else ''} {value:g}"


class Metrics(OpenEndpoint):
    """`/metrics`."""

    def get(self, request: Request) -> HttpResponse:
        """The gauges, at most KEPT seconds old; 503 while the database does not answer."""
        try:
            text = cache.get_or_set("metrics", _text, KEPT)
        except DatabaseError:
            return HttpResponse("# the database does not answer\n", content_type=FORMAT, status=503)
        return HttpResponse(text, content_type=FORMAT)


def _text() -> str:
    return "".join(f"{line}\n" for gauge in _gauges() for line in gauge.lines())


def _gauges() -> Iterator[Gauge]:
    environments = dict(Environment.objects.order_by("key").values_list("pk", "key"))
    counted = LiveRun.objects.order_by().values_list("environment", "state").annotate(count=Count("pk"))
    runs = {(pk, state): count for pk, state, count in counted}
    unsettled = LiveRun.objects.filter(unsettled__isnull=False).order_by().values_list("environment")
    lost = dict(unsettled.annotate(count=Count("pk")))
    bars = dict(standing().order_by().values_list("environment").annotate(count=Count("pk")))
    due = what_is_due().times
    yield Gauge(
        "unfinished_runs", "Runs that are not history yet, by the state of their row.",
        {
            f'environment="{key}",state="{state}"': runs.get((pk, state), 0)
            for pk, key in environments.items() for state in LiveState
        },
    )  # fmt: skip
    yield Gauge(
        "oldest_due_seconds", "For how long the step that is due longest has been due.",
        {f'environment="{key}"': max(0.0, -due.get(pk, 0.0)) for pk, key in environments.items()},
    )  # fmt: skip
    yield Gauge(
        "unsettled_runs", "Runs with an attempt whose worker was lost and whose end is not known yet.",
        {f'environment="{key}"': lost.get(pk, 0) for pk, key in environments.items()},
    )  # fmt: skip
    yield Gauge(
        "standing_bars", "Cancellations of many runs that are in force and being written to their rows.",
        {f'environment="{key}"': bars.get(pk, 0) for pk, key in environments.items()},
    )  # fmt: skip
    yield Gauge(
        "workers", "Worker processes heard of in the last 30 seconds.", {"": Worker.objects.at_work().count()}
    )
