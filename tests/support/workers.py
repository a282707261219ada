"""Real worker processes for the tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.clocks import wrong_clock
from tests.support.forking import PROGRAMS, Forked
from tests.support.waiting import wait_for

_RUN = "from worker.settings import load_settings; from {1} import {0}; {0}(load_settings())"
_MODULES = {"run_worker": "worker.run", "run_schedules": "worker.schedules"}


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """A worker's main process, leader of its own process group."""

    process: subprocess.Popen[bytes] | Forked
    log: Path

    def terminate(self, *, seconds: float = 120) -> int:
        """Stop it softly and wait until it is gone."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """Kill the main process and all of its pool at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)

    def pause(self) -> None:
        """Stop the main process and all of its pool, as SIGSTOP does."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let what was paused go on."""
        os.killpg(self.process.pid, signal.SIGCONT)

    def output(self) -> str:
        """What it has logged so far."""
        return self.log.read_text(errors="replace")


def pool_of(worker: WorkerProcess) -> list[int]:
    """The worker's pool processes."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    rows = (line.split() for line in listed.stdout.splitlines())
    return [int(pid) for pid, parent in rows if int(parent) == worker.process.pid]


@contextmanager
def running(
    environment: Mapping[str, str],
    directory: Path,
    *,
    what: str = "run_worker",
    code: str | None = None,
    clock_ahead: float = 0,
) -> Iterator[WorkerProcess]:
    """A worker (or the schedules) for the time of a test; nothing of it is left behind.

    Args:
        environment: Andon's settings.
        directory: where its log is written.
        what: ``run_worker`` or ``run_schedules``.
        code: Python to run instead, for workers that a test has tampered with.
        clock_ahead: by how many seconds its machine's clock is wrong.
    """
    code = code or _RUN.format(what, _MODULES[what])
    # What a killed process leaves behind goes with the test's own directory.
    environment = {**os.environ, "TMPDIR": str(directory), **environment}
    log = directory / f"{what}.log"
    with log.open("ab") as file, Path(os.devnull).open("rb") as nothing:
        process: subprocess.Popen[bytes] | Forked
        if clock_ahead:
            # Not forked: what has been imported already has taken the right clock.
            process = subprocess.Popen(
                [sys.executable, "-c", f"{wrong_clock(seconds=clock_ahead)}; {code}"],
                env=environment,
                stdin=nothing,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        else:
            process = PROGRAMS.start(
                files=[nothing.fileno(), file.fileno(), file.fileno()],
                environment=environment,
                directory=Path.cwd(),
                code=code,
                leads=True,
            )
    worker = WorkerProcess(process, log)
    try:
        if what == "run_worker":
            wait_for(
                lambda: "ready" in worker.output() or process.poll() is not None,
                what="worker ready",
            )
        yield worker
    except BaseException:
        print(worker.output()[-20_000:])  # pytest shows it with the failure
        raise
    finally:
        worker.kill()
