"""How much the gateway works on at once, so that an onrush does not fill its memory.

A request is a stranger's until its credential was found valid. Strangers' requests have places of
their own: when these are taken, the oldest of them is given up with its connection.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from producers.gateway.door import Connection, NoRoom

MOST_AT_ONCE = 1_000
MOST_BODY_BYTES = 128 * 1024 * 1024
"""Of all requests under way together."""
MOST_STRANGERS = 512
MOST_STRANGERS_BYTES = 16 * 1024 * 1024


class Overloaded(Exception):
    """As much is under way as the gateway works on at once."""


@dataclass(eq=False, slots=True)
class Place:
    """What one request takes up."""

    admission: "Admission"
    connection: Connection
    held: int = 0
    is_proven: bool = False

    def hold(self, count: int) -> None:
        """Take up *count* more bytes, until the request is answered.

        Raises:
            Overloaded: all requests together would hold too many.
        """
        self.admission.hold(self, count)

    def prove(self) -> None:
        """The request has a valid credential.

        Raises:
            Overloaded: too many that have one are under way.
        """
        if not self.is_proven:
            self.admission.prove(self)


@dataclass(slots=True)
class Admission:
    """Counts the requests under way, and the bytes of their bodies."""

    most: int = MOST_AT_ONCE
    most_bytes: int = MOST_BODY_BYTES
    most_strangers: int = MOST_STRANGERS
    most_strangers_bytes: int = MOST_STRANGERS_BYTES
    under_way: int = 0
    held: int = 0
    strangers: dict[Place, None] = field(default_factory=dict)
    strangers_held: int = 0

    @contextmanager
    def admitted(self, connection: Connection) -> Iterator[Place]:
        """One request, while it is worked on; a stranger's at first."""
        if len(self.strangers) >= self.most_strangers:
            self._give_up_oldest()
        place = Place(self, connection)
        self.strangers[place] = None
        try:
            yield place
        finally:
            self._leave(place)

    def hold(self, place: Place, count: int) -> None:
        """Take up *count* more bytes for the request of *place*; see :meth:`Place.hold`."""
        if place.is_proven:
            if self.held + count > self.most_bytes:
                raise Overloaded(f"{self.held:,} bytes of bodies are under way.")
            self.held += count
        elif place in self.strangers:
            while self.strangers_held + count > self.most_strangers_bytes:
                if self._give_up_oldest() is place:
                    return
            self.strangers_held += count
        place.held += count

    def prove(self, place: Place) -> None:
        """Move *place* to those with a credential; see :meth:`Place.prove`."""
        if self.under_way >= self.most or self.held + place.held > self.most_bytes:
            raise Overloaded(f"{self.under_way:,} requests are under way.")
        try:
            place.connection.prove()
        except NoRoom as error:
            raise Overloaded(str(error)) from None
        held = place.held
        self._leave(place)
        place.is_proven, place.held = True, held
        self.under_way += 1
        self.held += held

    def _give_up_oldest(self) -> Place:
        oldest = next(iter(self.strangers))
        oldest.connection.door.log.count("closed with an unproven request, to make room for others")
        oldest.connection.abort()
        self._leave(oldest)
        return oldest

    def _leave(self, place: Place) -> None:
        if place.is_proven:
            self.under_way -= 1
            self.held -= place.held
        elif place in self.strangers:
            del self.strangers[place]
            self.strangers_held -= place.held
        place.held = 0
