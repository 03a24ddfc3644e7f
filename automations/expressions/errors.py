"""Says why an expression gave nothing: the one exception of this package, and the warnings beside a value."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

Kind = Literal[
    "unresolved",  # identifies nobody: missing, null, blank, "undefined", NaN
    "unsupported_type",  # true, a list, an object, a function: never made into text
    "too_long",
    "invalid_text",  # NUL, another control character, a lone surrogate: not storable
    "runtime",
    "syntax",
    "timeout",  # its CPU limit was used up: trying again does not help
    "memory",
    "stack",
    "crashed",  # the evaluator died under it
    "busy",  # no evaluator became free in time
    "starved",  # killed on a busy machine before it had used its CPU limit
]
STARVED: Final[frozenset[Kind]] = frozenset({"busy", "starved"})
RETRYABLE: Final[frozenset[Kind]] = STARVED | {"crashed"}

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(text: str, *, longest: int = 300) -> str:
    """Give text that can be logged, stored and sent: no control character, no lone surrogate, not long."""
    return _UNPRINTABLE.sub("\ufffd", text[:longest])


class ExpressionError(Exception):
    """An expression has no value that may be used.

    `kind` is one of the words above, `message` a sentence for people, `source` the expression as written,
    `paths` what it read and did not find (`data.user_id`). `retryable` says that the machine failed and not
    the expression: the same call may succeed a little later.
    """

    def __init__(self, kind: Kind, message: str, *, source: str = "", paths: tuple[str, ...] = ()) -> None:
        """Keep the parts; message and paths may hold anything an expression came up with."""
        self.kind: Final = kind
        self.paths: Final = tuple(printable(path) for path in paths)
        shown = printable(message)
        self.message: Final = f"{shown} ({', '.join(self.paths)})" if self.paths else shown
        self.source: Final = source
        super().__init__(self.message)

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed a little later."""
        return self.kind in RETRYABLE

    @property
    def starved(self) -> bool:
        """Whether the machine had no time for it, which is no fault of the expression's; one that crashes may be."""
        return self.kind in STARVED


class FieldWarning(NamedTuple):
    """Something a field went on without: for the log of the run."""

    field: str
    """Where in the tree, `recipient` or `data.items.0`; empty for a single field."""
    paths: tuple[str, ...]
    """What was read and not found."""
    message: str
