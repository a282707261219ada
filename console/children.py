"""Child processes that are kept running, and stopped in good order."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
RUNS_WELL_AFTER = 60.0
"""Seconds after which a process that ends is started again at once."""
STOP_SECONDS = 60.0
_TICK = 0.1

_NOT_FOR_CHILDREN = {"ANDON_OWNER_DATABASE_URL": ""}
"""The worker and the schedules have the worker's rights alone. Empty, so that the settings file
does not bring it back."""

Say = Callable[[str, str], None]
"""Called with a process's name and a line: what it printed, or what became of it."""


@dataclass(slots=True)
class Child:
    """One command of `andon`, run until it is stopped.

    It is the leader of its own process group, so that Ctrl-C reaches only its starter.

    Attributes:
        command: such as ``worker``.
        directory: where it runs.
        variables: environment variables besides the inherited ones.
        say: takes its lines, also from another thread.
    """

    command: str
    directory: Path
    variables: Mapping[str, str] = field(repr=False)
    say: Say
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _started_at: float = field(default=0.0, init=False)
    _start_at: float = field(default=0.0, init=False)
    _pause: float = field(default=FIRST_PAUSE, init=False)

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start it; what it prints is passed on line by line."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "console.attended", self.command],
            cwd=self.directory,
            env={**os.environ, **self.variables, **_NOT_FOR_CHILDREN},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._started_at = time.monotonic()
        threading.Thread(target=self._pass_on, args=(self._process,), daemon=True).start()

    def _pass_on(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if text := line.decode(errors="replace").strip():
                self.say(self.command, text)

    def keep_running(self) -> None:
        """Start it again if it has ended, after a pause that grows with each time."""
        if self.pid is not None:
            return
        if self._process is not None:
            self._plan_restart(self._process.wait())
        if time.monotonic() >= self._start_at:
            self.start()

    def _plan_restart(self, code: int) -> None:
        if time.monotonic() - self._started_at > RUNS_WELL_AFTER:
            self._pause = FIRST_PAUSE
        self.say(self.command, f"ended ({_how(code)}); it is started again in {self._pause:.0f} s")
        self._start_at = time.monotonic() + self._pause
        self._pause = min(LONGEST_PAUSE, 2 * self._pause)
        self._process = None

    def ask_to_stop(self) -> None:
        """Ask it to finish what it has in hand, and to end."""
        if self.pid is not None and self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, with everything that it started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def stop_all(children: list[Child], *, hurry: Callable[[], bool]) -> None:
    """Stop *children* softly and wait for them; kill them when that takes too long.

    Args:
        children: all that may be running.
        hurry: whether nobody wants to wait any longer.
    """
    for child in children:
        child.ask_to_stop()
    deadline = time.monotonic() + STOP_SECONDS
    while any(child.pid for child in children) and not hurry() and time.monotonic() < deadline:
        time.sleep(_TICK)
    for child in children:
        child.kill()


def _how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
