"""Stands between the product and PostgreSQL and cuts connections, also where the outcome of a COMMIT is unknown."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from automations.cluster.parentage import tied_to_parent

SOCKET = ".s.PGSQL.5432"
COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"  # a simple query, which is how psycopg commits


class Relay:
    """Passes bytes both ways until told otherwise by a line on its standard input: `cut` ends every
    connection; `cut-commits N` ends the next N that commit, after the server was told and before it answers.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._open: set[asyncio.StreamWriter] = set()
        self._cuts = 0

    async def serve(self, path: str) -> None:
        """Until standard input ends."""
        async with await asyncio.start_unix_server(self._relay, path):
            print("ready", flush=True)
            orders = asyncio.StreamReader()
            loop = asyncio.get_running_loop()
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
            while line := await orders.readline():
                self._obey(*line.decode().split())

    def _obey(self, order: str, number: str = "0") -> None:
        self._cuts = int(number)
        if order == "cut":
            for writer in self._open:
                writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            below, above = await asyncio.open_unix_connection(self._server)
        except OSError:  # the server is down, and so is this connection
            writer.close()
            return
        self._open.add(writer)
        answers = asyncio.create_task(_pass_on(below, writer))
        try:
            while content := await reader.read(65536):
                above.write(content)
                await above.drain()
                if self._cuts and content.endswith(COMMIT):
                    self._cuts -= 1
                    break
        except OSError:
            pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()
            above.close()
            answers.cancel()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    except OSError:
        pass
    writer.transport.abort()


class Proxy:
    """The relay's process: a folder with a socket that is to PostgreSQL's clients like the server's own."""

    def __init__(self, folder: Path, *, server: Path) -> None:
        self.folder = folder
        self._command = [
            sys.executable,
            "-m",
            "tests.chaos.proxy",
            str(server / SOCKET),
            str(folder / SOCKET),
        ]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=tied_to_parent(with_signal=signal.SIGKILL),
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def cut(self) -> None:
        """Every connection breaks, now."""
        self._tell("cut")

    def cut_commits(self, number: int) -> None:
        """The next so many COMMITs reach the server and are not answered."""
        self._tell(f"cut-commits {number}")

    def _tell(self, order: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(order.encode() + b"\n")
        self._process.stdin.flush()


if __name__ == "__main__":
    asyncio.run(Relay(sys.argv[1]).serve(sys.argv[2]))
