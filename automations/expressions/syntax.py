"""Says whether JavaScript can be read at all, without running it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from automations.expressions.compile import Script, compile_expression
from automations.expressions.errors import ExpressionError
from automations.expressions.evaluation import Job, evaluate
from automations.expressions.limits import MAX_SOURCE
from automations.expressions.scope import Scope

_NOTHING = Scope(data={}, profile={}, now=datetime(2026, 1, 1, tzinfo=UTC), seed="")


def syntax_fault(source: str, *, is_condition: bool = False) -> str:
    """What is wrong with the spelling of an expression, or of a condition (bare JavaScript), as a sentence; "" where
    nothing is, and for what is no JavaScript. Raises ExpressionError where no evaluator was free: try again."""
    text = source.strip() if is_condition else source
    if text.startswith("${") and text.endswith("}"):
        is_script = is_condition or isinstance(compile_expression(source), Script)
        return _fault(text[2:-1]) if is_script else ""
    return _fault(text) if is_condition and text else ""


@lru_cache(maxsize=4096)
def _fault(javascript: str) -> str:
    """An evaluator reads it, inside a block that is never entered, and inside a function that is never called: what
    would close the one and open another does not fit into the other, which alone would let a `return` pass."""
    if len(javascript) > MAX_SOURCE:
        return ""
    read = (f"if (0) {{\n{javascript}\n}}", f"0 && (() => {{\n{javascript}\n}})")
    try:
        evaluate([Job(code, "condition", "", javascript) for code in read], _NOTHING, owner="syntax")
    except ExpressionError as error:
        if error.retryable:
            raise
        return error.message if error.kind == "syntax" else ""
    return ""
