"""A producer that goes on publishing reports beside a test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.requests import event, report
from tests.support.traffic import Traffic

_AT_ONCE = 100


@dataclass(slots=True)
class Load:
    """Publishes until it is stopped, never leaving the intake too full or empty.

    Attributes:
        ids: of every report that was published.
    """

    traffic: Traffic
    ahead: int
    ids: list[str] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Keep about *ahead* entries waiting."""
        while not self._stopped.wait(0.005):
            if self.traffic.left() < self.ahead:
                fresh = [f"r{len(self.ids) + number}" for number in range(_AT_ONCE)]
                self.traffic.put(*(event("report_incident", report(), id=one) for one in fresh))
                self.ids += fresh

    def stop(self) -> None:
        """Publish no more."""
        self._stopped.set()


@contextmanager
def under_load(traffic: Traffic, *, ahead: int = 2_000) -> Iterator[Load]:
    """Publish beside the test."""
    load = Load(traffic, ahead)
    thread = threading.Thread(target=load.run)
    thread.start()
    try:
        yield load
    finally:
        load.stop()
        thread.join(60)
