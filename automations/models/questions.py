"""What steps ask of the database while they are performed: many questions, a few statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from automations.models.event import Event, EventKind
from automations.models.message_template import MessageTemplate
from automations.models.provider import Provider, read_signing_secrets
from automations.models.recipient import RecipientList, profiles_of


class About(StrEnum):
    """What a question is about, and what its name names."""

    TEMPLATE = "template"  # a key: MessageTemplate or None
    PROFILE = "profile"  # a recipient's id: the stored profile, {} for an unknown recipient
    LIST = "list"  # a key: the ids of its members or None
    PROVIDER = "provider"  # a key: the sealed URL of an Apprise service or None
    SIGNING = "signing"  # nothing: the sealed secrets that webhooks are signed with
    DELIVERED = "delivered"  # "<primary key of a run>/<step>": the members that earlier attempts delivered to


class Question(NamedTuple):
    """One thing to look up in an environment (primary key)."""

    about: About
    environment_id: int
    name: str = ""


Answers = Mapping[Question, Any]


def answers(questions: Iterable[Question]) -> Answers:
    """The answer to each; one statement for all that are about the same in one environment."""
    alike: dict[tuple[About, int], set[str]] = defaultdict(set)
    for question in questions:
        alike[question.about, question.environment_id].add(question.name)
    return {
        Question(about, environment_id, name): answer
        for (about, environment_id), names in alike.items()
        for name, answer in _ASKED[about](environment_id, sorted(names)).items()
    }


def _templates(environment_id: int, keys: Sequence[str]) -> dict[str, Any]:
    found = {
        row.key: row
        for row in MessageTemplate.objects.filter(environment_id=environment_id, key__in=keys)
    }  # fmt: skip
    return {key: found.get(key) for key in keys}


def _profiles(environment_id: int, keys: Sequence[str]) -> dict[str, Any]:
    found = profiles_of(keys, environment_id=environment_id)
    return {key: found.get(key, {}) for key in keys}


def _lists(environment_id: int, keys: Sequence[str]) -> dict[str, Any]:
    rows = RecipientList.objects.filter(environment_id=environment_id, key__in=keys)
    found = dict(rows.values_list("key", "members"))
    return {key: found.get(key) for key in keys}


def _providers(environment_id: int, keys: Sequence[str]) -> dict[str, Any]:
    rows = Provider.objects.filter(environment_id=environment_id, kind=Provider.Kind.APPRISE, key__in=keys)
    found = dict(rows.values_list("key", "sealed"))
    return {key: found.get(key) for key in keys}


def _signing(environment_id: int, _: Sequence[str]) -> dict[str, Any]:
    return {"": read_signing_secrets(environment_id)}


def _delivered(_: int, names: Sequence[str]) -> dict[str, Any]:
    """Read from the log: what the attempts before this one said when they failed."""
    steps = [name.split("/", 1) for name in names]
    failed = Event.objects.filter(
        kind=EventKind.STEP_RETRIED,
        run_id__in=[int(run) for run, _ in steps],
        step__in=[step for _, step in steps],
    )
    found: dict[str, set[str]] = {name: set() for name in names}
    for run_id, step, error in failed.values_list("run_id", "step", "data__error"):
        if (name := f"{run_id}/{step}") in found and isinstance(error, dict):
            found[name].update(error.get("delivered", ()))
    return found


_ASKED = {
    About.TEMPLATE: _templates, About.PROFILE: _profiles, About.LIST: _lists, About.PROVIDER: _providers,
    About.SIGNING: _signing, About.DELIVERED: _delivered,
}  # fmt: skip
