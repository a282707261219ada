"""The times of events, which order what one source asks about one incident."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def _own_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Times:
    """Times that only go forward, whatever the clock does and however many threads ask."""

    clock: Callable[[], datetime] = _own_clock
    _last: datetime = _LONG_AGO
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> datetime:
        """Now, and later than every time before."""
        with self._lock:
            self._last = max(self.clock(), self._last + timedelta(microseconds=1))
            return self._last
