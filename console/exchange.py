"""Sending lines and reading their outcomes at the same time."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from console.request_lines import Line
from console.settlement import Sent, Settlement
from models.chunks import chunks
from models.streams import Lane
from producers.faults import PublishFailed
from producers.outcomes import OutcomeReader
from producers.publisher import CHUNK, Publisher


@dataclass(slots=True)
class Exchange:
    """Publishes lines and, if asked to, waits for what becomes of them.

    Attributes:
        failure: why not every line was published, or not every outcome read.
        accepted: how many lines were published.
        is_all_sent: whether that is all of them. If not, the intake may have taken some more, of
            which it is not known.
    """

    publisher: Publisher
    lane: Lane
    failure: PublishFailed | None = field(default=None, init=False)
    accepted: int = field(default=0, init=False)
    is_all_sent: bool = field(default=False, init=False)
    _settlement: Settlement = field(default_factory=Settlement, init=False)

    def send(self, lines: Iterable[Line]) -> Iterator[Sent]:
        """Publish *lines* until that fails; what was accepted, as it is."""
        for chunk in chunks(lines, CHUNK):
            try:
                entries = self.publisher.publish((line.signed for line in chunk), lane=self.lane)
            except PublishFailed as failure:
                self.failure, entries = failure, failure.entries
            self.accepted += len(entries)
            yield from map(Sent, chunk, entries)
            if self.failure is not None:
                return
        self.is_all_sent = True

    def outcomes(self, lines: Iterable[Line], *, timeout: float) -> Iterator[dict[str, Any]]:
        """Publish *lines*, and yield their outcomes in the order of the lines.

        Outcomes are read while later lines are still sent, so that none is trimmed away unread.

        Args:
            lines: what to send.
            timeout: seconds to wait after the last line was sent.
        """
        settlement = self._settlement
        try:
            reader = self.publisher.outcomes(self.publisher.position())
            for count, sent in enumerate(self.send(lines), start=1):
                settlement.add(sent)
                if count % CHUNK == 0:
                    yield from _came(reader, settlement)
            deadline = time.monotonic() + timeout
            while not settlement.is_complete and (left := deadline - time.monotonic()) > 0:
                yield from _came(reader, settlement, block=left)
        except PublishFailed as failure:
            self.failure = failure
        yield from settlement.behind()

    @property
    def missing(self) -> list[Sent]:
        """Published lines that have no outcome, in order."""
        return self._settlement.missing


def _came(
    reader: OutcomeReader, settlement: Settlement, *, block: float = 0.0
) -> Iterator[dict[str, Any]]:
    for outcome in reader.read(block=block):
        settlement.take(outcome)
    yield from settlement.in_order()
