"""Every page of the dashboard at 1,000,000 unfinished and 1,000,000 finished runs: statements, time, bytes."""

from __future__ import annotations

import gc
import gzip
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from typing import Any

import django

from tests.bench.figures import percentile

REPEATS, LEAST, SECONDS = 20, 5, 0.7  # so often, or as often as these seconds allow, but not less than that
SERVER, WEIGHT = 200, 60  # milliseconds of a request, kB of a first visit: no page may take more
SQL = {"overview": 50, "logs": 30}  # milliseconds in the database, of pages whose names begin so
LINKED = re.compile(r'(?:src|href)="(/static/[^"#]+)')
POLLED = re.compile(r'hx-get="([^"]*[?&;]tag=[^"]*)"')
SINCE = re.compile(r'hx-get="([^"]*[?&;]since=[^"]*)"')
MANY_ASKED = {
    "token of 100,000": "token=campaign",
    "automation of half of all": "automation=automation-0",
    "started": "created_after=2020-01-01T00:00",
    "due": "due_before=2100-01-01T00:00",
}


def main() -> None:
    django.setup()
    from tests.bench import busy

    begun = time.perf_counter()
    busy.fill()
    print(
        f"  {busy.RUNS:,} runs, half of them unfinished, filled in {time.perf_counter() - begun:.0f} s",
        flush=True,
    )
    measure(pages())


@dataclass
class Figures:
    """Of one page: in seconds each time; in bytes as the browser gets it, plain and compressed, and with everything
    that a first visit loads."""

    statements: set[int] = field(default_factory=set)
    database: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    plain: int = 0
    squeezed: int = 0
    visit: int = 0

    def too_much(self, name: str) -> str:
        """What is more than it may be, by its median; what is counted after a page was shown may take its time."""
        if name.endswith("counted"):
            return ""
        most = next((most for begun, most in SQL.items() if name.startswith(begun)), SERVER)
        found = {
            f"SQL over {most} ms": percentile(self.database, 0.5) * 1000 > most,
            f"server over {SERVER} ms": percentile(self.server, 0.5) * 1000 > SERVER,
            f"over {WEIGHT} kB": self.visit > WEIGHT * 1000,
        }
        return ", ".join(words for words, is_so in found.items() if is_so)


def measure(addresses: Mapping[str, str]) -> None:
    """Prints a line for each page: as an admin sees it, nothing cached by the server."""
    from tests.people import client

    browser = client("admin", headers={"Host": "localhost", "Accept-Encoding": "gzip"})
    gc.collect()
    gc.freeze()
    print(f"  {'':<44}statements    SQL p50    p99   server p50    p99     kB  gzip  first visit")
    for name, address in addresses.items():
        figures = looked_at(browser, address)
        times = [
            percentile(seconds, share) * 1000
            for seconds in (figures.database, figures.server)
            for share in (0.5, 0.99)
        ]
        counts = "/".join(map(str, sorted(figures.statements)))
        weights = (figures.plain / 1000, figures.squeezed / 1000, figures.visit / 1000)
        database, database_99, server, server_99 = times
        plain, squeezed, visit = weights
        print(
            f"  {name:<44}{counts:>10} {database:>7.1f} ms {database_99:>6.1f} {server:>9.1f} ms {server_99:>6.1f} "
            f"{plain:>6.1f} {squeezed:>5.1f} {visit:>12.1f}  {figures.too_much(name)}".rstrip(),
            flush=True,
        )


def looked_at(browser: Any, address: str) -> Figures:
    """The page asked for again and again; `poll ` before its address asks for what it polls, `changed ` for a poll
    that finds something else."""
    from django.core.cache import cache

    kind, _, address = address.rpartition(" ")
    headers = {}
    if kind:
        pattern = SINCE if kind == "newer" else POLLED
        address = unescape(pattern.search(gzip.decompress(browser.get(address).content).decode())[1])  # type: ignore[index]
        headers = {"HX-Request": "true"}
        if kind == "changed":
            address = re.sub(r"tag=[^&]*", "tag=other", address)
    figures = Figures()
    until = time.monotonic() + SECONDS
    for number in range(REPEATS + 1):
        if number > LEAST and time.monotonic() > until:
            break
        cache.clear()
        with clocked() as seconds:
            begun = time.perf_counter()
            answer = browser.get(address, headers=headers)
            whole = time.perf_counter() - begun
        assert answer.status_code in ((200, 204) if kind in ("poll", "newer") else (200,)), address
        if number:  # the first loads what it takes
            figures.statements.add(seconds.statements)
            figures.database.append(sum(seconds))
            figures.server.append(whole)
    page = answer.content
    figures.squeezed = len(page)
    text = gzip.decompress(page) if answer.headers.get("Content-Encoding") == "gzip" else page
    figures.plain = len(text)
    figures.visit = len(page) + sum(
        len(b"".join(browser.get(one))) for one in sorted(set(LINKED.findall(text.decode())))
    )
    return figures


