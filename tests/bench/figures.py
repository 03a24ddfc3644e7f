"""Prints figures the same way everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least that share (0 to 1) of them do not exceed: the nearest rank."""
    ordered = sorted(values)
    return ordered[max(ceil(share * len(ordered)), 1) - 1]


def milliseconds(values: Sequence[float]) -> str:
    """p50, p99 and the largest of seconds, in milliseconds."""
    p50, p99 = percentile(values, 0.5) * 1000, percentile(values, 0.99) * 1000
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {max(values) * 1000:.2f} ms (n={len(values)})"


def line(name: str, figure: str) -> None:
    """One aligned line."""
    print(f"  {name:<58} {figure}", flush=True)
