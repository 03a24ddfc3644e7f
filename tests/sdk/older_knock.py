"""Triggers a workflow through an older Knock package, whose folder leads the path, and cancels it in part."""

from __future__ import annotations

import importlib.metadata
import sys
from contextlib import suppress
from typing import Any

import knockapi


def main(version: str, url: str, key: str, workflow: str) -> None:
    """One run each for u1 and u2, and one for u3 under another key; u1 is called off."""
    installed = next(iter(importlib.metadata.distributions(name="knockapi", path=[sys.path[1]]))).version
    assert installed == version, installed
    package: Any = knockapi
    if version.startswith("1."):
        client = package.Knock(api_key=key, base_url=url)
        for names, label in ((["u1", "u2"], "ck"), (["u3"], "other")):
            client.workflows.trigger(key=workflow, recipients=names, data={"n": 1}, cancellation_key=label)
        client.workflows.cancel(key=workflow, cancellation_key="ck", recipients=["u1"])
        return
    client = package.Knock(key, host=url)
    if version.startswith("0.1."):
        client.notify(workflow, "a", ["u1", "u2"], data={"n": 1}, cancelation_key="ck")
        client.notify(workflow, "a", ["u3"], data={"n": 1}, cancelation_key="other")
        with suppress(ValueError):  # it reads JSON from the empty answer, after the cancel
            client.cancel_notify(workflow, "ck", recipients=["u1"])
        return
    client.workflows.trigger(
        workflow, actor="a", recipients=["u1", "u2"], data={"n": 1}, cancellation_key="ck"
    )
    client.notify(workflow, actor="a", recipients=["u3"], data={"n": 1}, cancellation_key="other")
    client.workflows.cancel(workflow, "ck", recipients=["u1"])


if __name__ == "__main__":
    main(*sys.argv[1:])
