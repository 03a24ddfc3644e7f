"""The protocol as built holds in every reachable state, and falls without any one of its rules."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.model.bars import Barred
from tests.model.catalogue import FALL, HOLD
from tests.model.checker import REACHES_AN_END, Action, Rule, System, check
from tests.model.pairs import Reunited
from tests.model.parking import Held
from tests.model.protocol import WORLD, AsBuilt
from tests.model.records import CANCELLED, CANCELLING, RUNNING, WAITING
from tests.model.trees import OneByOne, WakesAtTheEnd
from tests.model.undoing import Undoable

ROOT = Path(__file__).resolve().parent.parent.parent
# Fewer states than these, and an action of the model never happens any more.
LEAST_STATES = {"one-run": 12_000, "two-runs": 33_000, "two-runs-retried": 37_000, "waits-for-a-child": 5}
LONG = {"two-runs-retried", "two-bars", "undo", "undo-of-two-bars"}  # with --all
READERS = {"within", "due", "expired", "hold"}
TIMELESS = {"reschedule", "park", "resume"}  # a due time may come at any moment there, whatever it was
BESIDE = {"event", "delivery", "scheduled"}  # they move no run themselves


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in HOLD]
)
def test_the_protocol_as_built_holds(name: str) -> None:
    verdict = check(HOLD[name]())
    assert verdict.fallen == "", f"{name}, in {verdict.states:,} states: {verdict}"
    assert verdict.states >= LEAST_STATES.get(name, 10), f"{name} {verdict}"


@pytest.mark.parametrize("name", FALL)
def test_a_variant_falls(name: str) -> None:
    fall = FALL[name]
    verdict = check(fall.make(), only=fall.rule)
    assert verdict.fallen == fall.rule, f"{name} {verdict}"
    assert len(verdict.trace) <= fall.within, f"{name}: {verdict}"


def test_every_rule_falls_for_some_variant() -> None:
    rules = {name for make in HOLD.values() for name, _ in make().rules} | {REACHES_AN_END}
    assert {fall.rule for fall in FALL.values()} == rules


def test_a_trace_can_be_read_with_nothing_installed() -> None:
    command = [sys.executable, "-S", "-m", "tests.model", "-v", "waiting-is-always-idle"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "I1b falls after 7 actions:",
        "  1. client        invoke",
        "  2. worker of 1   start          run 0  step 0, attempt 1, fence 1",
        "  3. time          expire         run 0",
        "  4. housekeeping  reap           run 0  fence 1 is unsettled",
        "  5. cancel 1      cancel                moved: 0; in flight: none",
        "  6. cancel 1      acknowledge",
        "  7. worker of 1   effect         run 0  key 0:0",
    ]


# -- the checker itself ----------------------------------------------------------------------------------


class Counter:
    """Counts by ones or by twos; must not become 5, and should come to 6."""

    rules: Sequence[tuple[str, Rule[int]]] = (("not five", lambda before, action, after: after != 5),)
    unhelpful = frozenset({"one"})

    def initial(self) -> int:
        return 0

    def has_ended(self, state: int) -> bool:
        return state == 6

    def actions(self, state: int) -> Iterator[tuple[Action, int]]:
        if state < 6:
            yield Action("one", "counter"), state + 1
            yield Action("two", "counter"), state + 2


def test_the_checker_finds_the_shortest_way() -> None:
    verdict = check(Counter())
    assert (verdict.fallen, sorted(action.name for action in verdict.trace)) == (
        "not five",
        ["one", "two", "two"],
    )


def test_the_checker_finds_the_nearest_state_without_a_way_to_an_end() -> None:
    verdict = check(Counter(), only=REACHES_AN_END)
    assert (verdict.fallen, [action.name for action in verdict.trace]) == ("I2", ["one"])
    assert verdict.states == 8


# -- the model and the code ------------------------------------------------------------------------------


def _tree(name: str) -> ast.Module:
    return ast.parse((ROOT / "automations" / name).read_text())


def _functions(node: ast.AST) -> set[str]:
    return {found.name for found in ast.walk(node) if isinstance(found, ast.FunctionDef)}


def _class(name: str) -> ast.ClassDef:
    nodes = _tree("models/live_run.py").body
    return next(node for node in nodes if isinstance(node, ast.ClassDef) and node.name == name)


def _places() -> set[str]:
    """What the test points are in: the `start` of "start.moved"."""
    nodes = _tree("testpoints.py").body
    names = next(
        node.value
        for node in nodes
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "NAMES"
    )
    return {name.partition(".")[0] for name in ast.literal_eval(names)}


def _modelled() -> set[str]:
    """The names of all actions that happen in the model."""
    undoable = Undoable(scopes=((0,),), steps=1, tries=1)
    return (
        _actions(AsBuilt(tries=1))
        | _actions(Barred(scopes=((0,),), steps=1, tries=1))
        | _actions(Held(scopes=((0,),), steps=1, tries=1))
        | _actions(undoable)
        | _actions(OneByOne())
        | _actions(WakesAtTheEnd())
        | _actions(Reunited())
    )


def _actions(system: System[Any]) -> set[str]:
    names: set[str] = set()
    seen = {system.initial()}
    left = list(seen)
    while left:
        for action, after in system.actions(left.pop()):
            names.add(action.name)
            if after not in seen:
                seen.add(after)
                left.append(after)
    return names


def test_every_action_of_the_model_is_a_transition_of_the_code() -> None:
    modules = (
        "models/live_run.py",
        "models/live_run_bars.py",
        "models/live_run_trees.py",
        "models/live_run_undo.py",
        "execution/late.py",
        "execution/work.py",
        "machine.py",
        "invocation/storing.py",
        "cancellation/__init__.py",
        "cancellation/receipt.py",
        "publication/disabling.py",
        "undo.py",
    )
    functions = {name for module in modules for name in _functions(_tree(module))}
    assert _modelled() - WORLD - functions == {"effect", "bar", "child"}  # which are places with test points
    assert _modelled() & WORLD == WORLD


def test_every_transition_of_the_code_is_an_action_of_the_model() -> None:
    door = {name for name in _functions(_class("LiveRunQuerySet")) if not name.startswith("_")}
    assert door - READERS == door & _modelled()
    assert _places() - {"gate"} - TIMELESS - BESIDE == _places() & _modelled()


def test_a_run_has_the_states_of_the_model() -> None:
    values = [node.value for node in _class("LiveState").body if isinstance(node, ast.Assign)]
    assert [ast.literal_eval(value) for value in values] == [WAITING, RUNNING, CANCELLING, CANCELLED]
