"""Log lines for what strangers can cause as often as they like: one a minute, with the counts."""

import logging
import threading
from collections import Counter

EVERY_SECONDS = 60.0


class CountedLog:
    """Counts what happens, and logs the counts: the first time at once, then once an interval.

    Threads may share one.

    Args:
        log: where the lines go, as warnings.
        about: what all of it is about, which begins each line.
        every: seconds between two lines.
    """

    def __init__(self, log: logging.Logger, about: str, *, every: float | None = None) -> None:
        self._log = log
        self._about = about
        self._every = EVERY_SECONDS if every is None else every
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._pause: threading.Timer | None = None

    def count(self, what: str) -> None:
        """Note that *what* has happened once more; it is one of a few texts of ours."""
        with self._lock:
            self._counts[what] += 1
            if self._pause is None:
                self._write()

    def flush(self) -> None:
        """Log what was counted since the last line, if anything was."""
        with self._lock:
            if self._pause is not None:
                self._pause.cancel()
                self._pause = None
            if self._counts:
                self._write()

    def _write(self) -> None:
        told = "; ".join(f"{what}: {count:,}" for what, count in sorted(self._counts.items()))
        self._counts.clear()
        self._log.warning("%s: %s", self._about, told)
        self._pause = threading.Timer(self._every, self.flush)
        self._pause.daemon = True
        self._pause.start()

    def close(self) -> None:
        """Log what is left, and stop."""
        self.flush()
        with self._lock:
            if self._pause is not None:
                self._pause.cancel()
                self._pause = None
