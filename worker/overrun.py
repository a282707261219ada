"""A pool process whose batch takes too long, or all memory, says so and ends itself.

That counts as a lost process, so a request that hangs is found like one that kills (DESIGN 2). Code
that does not let itself be interrupted is killed at the hard limit.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from types import FrameType
from typing import NoReturn

import structlog

from tasks.faults import OutOfMemory

logger = structlog.get_logger(__name__)

_FRAMES = 6
"""How much of the way to the place is told."""
_LOOKED_THROUGH = 20
"""How many frames are looked through for the driver's, which are among the innermost."""


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

    What was begun is rolled back, here or by PostgreSQL once the connection is gone, and nothing is
    handed back: other processes get it once this one is gone.
    """
    # Celery sets its own handler after the signals with which a process could prepare itself.
    signal.signal(signal.SIGUSR1, _on_soft_limit)
    try:
        yield
    except Overrun as overrun:
        _log(overrun.frames)
        _end()
    except OutOfMemory:
        with suppress(MemoryError):
            logger.error("out_of_memory")
        _end()
    finally:
        # While the broker is away the main process does not hear that a drain has ended, and once
        # it is back it takes the drain for one that hangs. An idle process need not die of that.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def _on_soft_limit(_number: int, frame: FrameType | None) -> None:
    """Raise what ends this process, or end it here if it waits for PostgreSQL.

    No exception leaves a statement under way: the driver would wait for it once more, or SQLAlchemy
    roll back, which fails, and what that raises passes for an outage.
    """
    innermost = list(islice(_outwards(frame), _LOOKED_THROUGH))
    frames = [_place(each) for each in reversed(innermost[:_FRAMES])] or ["unknown place"]
    if not any(_is_of_driver(each) for each in innermost):
        raise Overrun(frames)
    # Whatever was interrupted may hold what logging needs; ending is more important.
    with suppress(Exception):
        _log(frames)
    os._exit(1)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_of_driver(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "psycopg"


def _place(frame: FrameType) -> str:
    return f"{frame.f_globals.get('__name__', '?')}:{frame.f_lineno}"


def _log(frames: list[str]) -> None:
    logger.error("batch_took_too_long", place=frames[-1], frames=frames)


def _end() -> NoReturn:
    """Leave as if told to from outside: Celery then takes the task for lost with its process.

    A mere ``SystemExit`` would be reported as the task's result before the process ends, and Celery
    would send it another task meanwhile.
    """
    signal.raise_signal(signal.SIGTERM)
    raise SystemExit(1)