class Clock(list[float]):
    """Seconds spent in the database's driver, fetching included; `statements` are those carried out."""

    statements = 0


@contextmanager
def clocked() -> Iterator[Clock]:
    """Measures where Django enters the driver: SQLite finds rows only as they are fetched."""
    from django.db import connection
    from django.db.utils import DatabaseErrorWrapper

    clock = Clock()

    class Timed(DatabaseErrorWrapper):
        def __enter__(self) -> None:
            self.begun = time.perf_counter()

        def __exit__(self, *raised: Any) -> None:
            clock.append(time.perf_counter() - self.begun)
            super().__exit__(*raised)

    def counted(execute: Any, *arguments: Any) -> Any:
        clock.statements += 1
        return execute(*arguments)

    before = connection.wrap_database_errors
    connection.wrap_database_errors = Timed(connection)
    try:
        with connection.execute_wrapper(counted):
            yield clock
    finally:
        connection.wrap_database_errors = before


def pages() -> dict[str, str]:
    """Each page's name and address."""
    return {**_overview(), **_logs(), **_run(), **_cancellations(), **_automations(), **_rest()}


def _overview() -> dict[str, str]:
    return {
        "overview": "/", "overview, day": "/?span=day", "overview, week": "/?span=week",
        "overview, poll": "poll /", "overview, poll, changed": "changed /",
    }  # fmt: skip


def _logs() -> dict[str, str]:
    from automations.models import Cancellation, Run, RunStatus

    def nth(number: int) -> Any:
        return Run.objects.order_by("pk")[number]

    size = Run.objects.newest_pk()
    swept = Cancellation.objects.exclude(archived_at=None).order_by("-pk")[0]
    asked = {
        "first page": "", **{status: f"status={status}" for status in RunStatus.values},
        "of half of all": "automation=automation-0", "of a few": "automation=automation-150",
        "of none": "automation=automation-900", "waiting, of a few": "automation=automation-150&status=waiting",
        "failed, of half of all": "automation=automation-0&status=failed",
        **{f"invoked, last {span}": f"started={span}" for span in ("15m", "1h", "24h", "7d", "30d")},
        **{f"wakes {span}": f"wakes={span}" for span in ("late", "1h", "24h", "7d")},
        "failed, last 24h": "started=24h&status=failed", "cancelled, last 24h": "started=24h&status=cancelled",
        "id's prefix": f"q={str(nth(size // 2).uid)[:8]}", "token of few": "q=token:order-20000",
        "token's prefix": "q=token:order-2", "token of 100,000": 'q=token:"campaign"', "text": "q=order-20001",
        "text, prefix of many": "q=user-", "text, of nobody": "q=zzz",
        "source": "q=source:api/backend", "source of few": "q=source:ui/ana", "recipient": 'q=recipient:"user-17"',
        "idempotency key": "q=key:order-77", "key's prefix": "q=key:key-1",
        "a token, waiting": "q=order-2&status=waiting",
        "called off by one": f"cancellation={swept.pk}", "older page": f"before={size // 2}",
        "waiting, older page": f"status=waiting&before={size // 2}",
        "failed, older page": f"status=failed&before={size // 2}",
    }  # fmt: skip
    found = {f"logs, {name}": f"/logs/?{query}" for name, query in asked.items()}
    return found | {
        "logs, poll, unchanged": "poll /logs/", "logs, poll, changed": "changed /logs/",
        "logs, poll, token, unchanged": "poll /logs/?q=order-2",
        "logs, newer than an older page": f"newer /logs/?before={size // 2}",
    }  # fmt: skip


