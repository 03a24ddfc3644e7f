"""Who is who among the product's processes (Linux): by parentage, command line and the name each gave itself."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FORKED = frozenset({"sentinel", "worker", "monitor", "pusher"})


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A process as /proc shows it."""

    pid: int
    parent: int
    state: str  # T is stopped, Z is dead and not yet collected
    name: str
    command: str

    @property
    def role(self) -> str:
        """What it does in the product; "other" where that is not known (yet)."""
        if self.name in FORKED:
            return self.name
        roles = {
            "gunicorn": "web", "evaluator.py": "evaluator", "cluster --tree": "tree",
            "manage.py cluster": "watchdog",
        }  # fmt: skip
        return next((role for words, role in roles.items() if words in self.command), "other")


def census(root: int) -> Mapping[str, Sequence[int]]:
    """The living descendants of the process `root` by role, oldest first: web (the master), web worker,
    watchdog, tree, sentinel, worker, monitor, pusher, evaluator."""
    seen = {one.pid: one for one in _everyone()}
    children: defaultdict[int, list[Seen]] = defaultdict(list)
    for one in seen.values():
        children[one.parent].append(one)
    found: defaultdict[str, list[int]] = defaultdict(list)
    left = [root]
    while left:
        for child in children[left.pop()]:
            left.append(child.pid)
            is_forked = child.role == "web" and child.parent != root
            if child.state != "Z":
                found["web worker" if is_forked else child.role].append(child.pid)
    return {role: sorted(pids) for role, pids in found.items()}


def _everyone() -> list[Seen]:
    people = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        folder = Path("/proc", name)
        with suppress(OSError):
            rest = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            people.append(
                Seen(
                    pid=int(name),
                    parent=int(rest[1]),
                    state=rest[0],
                    name=(folder / "comm").read_text().strip(),
                    command=command,
                )
            )
    return people
