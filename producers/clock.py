"""The clock that several gateways share, whatever each machine's own says."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

_log = logging.getLogger(__name__)

_EVERY = 10.0
"""Seconds from one question to the next."""
_LONGEST_TRIP = 1.0
"""Seconds; an answer that took longer tells too little."""
_FIRST_WITHIN = 2.0
"""Seconds to wait for the first answer before doing without."""
_WORTH_TELLING = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Told:
    """What the time was, at one moment of this process."""

    moment: datetime
    at: float


@dataclass(slots=True)
class SharedClock:
    """Goes by a clock that others go by, too, and between two questions by the time that passes.

    A jump of this machine's own clock does not move it. While nobody answers it goes on from the
    last answer; until the first one, and where there is nobody to ask, it is this machine's.

    Attributes:
        ask: says what time it is; gives None, or is None, where there is no clock to share.
    """

    ask: Callable[[], datetime | None] | None = None
    _told: _Told | None = field(default=None, init=False)
    _differs: bool = field(default=False, init=False)
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def now(self) -> datetime:
        """The time (UTC)."""
        told = self._told
        if told is None:
            return datetime.now(UTC)
        return told.moment + timedelta(seconds=time.monotonic() - told.at)

    def __enter__(self) -> Self:
        """Ask from now on, and wait a moment for the first answer."""
        if self.ask is not None:
            first = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(self.ask, first), name="andon-clock", daemon=True
            )
            self._thread.start()
            first.wait(_FIRST_WITHIN)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ask no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_LONGEST_TRIP)

    def _run(self, ask: Callable[[], datetime | None], first: threading.Event) -> None:
        while not self._stop.is_set():
            try:
                self._measure(ask)
            except Exception as error:  # whoever is asked is away: it tells of itself elsewhere
                _log.debug("The shared clock cannot be asked (%s)", type(error).__name__)
            first.set()
            self._stop.wait(_EVERY)

    def _measure(self, ask: Callable[[], datetime | None]) -> None:
        began = time.monotonic()
        moment = ask()
        ended = time.monotonic()
        if moment is not None and ended - began <= _LONGEST_TRIP:
            self._told = _Told(moment, (began + ended) / 2)
            self._tell(datetime.now(UTC) - moment)

    def _tell(self, ahead: timedelta) -> None:
        """Say once that this machine's clock differs, and once that it does not any more."""
        differs = abs(ahead) > _WORTH_TELLING
        if differs and not self._differs:
            _log.warning(
                "This machine's clock is %.1f s %s the shared one, by which alerts are dated",
                abs(ahead.total_seconds()),
                "ahead of" if ahead > timedelta(0) else "behind",
            )
        elif self._differs and not differs:
            _log.info("This machine's clock agrees with the shared one again")
        self._differs = differs
