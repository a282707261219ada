"""Publishing to the intake, and reading what becomes of it (DESIGN 2); one class an engine."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from models.outcomes import Identity
from models.streams import Lane
from producers.faults import IntakeFull, accepted_so_far, faults_told
from producers.outcomes import OutcomeReader, wait_for
from producers.signed import SignedEvent

INTAKE_LIMIT = 1_000_000
MEMORY_PERCENT = 85
"""How full Redis may be of what its configuration lets it take."""

CHUNK = 500
"""Events in one round trip."""
_CHUNK_BYTES = 8 * 1024 * 1024


class Publisher(ABC):
    """Publishes signed events, whoever signed them.

    Args:
        intake_limit: entries in the intake above which nothing is published.
        memory_percent: the same for the memory that the engine has used: what is there, and its
            outcomes, need some to be decided.
    """

    def __init__(
        self, *, intake_limit: int = INTAKE_LIMIT, memory_percent: int = MEMORY_PERCENT
    ) -> None:
        self._limit = intake_limit
        self._memory_percent = memory_percent
        self._readers: list[OutcomeReader] = []

    def publish(self, events: Iterable[SignedEvent], *, lane: Lane = Lane.URGENT) -> list[str]:
        """Publish *events* in their order, many in one round trip.

        Several publishers that look at the same time may together exceed the limit by a chunk each.

        Returns:
            The intake entry of each.

        Raises:
            IntakeFull: there is no room for the next chunk.
            IntakeUnreachable: the engine does not answer, or takes no writes.
        """
        entries: list[str] = []
        for chunk in _chunks(events):
            with faults_told(entries):
                self._refuse_when_full(len(chunk), entries)
                self._add(chunk, lane, entries)
        return entries

    def _refuse_when_full(self, wanted: int, entries: Sequence[str]) -> None:
        used = self._memory_used()
        if used >= self._memory_percent:
            raise IntakeFull(
                f"The intake is full: its broker has used {used:.0f} % of its memory, of which"
                f" events may take {self._memory_percent} %.{accepted_so_far(entries)}",
                entries,
            )
        held = self._held()
        if held + wanted > self._limit:
            raise IntakeFull(
                f"The intake is full: it holds {held:,} of {self._limit:,} entries."
                f"{accepted_so_far(entries)}",
                entries,
            )

    def _memory_used(self) -> float:
        """How many percent of its memory the engine has used; 0 where it does not tell."""
        return 0.0

    def check_room(self) -> None:
        """Ask whether an event would be taken now.

        Raises:
            IntakeFull: there is no room.
            IntakeUnreachable: the engine does not answer.
        """
        with faults_told():
            self._refuse_when_full(1, ())

    @abstractmethod
    def _held(self) -> int:
        """How many entries the intake holds."""

    @abstractmethod
    def _add(self, chunk: Sequence[SignedEvent], lane: Lane, entries: list[str]) -> None:
        """Publish a chunk, and add to *entries* those that the engine has safely.

        Raises:
            Exception: what the engine's client raises. Of what was not added to *entries* none was
                accepted, or nobody knows.
        """

    def clock(self) -> datetime | None:
        """The time by the engine's clock (UTC); None: it does not tell.

        Raises:
            IntakeUnreachable: the engine does not answer.
        """
        return None

    @abstractmethod
    def position(self) -> str:
        """Where the stream of outcomes stands, to be asked before publishing.

        Raises:
            IntakeUnreachable: the engine does not answer.
        """

    @abstractmethod
    def reader(self, since: str) -> OutcomeReader:
        """A reader of all outcomes published after *since*, closed by whoever asked for it."""

    def outcomes(self, since: str) -> OutcomeReader:
        """A reader of all outcomes that were published after *since*, closed with the publisher."""
        reader = self.reader(since)
        self._readers.append(reader)
        return reader

    def wait(
        self, identities: Iterable[Identity], *, since: str, timeout: float
    ) -> Iterator[dict[str, Any]]:
        """Yield the outcome of each request, the first one published after *since*, as it comes.

        An outcome that its stream no longer keeps does not come; publishing the request once more
        brings it again.

        Args:
            identities: of the requests.
            since: the position before they were published.
            timeout: seconds after which the iteration ends, with or without all outcomes.

        Raises:
            IntakeUnreachable: the engine does not answer.
        """
        return wait_for(identities, self.reader(since), timeout=timeout)

    def close(self) -> None:
        """Close the connections."""
        for reader in self._readers:
            reader.close()


def _chunks(events: Iterable[SignedEvent]) -> Iterator[list[SignedEvent]]:
    """Cut *events* into round trips of a bearable size."""
    chunk: list[SignedEvent] = []
    size = 0
    for event in events:
        if chunk and (len(chunk) == CHUNK or size + len(event.event) > _CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(event)
        size += len(event.event)
    if chunk:
        yield chunk
