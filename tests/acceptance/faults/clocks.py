"""Clocks of processes that jump while they run: each reads its own shift from a file, at each call.

A process follows a clock when ``follow`` is called in it before anything else. ``time.time``,
``time.time_ns``, and what ``datetime`` and ``date`` say of now are then shifted, in it and in what
it forks. Clocks that only go on, by which timeouts are measured, are left alone, as on a machine
whose time is set.
"""

import ctypes
import gc
import mmap
import struct
import time
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

_SHIFT = struct.Struct("d")


class Clock:
    """The clock of one process, as it is set from outside.

    Args:
        path: of the file that the process follows.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set()

    def set(self, seconds: float = 0.0) -> None:
        """Let it be so many seconds ahead; behind, if it is negative."""
        with self._path.open("r+b" if self._path.exists() else "wb") as file:
            file.write(_SHIFT.pack(seconds))  # one write: it is never half read

    @property
    def code(self) -> str:
        """Python that has a process follow it, to be run first."""
        path = str(self._path)
        return f"from tests.acceptance.faults import clocks; clocks.follow({path!r})"


def follow(path: str) -> None:
    """Shift the clock of this process by what stands in the file, from now on."""
    with Path(path).open("rb") as file:
        shift = mmap.mmap(file.fileno(), _SHIFT.size, access=mmap.ACCESS_READ)

    def shifted_by() -> float:
        return float(_SHIFT.unpack(shift[:])[0])

    real_time, real_time_ns, real_now = time.time, time.time_ns, datetime.now

    def now(_cls: type[datetime], tz: tzinfo | None = None) -> datetime:
        return real_now(tz) + timedelta(seconds=shifted_by())

    time.time = lambda: real_time() + shifted_by()
    time.time_ns = lambda: real_time_ns() + int(shifted_by() * 1e9)
    # A type of C lets nobody set its attributes, but for its own dictionary.
    (methods,) = gc.get_referents(datetime.__dict__)
    methods["now"] = classmethod(now)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime))
