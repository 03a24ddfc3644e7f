"""Signatures as the Standard Webhooks specification has them."""

from __future__ import annotations

import base64

import pytest

from automations.channels import signing
from tests.notices.scene import SECRET

pytestmark = pytest.mark.pure
MESSAGE = "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_the_published_vector_is_signed_as_published() -> None:
    body = b'{"test": 2432232314}'
    assert signing.headers(message=MESSAGE, seconds=1614265330, body=body, secrets=[SECRET]) == {
        "webhook-id": MESSAGE,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_several_secrets_sign_side_by_side_the_newest_first() -> None:
    new = signing.new_secret()
    both, first, second = (
        signing.headers(message="m", seconds=1, body=b"{}", secrets=secrets)["webhook-signature"]
        for secrets in ([new, SECRET], [new], [SECRET])
    )
    assert both == f"{first} {second}"
    assert first != second


def test_a_secret_is_32_random_bytes_behind_its_prefix() -> None:
    one, other = signing.new_secret(), signing.new_secret()
    assert one.startswith("whsec_")
    assert len(base64.b64decode(one.removeprefix("whsec_"), validate=True)) == 32
    assert one != other
