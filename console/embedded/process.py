"""One server process: started in a session of its own, found again by where it works, and ended.

A server outlives a starter that was killed. It is recognised by its working directory and its
program's name, never by a number in a file alone: the number may meanwhile belong to somebody else.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from console.embedded.account import Account
from console.embedded.errors import StartFailed

START_SECONDS = 60.0
STOP_SECONDS = 60.0
_TICK_SECONDS = 0.02
_LOG_BYTES = 10_000_000
_LOG_TAIL_BYTES = 2_000


class ServerProcess:
    """The server that works in one directory, whoever started it.

    Args:
        directory: the working directory, which no other server has.
        names: the programs it may be running as.
        pid_file: where the server itself writes the id of its main process.
        log: takes what the server prints; begun anew at a start that finds it large.
    """

    def __init__(self, directory: Path, *, names: Sequence[str], pid_file: Path, log: Path) -> None:
        self._directory = directory
        self._names = frozenset(names)
        self._pid_file = pid_file
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The main process, if this object started it and it still runs."""
        if self._child is None or self._child.poll() is not None:
            return None
        return self._child.pid

    def launch(self, command: Sequence[str | Path], *, account: Account | None) -> None:
        """Start the server without waiting for it, as this account if one is given.

        It gets a session of its own, so that Ctrl-C reaches only its starter, and none of the
        environment.
        """
        self._turn_log_over()
        with self._log.open("ab") as log:
            self._log.chmod(0o600)
            self._child = subprocess.Popen(
                command,
                cwd=self._directory,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )

    def wait_until(self, answers: Callable[[], bool]) -> None:
        """Wait until the server answers.

        Raises:
            StartFailed: it ended, or did not answer in time; it no longer runs then.
        """
        deadline = time.monotonic() + START_SECONDS
        while self.pid is not None and time.monotonic() < deadline:
            if answers():
                return
            time.sleep(_TICK_SECONDS)
        what = "ended" if self.pid is None else f"did not answer within {START_SECONDS:.0f} s"
        self.kill()
        raise StartFailed(
            f"The server in {self._directory} {what}. Its log ends:\n{self.log_tail()}"
        )

    def log_tail(self) -> str:
        """The end of what the server printed."""
        try:
            text = self._log.read_bytes()
        except FileNotFoundError:
            return ""
        return text[-_LOG_TAIL_BYTES:].decode(errors="replace")

    def stop(self, how: signal.Signals, *, seconds: float = STOP_SECONDS) -> None:
        """Have the server end in good order, and wait; one that does not is killed.

        Args:
            how: the signal that asks this server's main process to end.
            seconds: how long it may take.
        """
        deadline = time.monotonic() + seconds
        asked: int | None = None
        while running := self._running():
            if time.monotonic() > deadline:
                self.kill()
                return
            main = self._main(running)
            if main is not None and main != asked:
                _signal(main, how)
                asked = main
            time.sleep(_TICK_SECONDS)
        self._reap()

    def kill(self) -> None:
        """End the server and its children at once, as a crash would."""
        if (main := self._main(self._running())) is not None:
            _signal(main, signal.SIGSTOP)  # so that it starts no further children meanwhile
        while running := self._running():
            for pid in running:
                _signal(pid, signal.SIGKILL)
            time.sleep(_TICK_SECONDS)
        self._reap()

    def _turn_log_over(self) -> None:
        with suppress(FileNotFoundError):
            if self._log.stat().st_size > _LOG_BYTES:
                self._log.replace(self._log.with_name(self._log.name + ".1"))

    def _running(self) -> frozenset[int]:
        """The server's processes, with those that another starter left behind."""
        found = working_in(self._directory, self._names)
        return found if self.pid is None else found | {self.pid}

    def _main(self, running: frozenset[int]) -> int | None:
        """The process to ask: the one started here, or the one that the server's own file names."""
        if self.pid is not None:
            return self.pid
        try:
            written = int(self._pid_file.read_text().split(maxsplit=1)[0])
        except (FileNotFoundError, ValueError, IndexError):
            return None
        return written if written in running else None

    def _reap(self) -> None:
        if self._child is not None:
            self._child.wait()
            self._child = None


def clean_environment() -> dict[str, str]:
    """The environment that servers get: nothing of the user's, whose PG… would steer them."""
    return {"PATH": os.defpath, "LC_ALL": "C"}


def working_in(directory: Path, names: frozenset[str]) -> frozenset[int]:
    """The processes with one of these program names whose working directory this is."""
    try:
        place = directory.stat()
    except FileNotFoundError:
        return frozenset()
    processes = _from_proc(names) if sys.platform == "linux" else _from_lsof(names)
    found = set()
    for pid, path in processes:
        with suppress(OSError):
            if os.path.samestat(path.stat(), place):
                found.add(pid)
    return frozenset(found)


def _from_proc(names: frozenset[str]) -> list[tuple[int, Path]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if (entry / "comm").read_text().rstrip("\n") in names:
                    found.append((int(entry.name), entry / "cwd"))
    return found


def _from_lsof(names: frozenset[str]) -> list[tuple[int, Path]]:
    """The same where there is no /proc: macOS and the BSDs."""
    by_name = [argument for name in sorted(names) for argument in ("-c", name)]
    command = ["lsof", "-w", "-a", "-d", "cwd", *by_name, "-Fpn"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False)
    found = []
    pid = 0
    for line in listing.stdout.splitlines():
        if line.startswith("p"):
            pid = int(line[1:])
        elif line.startswith("n"):
            found.append((pid, Path(line[1:])))
    return found


def _signal(pid: int, which: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, which)
