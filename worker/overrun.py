"""A pool process whose batch takes too long, or all memory, says so and ends itself.

That counts as a lost process, so a request that hangs is found like one that kills (DESIGN 2). Code
that does not let itself be interrupted is killed at the hard limit.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

import structlog

from tasks.faults import OutOfMemory

logger = structlog.get_logger(__name__)

_FRAMES = 6
"""How much of the way to the place is told."""


class Overrun(BaseException):
    """A batch took too long.

    Celery's own exception is an ``Exception``, which the pipeline would take for a bug of the
    batch, and bisect it.

    Attributes:
        frames: where it was, ``module:line`` of the innermost frames, the innermost last.
    """

    def __init__(self, frames: list[str]) -> None:
        super().__init__(frames)
        self.frames = frames


@contextmanager
def ending_on_overrun() -> Iterator[None]:
    """End this process if Celery says, meanwhile, that the soft time limit is over.

    And if there is no memory left: Celery would end the whole worker for a ``MemoryError``.

    What was begun is rolled back on the way out, and nothing is handed back: other processes get
    it once this one is gone.
    """
    # Celery sets its own handler after the signals with which a process could prepare itself.
    signal.signal(signal.SIGUSR1, _raise_overrun)
    try:
        yield
    except Overrun as overrun:
        logger.error("batch_took_too_long", place=overrun.frames[-1], frames=overrun.frames)
        _end()
    except OutOfMemory:
        with suppress(MemoryError):
            logger.error("out_of_memory")
        _end()
    finally:
        # While the broker is away the main process does not hear that a drain has ended, and once
        # it is back it takes the drain for one that hangs. An idle process need not die of that.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def _raise_overrun(_number: int, frame: FrameType | None) -> NoReturn:
    frames: list[str] = []
    while frame is not None and len(frames) < _FRAMES:
        frames.insert(0, f"{frame.f_globals.get('__name__', '?')}:{frame.f_lineno}")
        frame = frame.f_back
    raise Overrun(frames or ["unknown place"])


def _end() -> NoReturn:
    """Leave as if told to from outside: Celery then takes the task for lost with its process.

    A mere ``SystemExit`` would be reported as the task's result before the process ends, and Celery
    would send it another task meanwhile.
    """
    signal.raise_signal(signal.SIGTERM)
    raise SystemExit(1)
