"""The oracle: an HTTP server outside the product that notes every request before it answers it."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from automations.cluster.parentage import tied_to_parent

HONEST = {"ok": 1.0}
ROUGH = {"ok": 84.0, "slow": 6.0, "error": 5.0, "hang": 1.0, "reset": 2.0, "lost": 2.0}
CONTROL = "/control"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no time at all: the end is a reset


class Server:
    """Answers by a seeded choice among: ok, slow (0.2-5 s), error (500), hang, reset and lost (no answer)."""

    def __init__(self, log: int) -> None:
        self._log = log
        self._mix: Mapping[str, float] = HONEST
        self._random = random.Random(0)

    async def serve(self) -> None:
        """Prints its port, then answers until the process is ended."""
        server = await asyncio.start_server(self._converse, "127.0.0.1", 0, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
        async with server:
            await server.serve_forever()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError, asyncio.LimitOverrunError):
            while await self._one_request(reader, writer):
                pass
        writer.close()

    async def _one_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if path == CONTROL:
            given = json.loads(body)
            self._mix, self._random = given["mix"], random.Random(given["seed"])
            return await _answer(writer, b"200 OK")
        (mode,) = self._random.choices(list(self._mix), weights=list(self._mix.values()))
        self._note(method, path, headers, body, mode)
        return await self._behave(mode, writer)

    def _note(self, method: str, path: str, headers: Mapping[str, str], body: bytes, mode: str) -> None:
        content = json.loads(body)
        line = {
            "t": time.monotonic(), "wall": time.time(), "method": method, "path": path, "mode": mode,
            "key": headers.get("idempotency-key"), "run": content["run"], "step": content["step"],
            **json.loads(headers.get("chaos-attempt", "{}")), "hash": hashlib.sha256(body).hexdigest()[:16],
        }  # fmt: skip
        os.write(self._log, json.dumps(line).encode() + b"\n")

    async def _behave(self, mode: str, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        if mode == "slow":
            await asyncio.sleep(self._random.uniform(0.2, 5))
        if mode == "hang":
            await asyncio.sleep(60)
        if mode == "reset":
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        if mode in ("hang", "reset", "lost"):
            return False
        return await _answer(writer, b"500 Oops" if mode == "error" else b"200 OK")


async def _answer(writer: asyncio.StreamWriter, status: bytes) -> bool:
    writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nok")
    await writer.drain()
    return True


class Sink:
    """The server's process, for whoever runs it: its address, its manners, and what it noted."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "sink.jsonl"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.sink", str(self.log)],
            stdout=subprocess.PIPE,
            preexec_fn=tied_to_parent(with_signal=signal.SIGKILL),
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def behave(self, mix: Mapping[str, float], *, seed: int) -> None:
        """From now on it answers by these weights."""
        control = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        control.request("POST", CONTROL, json.dumps({"mix": mix, "seed": seed}))
        assert control.getresponse().status == 200
        control.close()

    def receipts(self) -> list[dict[str, Any]]:
        """Everything received so far, in the order of arrival."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


if __name__ == "__main__":
    asyncio.run(Server(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)).serve())
