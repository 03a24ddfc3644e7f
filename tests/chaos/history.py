"""What the client asked, when, and what it was told: an append-only log, one JSON object a line."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any


class History:
    """Thread-safe. Every entry has `t` (monotonic, seconds, one clock for the whole machine) and `wall`.

    `what` is invoke, cancel or undo with the phases begin, ack, unknown (the connection broke, or 5xx: it may have
    happened) and refused; or fault with inject, heal and failed.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "history.jsonl"
        self.entries: list[dict[str, Any]] = []
        self._file = self.path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def note(self, what: str, phase: str, **detail: Any) -> None:
        """Appends an entry; on disk at once, so that it outlives whatever follows."""
        with self._lock:
            entry = {"t": time.monotonic(), "wall": time.time(), "what": what, "phase": phase, **detail}
            self.entries.append(entry)
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()

    def count(self, what: str, phase: str) -> int:
        """How many such entries there are."""
        with self._lock:
            return sum(1 for entry in self.entries if (entry["what"], entry["phase"]) == (what, phase))

    def close(self) -> None:
        self._file.close()
