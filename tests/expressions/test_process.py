"""What an evaluator process is given, what it may do, and what survives an expression."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from automations.expressions import ExpressionError, Scope, pool, process, resolve_token

linux = pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="reads /proc")
LIMITS = {
    "Max address space": "167772160",
    "Max stack size": "8388608",
    "Max core file size": "0",
    "Max file size": "0",
    "Max processes": "0",
    "Max open files": "3",
}
SCOPE = Scope(data={}, profile={}, now=datetime(2026, 1, 1, tzinfo=UTC), seed="s")


@pytest.fixture
def evaluator(limits: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in /proc of a fresh evaluator, started by a process that knows a secret."""
    monkeypatch.setenv("SECRET_KEY", "do not tell")
    limits()
    resolve_token("${1 + 1}", SCOPE)
    [pid] = pool.current().pids()
    return Path("/proc", str(pid))


@linux
def test_it_knows_nothing_of_the_servers_environment(evaluator: Path) -> None:
    names = {entry.partition(b"=")[0] for entry in (evaluator / "environ").read_bytes().split(b"\0") if entry}
    assert names == {b"PATH", b"LANG", b"TZ", b"MALLOC_ARENA_MAX"}


@linux
def test_it_may_open_write_start_and_allocate_next_to_nothing(evaluator: Path) -> None:
    soft = {}
    for line in (evaluator / "limits").read_text().splitlines():
        soft[line[:25].strip()] = line[25:].split()[0]
    assert {name: soft[name] for name in LIMITS} == LIMITS
    status = (evaluator / "status").read_text()
    assert "\nNoNewPrivs:\t1\n" in status
    assert "\nThreads:\t1\n" in status
    assert sorted(path.name for path in (evaluator / "fd").iterdir()) == ["0", "1", "2"]


@pytest.mark.parametrize(
    "trap",
    [
        "Object.prototype[Symbol.toPrimitive] = () => { for (;;); };",
        "try { Error.prototype.toString = () => { for (;;); } } catch {}",
        "try { InternalError.prototype.toString = () => { for (;;); } } catch {}",
        "Error.prepareStackTrace = () => { for (;;); };",
        "Object.defineProperty(Object.prototype, 'stack', {get() { for (;;); }});",
        "Object.prototype.toJSON = () => { for (;;); };",
    ],
)
def test_no_code_of_an_expression_runs_after_its_limit(
    limits: Callable[..., None], monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    monkeypatch.setattr(process, "WALL_GRACE_S", 10.0)  # or on a busy machine the parent ends it
    limits(time_ms=100)
    resolve_token("${1 + 1}", SCOPE)
    before = pool.current().pids()
    with pytest.raises(ExpressionError) as caught:
        resolve_token(f"${{{trap} for (;;);}}", SCOPE)
    assert caught.value.kind == "timeout"
    assert resolve_token("${1 + 1}", SCOPE) == "2"
    assert pool.current().pids() == before  # stopped by the engine: the kernel would have ended the process


def test_an_expression_out_of_memory_leaves_the_evaluator_as_it_was(limits: Callable[..., None]) -> None:
    limits()
    resolve_token("${1 + 1}", SCOPE)
    before = pool.current().pids()
    for bomb in ("let a = []; for (;;) a.push(new Array(1e5).fill(1))", "'a'.repeat(2 ** 29)"):
        with pytest.raises(ExpressionError):
            resolve_token(f"${{{bomb}}}", SCOPE)
    assert resolve_token("${1 + 1}", SCOPE) == "2"
    assert pool.current().pids() == before
