"""Writes the code that invokes an automation and calls it off: for our own API, and with the vendors' packages."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

APIS: Final[Mapping[str, str]] = {
    "native": "Countermand", "courier": "Courier’s SDK", "knock": "Knock’s SDK", "suprsend": "SuprSend’s SDK",
}  # fmt: skip
NO_RECIPIENT: Final = "user_123"
_KEY: Final = "COUNTERMAND_KEY"


@dataclass(frozen=True, kw_only=True)
class Call:
    """An invoke to be written down: of which automation, at which host, with what, and the token it resolves to."""

    host: str  # without a slash at the end
    automation: str
    data: Mapping[str, Any]
    profile: Mapping[str, Any]
    recipient: str | None = None
    token: str | None = None


@dataclass(frozen=True, kw_only=True)
class Code:
    """A program that can be pasted; `id` is good for an element of a page."""

    id: str
    language: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Block:
    """What a few programs do, each in its language."""

    title: str
    note: str
    codes: tuple[Code, ...]


def snippets(api: str, call: Call) -> list[Block]:
    """How to invoke, and how to call off."""
    write = {"native": _native, "courier": _courier, "knock": _knock, "suprsend": _suprsend}[api]
    return [
        Block(title=title, note=note, codes=tuple(
            Code(id=f"{verb}-{language.split()[0].lower()}", language=language, text=text) for language, text in texts
        ))
        for verb, title, note, texts in write(call)
    ]  # fmt: skip


_Written = list[tuple[str, str, str, list[tuple[str, str]]]]


def _native(call: Call) -> _Written:
    body: dict[str, Any] = {"automation": call.automation, "data": dict(call.data)}
    body |= {"recipient": call.recipient} if call.recipient else {}
    body |= {"profile": dict(call.profile)} if call.profile else {}
    cancel = {"filter": _by_token(call), "reason": "no longer needed"}
    note = "In force when it answers; the receipt names every step that had already started."
    return [
        ("invoke", "Invoke", "", _over_http(call, "/api/v1/invocations", body)),
        ("cancel", "Call off", note, _over_http(call, "/api/v1/cancellations", cancel)),
    ]


def _by_token(call: Call) -> dict[str, Any]:
    return (
        {"token": call.token} if call.token else {"automation": call.automation, "recipients": [_whom(call)]}
    )


def _over_http(call: Call, path: str, body: dict[str, Any]) -> list[tuple[str, str]]:
    python = f"""import os
import httpx

answer = httpx.post(
    {_py(call.host + path)},
    headers={{"Authorization": f"Bearer {{os.environ['{_KEY}']}}"}},
    json={_py(body)},
)
print(answer.raise_for_status().json())
"""
    node = f"""fetch({_js(call.host + path)}, {{
  method: "POST",
  headers: {{ Authorization: `Bearer ${{process.env.{_KEY}}}`, "Content-Type": "application/json" }},
  body: JSON.stringify({_js(body)}),
}}).then((answer) => answer.json()).then(console.log);
"""
    return [("curl", _curl(call, path, body)), ("Python", python), ("Node", node)]


def _courier(call: Call) -> _Written:
    invoke = {"recipient": call.recipient, "data": dict(call.data)}
    invoke |= {"profile": dict(call.profile)} if call.profile else {}
    cancel = {"cancelation_token": call.token or "the token of the run"}
    client = f"""import os
from courier import Courier

client = Courier(base_url={_py(call.host)}, api_key=os.environ["{_KEY}"])
"""
    node = f"""const {{ Courier }} = require("@trycourier/courier");
const client = new Courier({{ baseURL: {_js(call.host)}, apiKey: process.env.{_KEY} }});

"""
    invoked = f"""run = client.automations.invoke.invoke_by_template({_py(call.automation)}, {_arguments(invoke)})
print(run.run_id)
"""
    by_template = f"""client.automations.invoke
  .invokeByTemplate({_js(call.automation)}, {_js(invoke)})
  .then(({{ runId }}) => console.log(runId));
