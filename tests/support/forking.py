"""Real processes that start at once: they are forked by one that has imported what takes long.

Each is a process of its own, with its own environment, directory and standard streams, as one that
a shell starts. There are two kinds of servers that fork them: one has the whole `andon` command
loaded; the other one has only what others wrote, for programs that change Andon before it is
imported.
"""

import atexit
import gc
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

_ROOT = Path(__file__).parents[2]
_LARGEST = 200_000
"""Bytes of what is asked for: arguments, environment and code."""


class Forked:
    """A process, as `subprocess.Popen` has it.

    Args:
        args: says what it is.
        answers: tells its pid, and at last how it ended.
    """

    def __init__(self, args: object, answers: socket.socket) -> None:
        self.args = args
        self.returncode: int | None = None
        self._answers = answers
        self._lock = threading.Lock()
        self.pid = int(answers.recv(20))
        answers.send(b"go on")

    def poll(self) -> int | None:
        """How it ended; None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and say how.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.args), timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, seconds: float | None) -> int | None:
        with self._lock:
            if self.returncode is None and select.select([self._answers], [], [], seconds)[0]:
                self.returncode = int(self._answers.recv(20))
                self._answers.close()
            return self.returncode


class ForkServer:
    """One server, started when it is first needed, and gone when this process is.

    Args:
        loaded: the modules that it imports.
    """

    def __init__(self, *loaded: str) -> None:
        self._loaded = loaded
        self._ours: socket.socket | None = None
        self._starting = threading.Lock()

    def start(
        self,
        *,
        files: Sequence[int],
        environment: Mapping[str, str],
        directory: Path,
        command: Sequence[str] = (),
        code: str | None = None,
        leads: bool = False,
    ) -> Forked:
        """Start a process.

        Args:
            files: descriptors of its standard input, output and errors.
            environment: all of it.
            directory: that it works in.
            command: what to give to `andon`.
            code: Python to run instead, as with `python -c`.
            leads: a session of its own, whose processes can be ended together.
        """
        asked = {
            "command": command,
            "code": code,
            "environment": environment,
            "directory": str(directory),
            "leads": leads,
        }
        answers, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._server(), [orjson.dumps(asked)], [*files, theirs.fileno()])
        return Forked(code or command, answers)

    def _server(self) -> socket.socket:
        with self._starting:
            if self._ours is None:
                self._ours = self._started()
        return self._ours

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), *self._loaded],
                cwd=_ROOT,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(_end, ours, process)
        return ours


def _end(ours: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    ours.close()  # at which it ends
    process.wait(60)


COMMANDS = ForkServer("console.commands")
"""Forks the commands of `andon`."""

PROGRAMS = ForkServer(
    "alembic", "celery.apps.worker", "celery.bin.celery", "httptools", "kombu.transport.redis",
    "openpyxl", "psycopg", "pydantic_settings", "redis", "rich.console",
    "sqlalchemy.dialects.postgresql",
    "starlette.applications", "structlog", "tomlkit", "typer", "uvicorn", "uvloop",
)  # fmt: skip
"""Forks programs of the tests, such as workers, that import Andon by themselves."""


def _serve(asking: socket.socket) -> Mapping[str, Any] | None:
    """Fork a process for each that is asked for, until nobody can ask any more.

    Returns:
        What it is to be, in a process that was forked; None in this one.
    """
    gc.collect()
    gc.freeze()  # no process looks at all this again, and so copies it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever asked waits, and nobody else
    while True:
        text, descriptors, _, _ = socket.recv_fds(asking, _LARGEST, 4)
        if not text:
            return None
        if os.fork() == 0:
            asking.close()
            return _attended(orjson.loads(text), descriptors)
        for each in descriptors:
            os.close(each)


def _attended(asked: Mapping[str, Any], descriptors: Sequence[int]) -> Mapping[str, Any]:
    """Fork the process, and tell how it ended; return in that process alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *standard, answer = descriptors
    with socket.socket(fileno=answer) as answers:
        if (pid := os.fork()) == 0:
            answers.recv(20)  # its pid is known now
            for number, descriptor in enumerate(standard):
                os.dup2(descriptor, number)
                os.close(descriptor)
            return asked
        for descriptor in (*standard, 0, 1, 2):
            with suppress(OSError):
                os.close(descriptor)
        os.setsid()  # no signal to a group of processes is meant for this one
        with suppress(OSError):
            answers.send(b"%d" % pid)
            _, status = os.waitpid(pid, 0)
            answers.send(b"%d" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _settle(asked: Mapping[str, Any]) -> None:
    """Be where the process is to be."""
    if asked["leads"]:
        os.setsid()
    os.chdir(asked["directory"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    tempfile.tempdir = None


def _command(arguments: Sequence[str]) -> None:
    """Be `andon`, to its end."""
    from console.app import main

    sys.argv = [str(_ROOT / "console/app.py"), *arguments]
    sys.modules["__main__"].__package__ = "console"  # as `python -m console.app` has it
    try:
        main()
        code: object = 0
    except SystemExit as ended:
        code = 0 if ended.code is None else ended.code
    if not isinstance(code, int):
        sys.exit(str(code))
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # taking all modules apart would copy them first


def _main() -> None:
    for module in sys.argv[2:]:
        __import__(module)
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        asked = _serve(channel)
    if asked is None:
        return
    _settle(asked)
    if asked["code"] is None:
        _command(asked["command"])
    else:
        sys.argv = ["-c"]
        exec(compile(asked["code"], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102


if __name__ == "__main__":
    _main()
