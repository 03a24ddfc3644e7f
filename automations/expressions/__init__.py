"""Turns what a user may write in a setting into a value, a token or a condition: pure Python, no Django.

A setting is a literal, `refs.<path>` (the whole string), `${javascript}` (the whole string), or text with
{{path}}. JavaScript runs in evaluator processes, never in this one.
"""

from __future__ import annotations

from automations.expressions.compile import compile_expression
from automations.expressions.errors import ExpressionError, FieldWarning, Kind
from automations.expressions.explanation import Advice, Explanation, explain, misread
from automations.expressions.limits import MAX_DEPTH, MAX_DOCUMENT, finite, is_too_deep, size_of
from automations.expressions.pool import configure
from automations.expressions.resolution import (
    as_text,
    check_condition,
    resolve_field,
    resolve_token,
    resolve_tree,
)
from automations.expressions.scope import JSON, MISSING, Scope, dig
from automations.expressions.syntax import syntax_fault

__all__ = [
    "JSON",
    "MAX_DEPTH",
    "MAX_DOCUMENT",
    "MISSING",
    "Advice",
    "Explanation",
    "ExpressionError",
    "FieldWarning",
    "Kind",
    "Scope",
    "as_text",
    "check_condition",
    "compile_expression",
    "configure",
    "dig",
    "explain",
    "finite",
    "is_too_deep",
    "misread",
    "resolve_field",
    "resolve_token",
    "resolve_tree",
    "size_of",
    "syntax_fault",
]
