"""The schedules: what is to be done from time to time, whether requests come or not.

A process of its own that does the work itself, so nothing piles up in a queue while no worker runs.
Several may run at once, on several machines: what one holds, the others leave alone.
"""

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

import structlog

from tasks.faults import frames_of
from worker.log import configure_logging
from worker.runtime import Runtime
from worker.settings import Settings
from worker.signs_of_life import Kind, SignsOfLife
from worker.stopping import Calls, StopFlag

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Job:
    """Something to do again and again; *every* is in seconds, from end to beginning."""

    name: str
    work: Callable[[], None]
    every: float
    due: float = field(default=0.0)

    def run_if_due(self, signs: SignsOfLife) -> None:
        """Do it, if it is time; a failure is logged and does not end the schedules."""
        if time.monotonic() < self.due:
            return
        signs.began(self.name)
        try:
            self.work()
        except Exception as error:
            logger.error(
                "scheduled_job_failed", error=type(error).__name__, frames=frames_of(error)
            )
        signs.ended()
        self.due = time.monotonic() + self.every


def run_schedules(settings: Settings) -> None:
    """Run all jobs until SIGTERM or SIGINT; the job under way is finished."""
    configure_logging(settings)
    runtime = Runtime(settings, StopFlag(), Calls(), Kind.SCHEDULES)
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    jobs = [
        Job("sweep", runtime.sweep, every=1.0),
        Job("compact", runtime.compact, every=60.0),
        Job("partition", runtime.partition, every=3600.0),
        Job("tidy", runtime.tidy, every=3600.0),
    ]
    logger.info("schedules_started")
    while not stopped.is_set():
        for job in jobs:
            job.run_if_due(runtime.signs)
        stopped.wait(max(0.0, min(job.due for job in jobs) - time.monotonic()))
    runtime.signs.close()
    logger.info("schedules_stopped")
