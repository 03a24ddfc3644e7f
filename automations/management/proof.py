"""`manage.py up --check`: shows on the running product that nothing happens after a cancel."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx

from automations.management.trial import Trial, TrialError, running

SAMPLE = "onboarding-reminder"
DELAY_SECONDS = 3  # what every delay of the sample is shortened to, so that its next step is due soon
MARGIN_SECONDS = 1.0  # how long after that moment we still look
PATIENCE_SECONDS = 20.0


def prove(*, say: Callable[[str], None]) -> bool:
    """True where the promise held; every observation goes to `say`, a line each."""
    say("Starting Countermand on a throw-away database and a free port ...")
    try:
        with running() as trial:
            say(f"It serves {trial.url}")
            key = trial.key(name="check", scopes="read,invoke,cancel,write")
            headers = {"Authorization": f"Bearer {key}"}
            with httpx.Client(base_url=f"{trial.url}/api/v1", headers=headers, timeout=10) as http:
                faults = _Proof(http=http, say=say).faults()
            faults += _complaints(trial)
    except (TrialError, httpx.HTTPError) as error:
        faults = [str(error)]
    for fault in faults:
        say(f"WRONG: {fault}")
    say("The promise did not hold." if faults else "The promise holds: what was cancelled never went on.")
    return not faults


class _Proof:
    """One conversation with the server over HTTP, as a backend would have it."""

    def __init__(self, *, http: httpx.Client, say: Callable[[str], None]) -> None:
        self._http = http
        self._say = say

    def faults(self) -> list[str]:
        """What was not as promised; empty when all was."""
        definition = self._shortened(self._asked("GET", f"/automations/{SAMPLE}")["draft"]["definition"])
        sample = self._invoked("sample", {"automation": SAMPLE})
        stopped = self._invoked("cancelled", {"definition": definition})
        control = self._invoked("control", {"definition": definition})
        for run in (sample, stopped, control):
            self._awaited(run, "welcome", "completed", status="waiting")
        self._say("Each has sent its welcome and waits.")
        faults = [fault for run in (sample, stopped) for fault in self._cancelled(run)]
        acknowledged = time.monotonic()
        self._awaited(control, "reminder", "completed")
        self._say("The control, left alone, went on: its reminder was sent.")
        time.sleep(max(0.0, acknowledged + DELAY_SECONDS + MARGIN_SECONDS - time.monotonic()))
        self._say("The moment in which the next step of the cancelled one was due has passed.")
        return faults + [fault for run in (sample, stopped) for fault in self._went_on(run)]

    def _shortened(self, definition: dict[str, Any]) -> dict[str, Any]:
        steps = [
            step | {"duration": f"{DELAY_SECONDS} seconds"} if step["action"] == "delay" else step
            for step in definition["steps"]
        ]
        return definition | {"steps": steps}

    def _invoked(self, user: str, what: dict[str, Any]) -> dict[str, Any]:
        """The one run of a fresh invocation."""
        data = {"user_id": f"{user}-{uuid4().hex[:8]}"}
        run: dict[str, Any] = self._asked("POST", "/invocations", what | {"data": data})["runs"][0]
        self._say(f"Invoked {what.get('automation', 'it with short delays')}: {_named(run)}")
        return run

    def _awaited(self, run: dict[str, Any], step: str, wanted: str, *, status: str | None = None) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            seen = self._asked("GET", f"/runs/{run['id']}")
            is_there = {entry["id"]: entry["status"] for entry in seen["steps"]}[step] == wanted
            if is_there and status in (None, seen["status"]):
                return
            time.sleep(0.05)
        raise TrialError(f"step {step} of {_named(run)} did not become {wanted}: the run is {seen['status']}")

    def _cancelled(self, run: dict[str, Any]) -> list[str]:
        """Cancel by the run's token; what is wrong with the receipt."""
        token = run["cancellation_token"]
        receipt = self._asked("POST", "/cancellations", {"filter": {"token": token}, "reason": "up --check"})
        in_flight = len(receipt["in_flight"])
        self._say(f"Cancelled by token {token}: {receipt['cancelled']} run, {in_flight} steps in flight")
        if receipt["cancelled_run_ids"] == [run["id"]] and not in_flight:
            return []
        return [f"the receipt for {token} names {receipt['cancelled_run_ids']} and {receipt['in_flight']}"]

    def _went_on(self, run: dict[str, Any]) -> list[str]:
        """What of the run happened after its cancel."""
        seen = self._asked("GET", f"/runs/{run['id']}")
        sends = [step for step in seen["steps"] if step["action"] == "send"]
        told = ", ".join(f"{step['id']} {step['status']}" for step in sends)
        self._say(f"Later, {_named(run)} is {seen['status']}: {told}")
        faults = [] if seen["status"] == "cancelled" else [f"{_named(run)} is {seen['status']}"]
        later = [step for step in sends if step["id"] != "welcome"]
        return faults + [
            f"step {step['id']} of {_named(run)} is {step['status']} after {step['attempts']} attempts"
            for step in later
            if step["status"] != "cancelled" or step["attempts"] or step["started_at"]
        ]

    def _asked(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The JSON answer. TrialError when it is not a success."""
        answer = self._http.request(method, path, json=body)
        if not answer.is_success:
            raise TrialError(f"{method} {path} answered {answer.status_code}: {answer.text[:500]}")
        content: dict[str, Any] = answer.json()
        return content


def _named(run: dict[str, Any]) -> str:
    return f"run {run['id']} with token {run['cancellation_token']}"


def _complaints(trial: Trial) -> list[str]:
    """Errors that the server or the workers printed meanwhile."""
    return [line for line in trial.log.splitlines() if " ERROR " in line or "Traceback" in line]
