"""What each method of an endpoint takes and answers, declared where it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from automations.api.schemas import Schema, ref

Method = TypeVar("Method", bound=Callable[..., Any])
Shape = Schema | str | None  # a schema, the name of a component, or nothing at all


@dataclass(frozen=True, kw_only=True)
class Description:
    """`refuses` are statuses of refusals beside those that follow from the address and the body."""

    name: str
    answers: Mapping[int, Schema | None]
    query: Mapping[str, Schema] = field(default_factory=dict)
    body: Schema | None = None
    is_body_optional: bool = False
    is_repeatable: bool = False
    refuses: Sequence[int] = ()


_DESCRIPTIONS: dict[Callable[..., Any], Description] = {}


def described(
    name: str,
    answers: Mapping[int, Shape],
    *,
    query: Mapping[str, Schema] | None = None,
    body: Shape = None,
    optional: bool = False,
    repeatable: bool = False,
    refuses: Sequence[int] = (),
) -> Callable[[Method], Method]:
    """Declares a method: its name for programs, its answers by status, its parameters behind the question mark and its
    body, which may be `optional`. `repeatable`: it honours an Idempotency-Key."""

    def note(method: Method) -> Method:
        _DESCRIPTIONS[method] = Description(
            name=name,
            answers={status: _schema(shape) for status, shape in answers.items()},
            query=query or {},
            body=_schema(body),
            is_body_optional=optional,
            is_repeatable=repeatable,
            refuses=refuses,
        )
        return method

    return note


def description_of(method: Callable[..., Any]) -> Description:
    """What was declared of a method; KeyError where nothing was."""
    return _DESCRIPTIONS[getattr(method, "__func__", method)]


def _schema(shape: Shape) -> Schema | None:
    return ref(shape) if isinstance(shape, str) else shape
