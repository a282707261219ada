"""How much the gateway works on at once, so that an onrush does not fill its memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MOST_AT_ONCE = 1_000
MOST_BODY_BYTES = 128 * 1024 * 1024
"""Of all requests under way together."""


class Overloaded(Exception):
    """As much is under way as the gateway works on at once."""


@dataclass(slots=True)
class Admission:
    """Counts the requests under way, and the bytes of their bodies."""

    most: int = MOST_AT_ONCE
    most_bytes: int = MOST_BODY_BYTES
    under_way: int = 0
    held: int = 0

    @contextmanager
    def admitted(self) -> Iterator["Place"]:
        """One request, while it is worked on.

        Raises:
            Overloaded: there are too many already.
        """
        if self.under_way >= self.most:
            raise Overloaded(f"{self.most:,} requests are under way.")
        place = Place(self)
        self.under_way += 1
        try:
            yield place
        finally:
            self.under_way -= 1
            self.held -= place.held


@dataclass(slots=True)
class Place:
    """What one request takes up."""

    admission: Admission
    held: int = 0

    def hold(self, count: int) -> None:
        """Take up *count* more bytes, until the request is answered.

        Raises:
            Overloaded: all requests together would hold too many.
        """
        if self.admission.held + count > self.admission.most_bytes:
            raise Overloaded(f"{self.admission.held:,} bytes of bodies are under way.")
        self.held += count
        self.admission.held += count
