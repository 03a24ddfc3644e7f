"""Runs web server and workers as `manage.py up` does, under whatever settings the environment names."""

from __future__ import annotations

import os
import socket
import sys

from automations.management.processes import Program, Supervisor


def main() -> None:
    """Prints the port, then serves until TERM."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        descriptor = listener.fileno()
        gunicorn = [sys.executable, "-m", "gunicorn", "--config", "config/gunicorn.py"]
        programs = {
            "web": [*gunicorn, "--bind", f"fd://{descriptor}", "config.wsgi:application"],
            "cluster": [sys.executable, "manage.py", "cluster"],
        }
        print(listener.getsockname()[1], flush=True)
        supervisor = Supervisor(say=lambda line: print(line, flush=True))
        for name, command in programs.items():
            supervisor.add(Program(name=name, command=command, environment=os.environ, pass_fds=[descriptor]))
        supervisor.run(each_tick=lambda: None)


if __name__ == "__main__":
    main()
