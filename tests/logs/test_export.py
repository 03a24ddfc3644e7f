"""What is exported is what the filters show, all of it, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import json

import pytest

from automations.models import Run
from logs import export
from logs.search import Search
from tests.people import client
from tests.scenes import DELAY, SEND, cancel_runs, invoke, production, publish, run_of, work_off

pytestmark = pytest.mark.django_db


def exported(address: str) -> list[dict[str, str]]:
    answer = client("viewer").get(address)
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    if ".csv" in address:
        return list(csv.DictReader(text.splitlines()))
    return [json.loads(line) for line in text.splitlines()]


def test_both_forms_hold_what_the_filters_find_newest_first() -> None:
    publish("onboarding", {"steps": [DELAY, SEND]})
    first = run_of(
        invoke(definition=None, automation="onboarding", recipients=["ana"], source="api/a", key="k")
    )
    second = run_of(invoke(DELAY, SEND, token="t", source="api/a"))
    invoke(DELAY, SEND, source="api/b")
    cancel_runs(token="t")
    table, lines = exported("/logs/export.csv?q=source:api/a"), exported("/logs/export.jsonl?q=source:api/a")
    assert [line["id"] for line in lines] == [str(second.uid), str(first.uid)]
    assert [{name: value or None for name, value in row.items()} for row in table] == lines
    assert list(lines[0]) == list(export.COLUMNS)
    assert [(line["status"], line["status_reason"], line["cancelled_by"]) for line in lines] == [
        ("cancelled", "cancel_request", "user/ana"), ("waiting", None, None),
    ]  # fmt: skip
    assert (lines[1]["automation"], lines[1]["recipient"], lines[1]["cancellation_key"]) == (
        "onboarding",
        "ana",
        "k",
    )
    assert exported("/logs/export.jsonl?status=waiting&q=source:api/a") == lines[1:]


def test_no_field_is_taken_for_a_formula() -> None:
    for source in ('=HYPERLINK("x")', "+1", "-1", "@SUM(A1)", "\tx", "a,b\n\"c'"):
        invoke(SEND, source=source)
    assert {row["source"] for row in exported("/logs/export.csv")} >= {
        "'=HYPERLINK(\"x\")", "'+1", "'-1", "'@SUM(A1)", "'\tx",
    }  # fmt: skip
    assert {row["source"] for row in exported("/logs/export.jsonl")} >= {"+1", "a,b\n\"c'"}


def test_it_goes_on_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "CHUNK", 2)
    invoke(SEND, recipients=[str(number) for number in range(5)])
    work_off()
    ids = [row["id"] for row in exported("/logs/export.csv?status=completed")]
    assert ids == [str(run.uid) for run in Run.objects.order_by("-pk")]


def test_runs_invoked_meanwhile_do_not_come_into_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "CHUNK", 1)
    invoke(SEND, recipients=["a", "b"])
    lines = export.as_json_lines(Search(), environment=production(), now=Run.objects.latest("pk").created_at)
    first = json.loads(next(lines))
    invoke(SEND, recipients=["c"])
    assert [first["recipient"], *(json.loads(line)["recipient"] for line in lines)] == ["b", "a"]


def test_it_comes_as_a_file() -> None:
    answer = client("viewer").get("/logs/export.csv")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="runs-production-')
