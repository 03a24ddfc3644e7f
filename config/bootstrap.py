"""Makes the project's own virtual environment where it is missing, and starts the command again inside it."""

# Standard library only. Older Pythons must be able to read this file up to the sentence that turns them away,
# hence no `from __future__ import annotations` here, and nothing below that Python 3.6 could not parse.
import sys

if sys.version_info < (3, 11):
    sys.exit("Countermand needs Python 3.11 or newer, and this is Python " + sys.version.split()[0] + ".")

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

try:
    import fcntl
except ImportError:
    sys.exit("Countermand runs on Linux and macOS; on Windows, use it inside WSL.")

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".ready"
# What a command needs; the second file holds the pins of the first one, too.
REQUIREMENTS = {
    "up": ROOT / "config" / "requirements.txt",
    "test": ROOT / "config" / "requirements-dev.txt",
}
UNREACHABLE = (
    "The packages could not be installed. Is the network reachable? If so, remove .venv and try again."
)
# A distribution that only the second file brings, to tell whether a foreign environment can run the tests.
NEEDED = {"up": "django", "test": "pytest_django"}


def ensure(argv: Sequence[str]) -> None:
    """Return where this process can run `argv`; else start it again in .venv.

    `up` and `test` make .venv, or complete it. Other commands never install anything: they use .venv if there
    is one, or exit with the one command that helps.
    NO_BOOTSTRAP=1 switches all of this off, as in a container that brings its own packages.
    """
    if os.environ.get("NO_BOOTSTRAP") == "1":
        return
    command = next((word for word in argv[1:] if not word.startswith("-")), "")
    inside = Path(sys.prefix).resolve() == VENV.resolve()
    if not inside and sys.prefix != sys.base_prefix and _importable(command):
        return  # somebody else's environment, which has what it takes
    if command in REQUIREMENTS:
        installed = _complete(REQUIREMENTS[command])
        if inside and not installed:
            return
    elif inside or (not PYTHON.exists() and _importable(command)):
        return
    elif not PYTHON.exists():
        sys.exit("Countermand is not installed yet. Run this first:  python3 manage.py up")
    os.execv(str(PYTHON), [str(PYTHON), *argv])


def _importable(command: str) -> bool:
    return find_spec(NEEDED.get(command, "django")) is not None


def _complete(requirements: Path) -> bool:
    """Make .venv hold what the file pins; True where something had to be done."""
    wanted = _fingerprint(requirements)
    if _is_ready(wanted):
        return False
    with _alone():
        if _is_ready(wanted):  # the one we waited for has done it
            return True
        began = time.monotonic()
        if not _same_python():
            _make_venv()
        _install(requirements)
        # Installing the larger file satisfies the smaller one as well.
        also = [_fingerprint(REQUIREMENTS["up"])] if requirements == REQUIREMENTS["test"] else []
        STAMP.write_text("\n".join([wanted, *also]) + "\n")
        _say(f"Installed in {time.monotonic() - began:.0f} s.")
    return True


def _fingerprint(requirements: Path) -> str:
    """Changes with the pins and with the Python they were installed for."""
    content = requirements.read_bytes() + repr(sys.version_info[:2]).encode()
    return hashlib.sha256(content).hexdigest()


def _is_ready(wanted: str) -> bool:
    return PYTHON.exists() and STAMP.exists() and wanted in STAMP.read_text().split()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hold the project folder against a second start of the same kind, until the descriptor is closed."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("Another start is installing into .venv; waiting for it ...")
            fcntl.flock(folder, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks, such as some network ones: go on as if alone
        yield
    finally:
        os.close(folder)


def _same_python() -> bool:
    """Whether .venv exists, and its Python starts and has this one's version."""
    probe = "import sys; print(sys.version_info[:2])"
    try:
        answer = subprocess.run([PYTHON, "-c", probe], capture_output=True, text=True)
    except OSError:
        return False
    return answer.stdout.strip() == repr(sys.version_info[:2])


def _make_venv() -> None:
    _say("Making .venv with Python " + sys.version.split()[0] + " ...")
    base = getattr(sys, "_base_executable", sys.executable)
    whole = _quietly([base, "-m", "venv", "--clear", str(VENV)])
    if whole is None:
        return
    # Debian without python3-venv has no ensurepip: an empty environment, which another pip or uv can fill.
    bare = _quietly([base, "-m", "venv", "--clear", "--without-pip", str(VENV)])
    if bare is not None:
        _give_up("Python could not make a virtual environment.", bare)


def _installers() -> Iterator[list[str]]:
    """The ways to install into .venv that this machine has, best first."""
    if _quietly([str(PYTHON), "-m", "pip", "--version"]) is None:
        yield [str(PYTHON), "-m", "pip", "install", *_PIP_OPTIONS]
    elif _quietly([sys.executable, "-m", "pip", "--python", str(PYTHON), "--version"]) is None:
        yield [sys.executable, "-m", "pip", "--python", str(PYTHON), "install", *_PIP_OPTIONS]
    uv = shutil.which("uv")
    if uv:
        yield [uv, "pip", "install", "--python", str(PYTHON)]


_PIP_OPTIONS = ["--progress-bar", "off", "--no-input", "--disable-pip-version-check"]


def _install(requirements: Path) -> None:
    total = len(re.findall(r"^\S+==", requirements.read_text(), re.MULTILINE))
    _say(f"Installing up to {total} packages, each checked against its recorded hash ...")
    output = ""
    for installer in _installers():
        status, output = _followed([*installer, "--require-hashes", "-r", str(requirements)], total)
        if status == 0:
            return
    if not output:
        _give_up(
            "There is no pip and no uv. On Debian and Ubuntu this helps:  sudo apt-get install python3-venv",
            "",
        )
    _give_up(UNREACHABLE, output)


def _followed(command: list[str], total: int) -> tuple[int, str]:
    """Run an installer, saying every two seconds how far it is; its exit status and all it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PIP_USER"}
    lines: list[str] = []
    collected, last, unpacking = 0, time.monotonic(), False
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            lines.append(line)
            collected += line.startswith("Collecting ") or (
                "already satisfied" in line and "(from -r" in line
            )
            if unpacking:
                continue
            unpacking = line.startswith("Installing collected")  # pip's words; uv says nothing until the end
            if unpacking or time.monotonic() - last > 2:
                last = time.monotonic()
                _say("  unpacking ..." if unpacking else f"  {collected} of {total}")
    return child.returncode, "".join(lines)


def _quietly(command: list[str]) -> str | None:
    """None where the command succeeds, else what it printed."""
    answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return None if answer.returncode == 0 else answer.stdout


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _give_up(sentence: str, output: str) -> None:
    """Exit with the last lines that the failing program printed, and the sentence under them."""
    sys.exit("\n".join([*output.strip().splitlines()[-15:], sentence]))
