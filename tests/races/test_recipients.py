"""What is said of the same recipients at the same moment adds up, and an invoke goes by what is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from automations.directory import recipients
from automations.execution import Accepted, accept
from automations.invocation import InvokeRequest
from automations.invocation import Recipient as Said
from automations.models import Recipient, Run
from tests.letters import knows
from tests.races.held import held
from tests.races.together import rounds, together
from tests.scenes import DELAY, production

pytestmark = pytest.mark.django_db
KEYS = [f"u{n}" for n in range(6)]


@pytest.fixture(autouse=True)
def _no_recipients(db: None) -> Iterator[None]:
    yield
    Recipient.objects.all().delete()


def invoke(said: list[Said], **given: Any) -> Accepted:
    definition = {"steps": [DELAY], **given}
    return accept(
        InvokeRequest(
            environment=production(), actor="key/test", source="s", dialect="native", definition=definition,
            recipients=said,
        )
    )  # fmt: skip


@rounds(8)
def test_nothing_that_is_said_at_the_same_moment_is_lost() -> None:
    Recipient.objects.all().delete()
    knows(KEYS[0], old=True)

    def say(number: int) -> Callable[[], object]:
        turned = KEYS[number:] + KEYS[:number]  # each names them in another order
        said = [Said(id=key, profile={f"n{number}": number}) for key in turned]
        if number % 2:
            return lambda: invoke(said)
        return lambda: recipients.merge(environment=production(), key=KEYS[number], said=said[0].profile)

    together([say(number) for number in range(6)])
    stored = dict(Recipient.objects.values_list("key", "profile"))
    for key in KEYS:
        assert {"n1", "n3", "n5"} <= set(stored[key])
    assert stored[KEYS[0]]["old"] is True
    assert [stored[KEYS[number]][f"n{number}"] for number in (0, 2, 4)] == [0, 2, 4]


def test_an_invoke_goes_by_what_was_stored_while_it_was_prepared() -> None:
    token = "{{profile.account}}-{{refs.recipient}}"
    with held(
        lambda: invoke([Said(id="ada")], cancellation_token=token, on_unresolved_token="run_without_token"),
        at="invoke.prepared",
    ) as invoking:
        knows("ada", account="7")
    invoking.result()
    run = Run.objects.get()
    assert (run.profile, run.token) == ({"account": "7"}, "7-ada")
