"""The client: invokes and cancels at random instants, as many backends would, and notes what it was told."""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx

from tests.chaos.checker import HELD
from tests.chaos.families import BEARING, CHILD_SHAPE
from tests.chaos.history import History

# What the definitions do, in order; a step's id is an s and its place.
SHAPES = (
    "send", "send", "delay,send", "delay,send", "send,delay,send", "send,delay,send", "send,send,send",
    "cancel,delay,send", "send,cancel,send", "invoke,delay,send", "send,invoke,invoke,delay,send", "await,send",
)  # fmt: skip
CHILD = "child"
GROUPS = 12  # runs share tokens
TIMEOUT = 2.0  # of a send step, in seconds
CLIENT_TIMEOUT = 8.0
TRIES = 5
LONGEST_PAUSE = 2.0  # of a delay step
HELD_SHAPE = "send,delay,send"
ENABLED_WITHIN = 30.0  # seconds, whatever happens meanwhile
GIVEN_UP_FOR = 1.0  # seconds after which the server has carried out, or lost, what nobody waits for
HOLDING, HELD_FOR = 0.5, 1.5  # the share of cancels by token that hold, and for how many seconds
UNDONE = 0.25  # of the acknowledged cancels
UNDONE_WITHIN = 3.0  # seconds after the cancel; by then its runs may be archived
CANCELLED_WITHIN = 2.5  # seconds after the invoke, mostly soon: that is when steps are in flight


def definition(shape: str, *, sink: str, javascript: bool) -> dict[str, Any]:
    """Steps of this shape; with `javascript` token and text need an evaluator."""
    token = "${'group-' + data.group}" if javascript else "group-{{data.group}}"
    body = "${[data.group, data.other].join(' or ')}" if javascript else "{{data.group}} or {{data.other}}"
    steps: list[dict[str, Any]] = []
    for place, action in enumerate(shape.split(",")):
        step: dict[str, Any] = {"id": f"s{place}", "action": action}
        if action == "send":
            retry = {"max_attempts": 20, "backoff": "fixed", "interval": "0.2 seconds"}
            message = {"content": {"body": body}, "to": {"webhook": {"url": sink}}}
            step |= {"message": message, "timeout": f"{TIMEOUT} seconds", "retry": retry}
        elif action == "delay":
            step["duration"] = "{{data.pause}} seconds"
        elif action in BEARING:
            step |= {"action": "invoke", "template": CHILD, "wait": action == "await"}
        else:
            step["cancellation_token"] = "group-{{data.other}}"
        steps.append(step)
    return {"cancellation_token": token, "steps": steps}


