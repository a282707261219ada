"""The times of events, which order what one source asks about one incident."""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Times:
    """Times that only go forward, whatever the clock does and however many threads ask."""

    _last: datetime = _LONG_AGO
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> datetime:
        """Now, and later than every time before."""
        with self._lock:
            self._last = max(datetime.now(UTC), self._last + timedelta(microseconds=1))
            return self._last
