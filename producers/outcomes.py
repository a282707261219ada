"""Reading the stream of outcomes (DESIGN 5), from a place noted before publishing."""

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from models.outcomes import Identity

READ_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class PublishedOutcome:
    """One outcome as it stands on the stream.

    Attributes:
        identity: whose it is; None where the message could not prove that.
        entry: the intake entry that was decided. A duplicate's outcome names the first one's.
        data: the outcome event's ``data``.
    """

    identity: Identity | None
    entry: str
    data: dict[str, Any]

    @classmethod
    def read(cls, text: bytes) -> "PublishedOutcome":
        """Read an outcome event."""
        event = orjson.loads(text)
        data = event["data"]
        request = data["request"]
        identity = Identity(request["source"], request["id"]) if "id" in request else None
        return cls(identity, event["entry"], data)


class OutcomeReader(Protocol):
    """Reads on from a position, whatever others read."""

    def read(self, *, block: float = 0.0) -> list[PublishedOutcome]:
        """The outcomes published since the last call; none if there are none.

        Args:
            block: how many seconds to wait where there is none yet; less may be waited.

        Raises:
            IntakeUnreachable: the engine does not answer.
        """

    def close(self) -> None:
        """Give up what it holds for itself, such as a connection."""


def wait_for(
    identities: Iterable[Identity], reader: OutcomeReader, *, timeout: float
) -> Iterator[dict[str, Any]]:
    """Yield the outcome of each request, the first one that *reader* finds, as it comes.

    Args:
        identities: of the requests.
        reader: from the position before they were published; it is closed at the end.
        timeout: seconds after which the iteration ends, with or without all outcomes.
    """
    wanted = set(identities)
    deadline = time.monotonic() + timeout
    with closing(reader):
        while wanted and (left := deadline - time.monotonic()) > 0:
            for outcome in reader.read(block=left):
                if outcome.identity in wanted:
                    wanted.remove(outcome.identity)
                    yield outcome.data