class Driver:
    """A few threads, each a client of its own with its own seeded choices, from `start` until `stop`: `rate`
    invokes a second, of which the share `cancels` is followed by a cancel (0: nothing cancels)."""

    def __init__(
        self,
        *,
        url: str,
        key: str,
        sink: str,
        history: History,
        seed: int,
        rate: float,
        cancels: float = 0.75,
        threads: int = 6,
    ) -> None:
        self._address, self._headers = f"{url}/api/v1", {"Authorization": f"Bearer {key}"}
        self._sink, self._history = sink, history
        self._pause = threads / rate
        self._cancels = cancels
        self._shapes = [shape for shape in SHAPES if cancels or "cancel" not in shape]
        self._ops = itertools.count(1)
        self._stopping = threading.Event()
        self._recent: deque[Mapping[str, Any]] = deque(maxlen=100)
        self._threads = [
            threading.Thread(target=self._work, args=(random.Random(f"{seed}/{number}"),))
            for number in range(threads)
        ]
        if cancels:
            self._threads.append(threading.Thread(target=self._hold, args=(random.Random(f"{seed}/hold"),)))

    def publish(self) -> None:
        """Every shape as an automation, with and without JavaScript; and the child, which nothing but the cancel of
        its parent, or of its id, can call off."""
        with self._client() as http:
            child = definition(CHILD_SHAPE, sink=self._sink, javascript=False) | {"cancellation_token": None}
            _publish(http, CHILD, child)
            shapes = itertools.product(dict.fromkeys(SHAPES), (False, True))
            wanted = [(_automation(shape, javascript=js), shape, js) for shape, js in shapes]
            for key, shape, javascript in [*wanted, (HELD, HELD_SHAPE, False)]:
                content = definition(shape, sink=self._sink, javascript=javascript)
                _publish(http, key, content)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns once every request is answered or given up."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self._address, headers=self._headers, timeout=CLIENT_TIMEOUT)

    def _work(self, draw: random.Random) -> None:
        plans: list[tuple[float, int, dict[str, str]]] = []
        next_invoke = time.monotonic()
        with self._client() as http:
            while not self._stopping.wait(0.005):
                now = time.monotonic()
                if now >= next_invoke:
                    next_invoke = now + draw.expovariate(1 / self._pause)
                    for asked in self._invoke(http, draw):
                        moment = time.monotonic() + draw.random() ** 3 * CANCELLED_WITHIN
                        heapq.heappush(plans, (moment, next(self._ops), asked))
                while plans and plans[0][0] <= time.monotonic():
                    for asked in self._carry_out(http, draw, heapq.heappop(plans)[2]):
                        moment = time.monotonic() + draw.random() ** 2 * UNDONE_WITHIN
                        heapq.heappush(plans, (moment, next(self._ops), asked))

    def _carry_out(
        self, http: httpx.Client, draw: random.Random, asked: dict[str, str]
    ) -> list[dict[str, str]]:
        """What shall follow."""
        if "undo" in asked:
            self._undo(http, draw, asked["undo"])
            return []
        answer = self._cancel(http, draw, asked)
        return [{"undo": answer["id"]}] if answer and draw.random() < UNDONE else []

    def _hold(self, draw: random.Random) -> None:
        """Holds one automation every few seconds, and enables it again until that is acknowledged."""
        with self._client() as http:
            while not self._stopping.wait(draw.uniform(0.5, 3)):
                body = {"mode": "hold"}
                self._ask(http, "hold", f"automations/{HELD}/disable", body, op=next(self._ops), detail={})
                self._stopping.wait(draw.uniform(0.2, 2))
                self._enable(http, draw.choice(("fire_now", "shift")))
            time.sleep(
                GIVEN_UP_FOR
            )  # a hold that nobody waits for any more may have come after the last enabling
            self._enable(http, "fire_now")

    def _enable(self, http: httpx.Client, overdue: str) -> None:
        op, until = next(self._ops), time.monotonic() + ENABLED_WITHIN
        body, path = {"overdue": overdue}, f"automations/{HELD}/enable"
        while self._ask(http, "enable", path, body, op=op, detail={}) is None and time.monotonic() < until:
            time.sleep(0.3)

    def _invoke(self, http: httpx.Client, draw: random.Random) -> list[dict[str, str]]:
        """The filters of the cancels that shall follow."""
        op, shape, javascript = next(self._ops), draw.choice(self._shapes), draw.random() < 0.2
        is_held = bool(self._cancels) and draw.random() < 0.15
        if is_held:
            shape, javascript = HELD_SHAPE, False
        group, other = draw.sample(range(GROUPS), 2)
        body: dict[str, Any] = {
            "source": f"chaos/{shape}",
            "data": {"group": group, "other": other, "pause": round(draw.uniform(0.1, LONGEST_PAUSE), 2)},
            "recipients": [f"someone-{n}" for n in range(draw.choice((1, 1, 1, 2, 5)))],
            "cancellation_key": f"key-{draw.choice((op, op, group))}",
        }
        if is_held:
            body["automation"] = HELD
        elif draw.random() < 0.3:
            body["definition"] = definition(shape, sink=self._sink, javascript=javascript)
        else:
            body["automation"] = _automation(shape, javascript=javascript)
        answer = self._ask(http, "invoke", "invocations", body, op=op, key=f"invoke-{op}", detail={})
        if answer is None:
            return []
        run = answer["runs"][0]
        self._recent.append(run)
        run = draw.choice([run, run, draw.choice(self._recent)])
        filters = (
            {"token": run["cancellation_token"]}, {"key": run["cancellation_key"]}, {"run": run["id"]},
        )  # fmt: skip
        (chosen,) = draw.choices(filters, weights=(1, 2, 3))
        return [chosen] if draw.random() < self._cancels else []

    def _undo(self, http: httpx.Client, draw: random.Random, cancellation: str) -> None:
        """Once: asked for again it would be refused."""
        body, detail = {"overdue": draw.choice(("fire_now", "shift", "skip"))}, {"cancellation": cancellation}
        path = f"cancellations/{cancellation}/undo"
        self._ask(http, "undo", path, body, op=next(self._ops), detail=detail)

    def _cancel(
        self, http: httpx.Client, draw: random.Random, asked: dict[str, str]
    ) -> dict[str, Any] | None:
        op = next(self._ops)
        query = f"?wait={draw.choice((1, 2))}" if draw.random() < 0.15 else ""
        detail: dict[str, Any] = {"filter": asked}
        if "run" in asked:
            return self._ask(http, "cancel", f"runs/{asked['run']}/cancel{query}", {}, op=op, detail=detail)
        body: dict[str, Any] = {"filter": asked}
        if "token" in asked and draw.random() < HOLDING:
            body["hold_for"], detail["hold"] = f"{HELD_FOR} seconds", HELD_FOR
        elif draw.random() < 0.5:
            body["undo_for"] = "2 seconds"
        answer = self._ask(
            http, "cancel", f"cancellations{query}", body, op=op, key=f"cancel-{op}", detail=detail
        )
        return None if "hold" in detail else answer  # one that holds is not undone

    def _ask(
        self,
        http: httpx.Client,
        what: str,
        path: str,
        body: dict[str, Any],
        *,
        op: int,
        detail: dict[str, Any],
        key: str | None = None,
    ) -> dict[str, Any] | None:
        """What was acknowledged. An unknown outcome is asked for again where a key makes that harmless."""
        headers = {"Idempotency-Key": key} if key else {}
        for _ in range(TRIES if key else 1):
            self._history.note(what, "begin", op=op, **detail)
            try:
                answer = http.post(path, json=body, headers=headers)
            except httpx.TransportError as error:
                self._history.note(what, "unknown", op=op, error=repr(error)[:100])
            else:
                if answer.status_code < 300:
                    return self._acknowledged(what, answer, op=op, detail=detail)
                if answer.status_code < 500:
                    turned_away = body.get("automation") == HELD and ":disabled" in answer.text
                    phase, said = "turned away" if turned_away else "refused", answer.text[:500]
                    self._history.note(what, phase, op=op, status=answer.status_code, said=said)
                    return None
                self._history.note(what, "unknown", op=op, status=answer.status_code)
            if self._stopping.wait(0.3):
                break
        return None

    def _acknowledged(
        self, what: str, answer: httpx.Response, *, op: int, detail: dict[str, Any]
    ) -> dict[str, Any]:
        content: dict[str, Any] = answer.json()
        told = _told(what, content)
        if "hold" in detail:
            told["until"] = told["as_of"] + detail["hold"]
        self._history.note(what, "ack", op=op, **detail, **told)
        return content


def _told(what: str, content: dict[str, Any]) -> dict[str, Any]:
    if what == "invoke":
        return {"runs": content["runs"]}
    if what in ("enable", "undo"):
        return {}
    in_flight = [[entry["run"], entry["step"], entry["attempt"]] for entry in content["in_flight"]]
    if what == "hold":
        return {"in_flight": in_flight}
    return {
        "cancellation": content["id"],
        "runs": content["cancelled_run_ids"],
        "in_flight": in_flight,
        "settled": content["settled"],
        "as_of": datetime.fromisoformat(content["as_of"]).timestamp(),
    }


def _publish(http: httpx.Client, key: str, content: dict[str, Any]) -> None:
    given = {"key": key, "name": key, "definition": content}
    http.post("automations", json=given).raise_for_status()
    http.post(f"automations/{key}/publish").raise_for_status()


def _automation(shape: str, *, javascript: bool) -> str:
    return shape.replace(",", "-") + ("-js" if javascript else "")
