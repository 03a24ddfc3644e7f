"""Every case of cases.json, ordinary and hostile; and after each of them the next evaluation is right."""

from __future__ import annotations

import json
import resource
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from automations.expressions import ExpressionError, Scope, resolve_token
from automations.expressions.evaluation import Answer, Job, evaluate

FILE = json.loads(Path(__file__).with_name("cases.json").read_text("utf-8"))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WALL_S = 0.5
GROWTH_KB = 20 * 1024


def source_of(case: dict[str, Any]) -> str:
    """An expression is text, or pieces and how often each is repeated."""
    written = case["expression"]
    return written if isinstance(written, str) else "".join(piece * times for piece, times in written)


def scope_of(case: dict[str, Any]) -> Scope:
    full = FILE["sample"] | case
    now = EPOCH + timedelta(milliseconds=full["now"])
    return Scope(data=full["data"], profile=full["profile"], now=now, seed=full.get("seed", "run-1:token"))


def outcome(case: dict[str, Any]) -> str:
    """The token after `value:`, or the kind of the error."""
    try:
        return f"value:{resolve_token(source_of(case), scope_of(case))}"
    except ExpressionError as error:
        return error.kind


def stalled_s() -> float:
    """Seconds in which something on this machine waited for a CPU (Linux, pressure stall information)."""
    try:
        pressure = Path("/proc/pressure/cpu").read_text("ascii")
    except OSError:
        return 0.0
    return int(pressure.split("\n", 1)[0].rpartition("=")[2]) / 1_000_000


@pytest.mark.parametrize("case", FILE["cases"], ids=[case["id"] for case in FILE["cases"]])
def test_case(case: dict[str, Any]) -> None:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stalled, started = stalled_s(), time.monotonic()
    result = outcome(case)
    wall = time.monotonic() - started - (stalled_s() - stalled)

    if case["class"] == "error":
        assert [kind for kind in case["kinds"] if kind == result] == [result], result
    elif case["class"] == "value" and case["value"] == "*same*":
        assert result.startswith("value:")
        assert outcome(case) == result
        assert outcome(case | {"seed": "another run"}) != result
    elif case["class"] == "value":
        assert result == f"value:{case['value']}"
    assert wall <= WALL_S
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < GROWTH_KB

    after = scope_of({"data": {"user_id": "next"}})
    assert resolve_token("${data.user_id}", after) == "next"
    assert evaluate([Job("data.user_id", "token", "s", "${data.user_id}")], after, owner="") == [
        Answer("next", ())
    ]


def test_there_are_as_many_cases_as_there_ever_were() -> None:
    assert len({case["id"] for case in FILE["cases"]}) == 135
