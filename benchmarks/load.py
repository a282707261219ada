"""Publishing so cheaply that the publisher is not what is measured: packed before the clock starts.

With two cores, whoever feeds the worker takes from it. So events are made, signed and written as
Redis commands beforehand; what is left is to send bytes and to read the replies.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import redis

from models.chunks import chunks
from models.streams import EVENT, KEY, SIGNATURE, Lane, StreamNames
from producers.publisher import CHUNK
from producers.signed import SignedEvent


@dataclass(frozen=True, slots=True)
class Chunk:
    """One MULTI, as bytes.

    Attributes:
        replies: how many answers it gets.
    """

    requests: int
    replies: int
    packed: Sequence[bytes]


class Feed:
    """A connection to the intake that sends what was packed.

    Args:
        client: of the intake's Redis.
        names: its streams.
    """

    def __init__(self, client: redis.Redis, names: StreamNames) -> None:
        self._names = names
        self._pool = client.connection_pool
        self._connection: Any = self._pool.get_connection()

    def pack(
        self, events: Iterable[SignedEvent], *, lane: Lane = Lane.URGENT, at_once: int = CHUNK
    ) -> Iterator[Chunk]:
        """Pack *events* as the client publishes them, *at_once* in one MULTI."""
        return (self._pack(chunk, lane) for chunk in chunks(events, at_once))

    def _pack(self, events: Sequence[SignedEvent], lane: Lane) -> Chunk:
        stream = self._names.intake(lane)
        commands: list[tuple[object, ...]] = [
            ("MULTI",),
            *(
                ("XADD", stream, "*", EVENT, e.event, KEY, e.key_id, SIGNATURE, e.signature)
                for e in events
            ),
            ("EXEC",),
        ]
        packed = self._connection.pack_commands(commands)
        return Chunk(len(events), len(commands), packed)

    def send(self, chunk: Chunk) -> None:
        """Publish a chunk; it is accepted when this returns."""
        self._connection.send_packed_command(chunk.packed)
        for _ in range(chunk.replies):
            self._connection.read_response()

    def close(self) -> None:
        """Give up the connection."""
        self._pool.release(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
