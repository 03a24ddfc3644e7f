"""Does with whichever trycourier is installed what a backend does, and prints as JSON what came of it.

Started as `drive_courier.py <address> <key> <token> <template>`, with the package's folder in PYTHONPATH.
"""

from __future__ import annotations

import importlib
import json
import sys
import urllib.request
from collections.abc import Callable
from typing import Any

DELAY = {"action": "delay", "duration": "PT1H"}


class Requests:
    """Up to 5: plain dictionaries over requests; the key as a token, or as Basic authorization."""

    def __init__(self, url: str, key: str) -> None:
        self._courier = importlib.import_module("trycourier").Courier
        self._automations = self._courier(base_url=url, username="courier", password=key).automations
        self._token = self._courier(base_url=url, auth_token=key).automations

    def ad_hoc(self, automation: Any, **_: Any) -> str:
        return str(self._automations.invoke(automation=automation, recipient="u1", data={"a": 1})["runId"])

    def template(self, template: str, **data: Any) -> str:
        return str(self._token.invoke_template(template_id=template, data=data, recipient="u1")["runId"])


class Fern:
    """6: typed steps, which send no action of their own."""

    def __init__(self, url: str, key: str) -> None:
        self._package = importlib.import_module("courier")
        client = importlib.import_module("courier.client").Courier
        self._automations = client(base_url=url, authorization_token=key).automations

    def ad_hoc(self, automation: Any, *, once: str | None = None) -> str:
        package = self._package
        kinds = {"delay": package.AutomationDelayStep, "cancel": package.AutomationCancelStep}
        request: Any = {"automation": automation, "recipient": "u1", "data": {"a": 1}}
        steps = automation["steps"]
        if all(step["action"] in kinds for step in steps):
            bare = [{name: step[name] for name in step if name != "action"} for step in steps]
            typed = [kinds[step["action"]](**said) for step, said in zip(steps, bare, strict=True)]
            automation = package.Automation(**{**automation, "steps": typed})
            request = package.AutomationAdHocInvokeParams(**{**request, "automation": automation})
        expiry = "1 Day" if once else None
        answer = self._automations.invoke_ad_hoc_automation(
            request=request, idempotency_key=once, idempotency_expiry=expiry
        )
        return str(answer.run_id)

    def template(self, template: str, **data: Any) -> str:
        params = self._package.AutomationInvokeParams(recipient="u1", data=data)
        return str(self._automations.invoke_automation_template(template, request=params).run_id)


class Stainless:
    """From 7 on."""

    def __init__(self, url: str, key: str) -> None:
        client = importlib.import_module("courier").Courier(base_url=url, api_key=key)
        self._invoke = client.automations.invoke

    def ad_hoc(self, automation: Any, *, once: str | None = None) -> str:
        headers = {"Idempotency-Key": once} if once else {}
        answer = self._invoke.invoke_ad_hoc(
            automation=automation, recipient="u1", data={"a": 1}, extra_headers=headers
        )
        return str(answer.run_id)

    def template(self, template: str, **data: Any) -> str:
        return str(self._invoke.invoke_by_template(template, recipient=None, data=data).run_id)


def client_class() -> Any:
    """The one for the generation that is there."""
    try:
        importlib.import_module("trycourier")
    except ModuleNotFoundError:
        package = importlib.import_module("courier")
        return Fern if hasattr(package, "AutomationAdHocInvokeParams") else Stainless
    return Requests


def failure(call: Callable[[], object]) -> list[str]:
    """Class and text of what the package raises."""
    try:
        call()
    except Exception as error:
        return [type(error).__name__, str(getattr(error, "message", "")) + str(getattr(error, "body", ""))]
    return ["nothing", ""]


def main() -> None:
    url, key, token, template = sys.argv[1:]

    def status(run: str) -> str:
        address = urllib.request.Request(
            f"{url}/api/v1/runs/{run}", headers={"Authorization": f"Bearer {key}"}
        )
        return str(json.load(urllib.request.urlopen(address))["status"])

    client = client_class()(url, key)
    waiting = {"cancelation_token": token, "steps": [DELAY]}
    first = client.ad_hoc(waiting)
    before = status(first)
    client.ad_hoc({"steps": [{"action": "cancel", "cancelation_token": token}]})
    after = status(first)
    later = client.ad_hoc(waiting)
    told = {
        "first": first,
        "statuses": [before, after, status(later)],
        "template": client.template(template, user_id=token),
        "once": [client.ad_hoc(waiting, once=token) for _ in range(2)],
        "wrong_key": failure(lambda: client_class()(url, "wrong").ad_hoc(waiting)),
        "no_template": failure(lambda: client.template("nobody")),
        "bad_body": failure(lambda: client.ad_hoc({"steps": [{"action": "wat"}]})),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
