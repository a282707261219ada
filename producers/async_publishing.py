"""Publishing for many tasks at once: what they ask for while a round trip runs, goes together."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from producers.faults import PublishFailed
from producers.receipts import SPOOLED
from producers.signed import SignedEvent

_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class _Asked:
    event: SignedEvent
    place: asyncio.Future[str]


@dataclass(slots=True)
class GroupPublishing:
    """Publishes single events from many tasks, in the order in which they were asked for.

    Attributes:
        publish: publishes many, and may block.
        threads: where it runs.
    """

    publish: Callable[[Sequence[SignedEvent]], list[str]]
    threads: Executor
    _asked: deque[_Asked] = field(default_factory=deque, init=False)
    _running: asyncio.Task[None] | None = field(default=None, init=False)

    async def one(self, event: SignedEvent) -> str:
        """Publish *event*; where it is.

        Cancelled before its round trip has begun, it is not published; later it may be.

        Raises:
            PublishFailed: as the client's ``publish`` does.
        """
        asked = _Asked(event, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await asked.place

    async def finish(self) -> None:
        """Wait until everything that was asked for has been tried."""
        if self._running is not None:
            await asyncio.shield(self._running)

    async def _run(self) -> None:
        try:
            while batch := self._next():
                await self._publish(batch)
        finally:
            self._running = None

    def _next(self) -> list[_Asked]:
        count = min(len(self._asked), _AT_ONCE)
        taken = [self._asked.popleft() for _ in range(count)]
        wanted = [each for each in taken if not each.place.cancelled()]
        return wanted if wanted or not self._asked else self._next()

    async def _publish(self, batch: list[_Asked]) -> None:
        loop = asyncio.get_running_loop()
        try:
            places = await loop.run_in_executor(
                self.threads, self.publish, [each.event for each in batch]
            )
        except PublishFailed as error:
            places = [*error.entries, *[SPOOLED] * error.spooled]
            for each in batch[error.accepted :]:
                _fail(each.place, error.of_the_rest())
        except Exception as error:  # whoever asked has to hear of it, not this task
            places = []
            for each in batch:
                _fail(each.place, error)
        for each, place in zip(batch, places, strict=False):  # fewer after a failure
            if not each.place.done():
                each.place.set_result(place)


def _fail(place: asyncio.Future[str], error: Exception) -> None:
    if not place.done():
        place.set_exception(error)