"""
    steps = {"automation": {"steps": [{"action": "cancel", **cancel}]}}
    by_step = f"client.automations.invoke.invokeAdHoc({_js(steps)});  // the package has no other way\n"
    return [
        ("invoke", "Invoke", "", [
            ("curl", _curl(call, f"/automations/{call.automation}/invoke", invoke)),
            ("Python (trycourier)", client + invoked), ("Node (@trycourier/courier)", node + by_template),
        ]),
        ("cancel", "Call off", "Every unfinished run that has the token.", [
            ("curl", _curl(call, "/journeys/cancel", cancel)),
            ("Python (trycourier)", f"{client}client.journeys.cancel({_arguments(cancel)})\n"),
            ("Node (@trycourier/courier)", node + by_step),
        ]),
    ]  # fmt: skip


def _knock(call: Call) -> _Written:
    trigger = {
        "recipients": [_whom(call)],
        "data": dict(call.data),
        "cancellation_key": call.token or "my-key",
    }
    cancel = {"cancellation_key": trigger["cancellation_key"]}
    client = f"""import os
from knockapi import Knock

client = Knock(base_url={_py(call.host)}, api_key=os.environ["{_KEY}"])
"""
    node = f"""const {{ default: Knock }} = require("@knocklabs/node");
const client = new Knock({{ baseURL: {_js(call.host)}, apiKey: process.env.{_KEY} }});

"""
    blocks: _Written = []
    for verb, title, word, body, note in (
        ("invoke", "Invoke", "trigger", trigger, "One run for each recipient."),
        ("cancel", "Call off", "cancel", cancel, "The runs of this workflow that were given the key."),
    ):
        called = f"client.workflows.{word}({_py(call.automation)}, {_arguments(body)})\n"
        blocks.append((verb, title, note, [
            ("curl", _curl(call, f"/v1/workflows/{call.automation}/{word}", body)),
            ("Python (knockapi)", client + called),
            ("Node (@knocklabs/node)", f"{node}client.workflows.{word}({_js(call.automation)}, {_js(body)});\n"),
        ]))  # fmt: skip
    return blocks


def _suprsend(call: Call) -> _Written:
    trigger = {"workflow": call.automation, "recipients": [_whom(call)], "data": dict(call.data)}
    given = {"cancellation_key": call.token or "my-key"}
    python = f"""import os
from suprsend import Suprsend, WorkflowTriggerRequest

client = Suprsend(os.environ["SUPRSEND_KEY"], os.environ["SUPRSEND_SECRET"], base_url={_py(call.host)})
request = WorkflowTriggerRequest({_py(trigger)}, {_arguments(given)})
print(client.workflows.trigger(request))
"""
    node = f"""const {{ Suprsend, WorkflowTriggerRequest }} = require("@suprsend/node-sdk");
const {{ SUPRSEND_KEY, SUPRSEND_SECRET }} = process.env;
const client = new Suprsend(SUPRSEND_KEY, SUPRSEND_SECRET, {{ base_url: {_js(call.host)} }});

const request = new WorkflowTriggerRequest({_js(trigger)}, {_js(given)});
client.workflows.trigger(request).then(console.log);
"""
    note = "A workspace key and secret are printed by: manage.py create_api_key NAME --suprsend"
    return [
        ("invoke", "Invoke", note, [
            ("curl", _curl(call, "/trigger/", trigger | given)),
            ("Python (suprsend-py-sdk)", python), ("Node (@suprsend/node-sdk)", node),
        ]),
        ("cancel", "Call off", "SuprSend’s packages have no method for it.", [
            ("curl", _curl(call, "/v1/workflow_run/cancel/", given)),
        ]),
    ]  # fmt: skip


def _whom(call: Call) -> str:
    return call.recipient or NO_RECIPIENT


def _curl(call: Call, path: str, body: Mapping[str, Any]) -> str:
    return (
        f'curl --fail -sS {shlex.quote(call.host + path)} \\\n  -H "Authorization: Bearer ${_KEY}" \\\n'
        f"  -H 'Content-Type: application/json' \\\n  -d {shlex.quote(json.dumps(body, ensure_ascii=False))}\n"
    )


def _py(value: Any) -> str:
    """As Python writes it, text in double quotes where that does."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_py(name)}: {_py(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_py, value)) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _arguments(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_py(value)}" for name, value in given.items())


def _js(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
