"""By what little two tokens differ, and what somebody may have meant by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automations.nearness import MOST_VARIANTS, difference, essence, may_be_near, prefixes_of, variants

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("own", "asked", "ways"),
    [
        ("user_123", "user_123", ()),
        ("onboarding-user_123", "user_123", ("prefix",)),
        ("user_123", "onboarding-user_123", ("prefix",)),
        ("user_123-extra", "user_123", ("suffix",)),
        ("User_123", "user_123", ("case",)),
        (" user_123", "user_123", ("whitespace",)),
        ("user 123", "user123", ("whitespace",)),
        ("User_123 ", "user_123", ("whitespace", "case")),
        ("caf\u00e9", "cafe\u0301", ("form",)),
        ("Onboarding-USER_123", "user_123", ("prefix", "case")),
        ("user_123", "user_1234", ()),  # another user
        ("user_123", "user_12", ()),
        ("superuser_123", "user_123", ()),
        ("onboarding-1", "1", ()),  # "1" ends half of all tokens
        ("order-7", "user_123", ()),
        ("straße", "STRASSE", ("case",)),
    ],
)
def test_a_difference_is_named_by_the_fewest_ways(own: str, asked: str, ways: tuple[str, ...]) -> None:
    assert difference(own, asked) == ways
    assert difference(asked, own) == ways


@given(st.text(alphabet="ab AB-_é", max_size=12), st.text(alphabet="ab AB-_é", max_size=12))
def test_what_is_near_is_never_passed_over(own: str, asked: str) -> None:
    if difference(own, asked) or own == asked:
        assert may_be_near(essence(own), essence(asked))


@given(st.text(alphabet="ab AB-_é", min_size=1, max_size=200))
def test_variants_are_few_distinct_and_begin_with_the_token(token: str) -> None:
    found = variants(token, prefixes=[f"p{n}-" for n in range(100)])
    assert found[0] == token
    assert len(found) == len(set(found)) <= MOST_VARIANTS


@pytest.mark.parametrize(
    ("token", "meant"),
    [
        ("USER_1", "user_1"),
        ("user_1", "USER_1"),
        (" user_1", "user_1"),
        ("user_1", "user_1 "),
        ("user  1", "user 1"),
        ("user 1", "user1"),
        ("onboarding-user_1", "user_1"),
        ("user_1-extra", "user_1"),
        ("user_1", "onboarding-user_1"),
    ],
)
def test_what_was_meant_is_among_the_variants(token: str, meant: str) -> None:
    assert meant in variants(token, prefixes=prefixes_of(["onboarding-user_7", "order-3"]))


def test_prefixes_end_with_a_separator() -> None:
    assert prefixes_of(["onboarding-user_7", "onboarding-user_8", "plain", "a:b:c:d"]) == [
        "onboarding-", "onboarding-user_", "a:", "a:b:",
    ]  # fmt: skip
