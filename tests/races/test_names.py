"""Two who give a name at the same moment, the one as a key and the other as an alias: one of them has it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from automations import publication
from automations.models import Automation, Environment, Refusal
from tests.races.together import rounds, together

pytestmark = pytest.mark.django_db


@rounds(6)
def test_of_a_key_and_the_same_alias_one_is_given() -> None:
    Automation.objects.all().delete()
    environment = Environment.objects.get(key="production")
    publication.create(environment=environment, key="there", name="a", definition={}, by="me")

    def tried(give: Callable[[], Automation]) -> Callable[[], str]:
        def give_or_say() -> str:
            try:
                return give().key
            except Refusal as refusal:
                return refusal.problems[0].pointer

        return give_or_say

    said = together(
        [
            tried(
                lambda: publication.create(
                    environment=environment, key="flow", name="a", definition={}, by="me"
                )
            ),
            tried(
                lambda: publication.create(
                    environment=environment, key="other", alias="flow", name="a", definition={}, by="me"
                )
            ),
            tried(
                lambda: publication.save_draft(
                    environment=environment, key="there", definition={}, settings={"alias": "flow"}, by="me"
                )
            ),
        ]
    )
    has = Automation.objects.named("flow").get()  # and no second
    assert {"/key", "/alias", has.key} >= set(said)
    assert said.count(has.key) == 1
