"""What can go wrong between a producer and the intake."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import redis

from models.rabbitmq import BROKER_FAULTS, Rejected, Unroutable


class PublishFailed(Exception):
    """Not everything was accepted.

    The events that were, are the first ``len(entries) + spooled``.

    Attributes:
        entries: the intake entries of those that the intake has.
        spooled: how many more are in the client's spool; 0 where it has none.
    """

    def __init__(self, message: str, entries: Sequence[str] = (), *, spooled: int = 0) -> None:
        self.entries = list(entries)
        self.spooled = spooled
        super().__init__(message)

    def after(self, entries: Sequence[str], *, spooled: int = 0) -> Self:
        """The same failure, of a longer publication.

        Args:
            entries: what the intake had accepted before.
            spooled: how much the spool had.
        """
        entries = [*entries, *self.entries]
        spooled += self.spooled
        text = f"{self.reason}{accepted_so_far(entries, spooled)}"
        return type(self)(text, entries, spooled=spooled)

    @property
    def accepted(self) -> int:
        """How many of the events were."""
        return len(self.entries) + self.spooled

    def of_the_rest(self) -> Self:
        """The same failure, as those see it who had published nothing but what was not accepted."""
        return type(self)(f"{self.reason}{accepted_so_far(())}")

    @property
    def reason(self) -> str:
        """What happened, without how many of the events were accepted."""
        return str(self).removesuffix(accepted_so_far(self.entries, self.spooled))


class IntakeFull(PublishFailed):
    """The intake has no room; no event after those accepted was published."""


class IntakeUnreachable(PublishFailed):
    """The intake did not answer; an event after those accepted may have arrived all the same.

    Publishing it again is harmless: the second one is a duplicate.
    """


class SpoolFull(PublishFailed):
    """Neither the intake nor the spool has room; no event after those accepted is kept anywhere."""


class SpoolUnusable(PublishFailed):
    """The spool cannot be read or written: it is damaged, foreign, held too long, or gone."""


@contextmanager
def faults_told(entries: Sequence[str] | None = None) -> Iterator[None]:
    """Tell what an engine fails with, without the URL, which holds a password.

    Args:
        entries: what has been accepted so far, where something is being published.
    """
    try:
        yield
    except redis.OutOfMemoryError as error:
        text = f"The intake is full: Redis has no memory left.{accepted_so_far(entries)}"
        raise IntakeFull(text, entries or ()) from error
    except Rejected as error:
        text = f"The intake is full: RabbitMQ has no room.{accepted_so_far(entries)}"
        raise IntakeFull(text, entries or ()) from error
    except Unroutable as error:
        text = f"The intake is out of reach: it has no such queue.{accepted_so_far(entries)}"
        raise IntakeUnreachable(text, entries or ()) from error
    except (redis.RedisError, *BROKER_FAULTS) as error:
        text = f"The intake is out of reach ({error}).{accepted_so_far(entries)}"
        raise IntakeUnreachable(text, entries or ()) from error


def accepted_so_far(entries: Sequence[str] | None, spooled: int = 0) -> str:
    """How much was published, as the end of a message."""
    if entries is None:
        return ""
    match len(entries) + spooled:
        case 0:
            return " Nothing was accepted."
        case count:
            spool = f", {spooled:,} of them into the spool" if spooled else ""
            return f" {count:,} events were accepted{spool}."