def _run() -> dict[str, str]:
    from automations.models import LiveRun, Run

    spared = {"automation__key": "automation-0", "source": "api/backend"}  # by the bars that stand
    free = LiveRun.objects.filter(state="waiting", **spared).order_by("-pk")
    uids = {
        "waiting, token of few": free.filter(token__startswith="order-")[0].uid,
        "waiting, token of 100,000": free.filter(token="campaign")[0].uid,
        **{
            status: Run.objects.filter(status=status).order_by("-pk")[0].uid
            for status in ("failed", "cancelled", "completed")
        },
    }  # fmt: skip
    few, many = list(uids.values())[:2]
    return {
        **{f"run, {name}": f"/logs/{uid}/" for name, uid in uids.items()},
        "run, poll, unchanged": f"poll /logs/{few}/", "run, poll, changed": f"changed /logs/{few}/",
        "run, poll, token of 100,000": f"poll /logs/{many}/", "run, cancel": f"/logs/{many}/cancel/",
        "run, another time": f"/logs/{few}/time/", "run, replay": f"/logs/{uids['failed']}/replay/",
        "run, why not cancelled": f"/logs/{few}/why/?q=order-3",
    }  # fmt: skip


def _cancellations() -> dict[str, str]:
    from automations.models import Cancellation

    newest = Cancellation.objects.order_by("-pk")
    bar = Cancellation.objects.filter(filter__source="api/import").get()
    old = newest.filter(archived_at__isnull=False, cancelled=1_000)[0]
    return {
        "cancellations": "/bulk/", "cancellations, older page": f"/bulk/?before={newest[5_000 // 50].pk}",
        "cancellation": f"/bulk/{old.pk}/", "cancellation, missed": f"/bulk/{old.pk}/missed/",
        "cancellation, standing": f"/bulk/{bar.pk}/", "cancellation, standing, poll": f"poll /bulk/{bar.pk}/",
        "cancel many": "/bulk/new/",
        "cancel many, from the logs": "/bulk/new/?q=token:order-2000&status=waiting",
        "preview, token of few": "/bulk/new/?token=order-20000",
        "preview, recipient": "/bulk/new/?recipients=user-17",
        **{f"preview, {name}": f"/bulk/new/?{asked}" for name, asked in MANY_ASKED.items()},
        **{f"preview, {name}, counted": f"/bulk/new/?{asked}&counted=all" for name, asked in MANY_ASKED.items()},
    }  # fmt: skip


def _automations() -> dict[str, str]:
    busy, quiet = "/templates/automation-0", "/templates/automation-150"
    tabs = ("", "steps/0", "json", "settings", "versions", "publish", "disable", "enable", "invoke", "use")
    return {
        "automations": "/templates/", "automations, search": "/templates/?q=9",
        "automations, draft": "/templates/?status=draft",
        "automation, new": "/templates/new/",
        **{f"automation of half of all, {tab or 'steps'}": f"{busy}/{tab}" for tab in tabs},
        **{f"automation of a few, {tab}": f"{quiet}/{tab}" for tab in ("settings", "disable", "invoke")},
    }  # fmt: skip


def _rest() -> dict[str, str]:
    from automations.models import AuditEntry, MessageTemplate, Recipient, WebhookDelivery, WebhookEndpoint

    endpoint = WebhookEndpoint.objects.get(pk=WebhookDelivery.objects.all()[0].endpoint_id)
    one, middle = Recipient.objects.get(key="user-17"), Recipient.objects.count() // 2
    delivery = WebhookDelivery.objects.order_by("-pk")[WebhookDelivery.objects.count() // 2]
    return {
        "keys": "/keys/", "users": "/users/", "environments": "/environments/", "providers": "/providers/",
        "webhooks": "/webhooks/", "webhook": f"/webhooks/{endpoint.pk}/",
        "webhook, older page": f"/webhooks/{endpoint.pk}/?before={delivery.pk}",
        "recipients": "/recipients/", "recipients, prefix": "/recipients/?q=user-1",
        "recipients, older page": f"/recipients/?before={middle}", "recipient": f"/recipients/{one.pk}/",
        "recipient, new": "/recipients/new/", "messages": "/messages/",
        "message": f"/messages/{MessageTemplate.objects.all()[0].key}/",
        "audit": "/audit/", "audit, text": "/audit/?q=ana", "audit, of nobody": "/audit/?q=zzz",
        "audit, action": "/audit/?action=key",
        "audit, older page": f"/audit/?before={AuditEntry.objects.count() // 2}", "docs": "/docs/",
        "docs, one": "/docs/steps/",
    }  # fmt: skip


if __name__ == "__main__":
    main()
