"""Waiting for outcomes in many tasks at once: one reader for all of them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from models.outcomes import Identity
from producers.outcomes import OutcomeReader

_BLOCK = 0.25
"""Seconds that a read may go on after nobody waits any more."""


@dataclass(slots=True)
class Following:
    """Follows the stream of outcomes for as long as somebody waits for one.

    Attributes:
        read_on: a reader of the outcomes from now on; making it may block.
        threads: where it reads.
    """

    read_on: Callable[[], OutcomeReader]
    threads: Executor
    _waiting: dict[Identity, list[asyncio.Future[dict[str, Any]]]] = field(
        default_factory=lambda: defaultdict(list), init=False
    )
    _beginning: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _reading: asyncio.Task[None] | None = field(default=None, init=False)

    @asynccontextmanager
    async def expecting(self, identity: Identity) -> AsyncIterator[asyncio.Future[dict[str, Any]]]:
        """The outcome of a request that is published within the block.

        Raises:
            IntakeUnreachable: the intake does not answer.
        """
        outcome: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[identity].append(outcome)
        try:
            await self._begin()
            yield outcome
        finally:
            self._forget(identity, outcome)

    def _forget(self, identity: Identity, outcome: asyncio.Future[dict[str, Any]]) -> None:
        if not outcome.cancel() and not outcome.cancelled():
            outcome.exception()  # told to nobody, if publishing failed before it was awaited
        waiting = self._waiting.get(identity, [])
        if outcome in waiting:
            waiting.remove(outcome)
        if not waiting:
            self._waiting.pop(identity, None)

    async def _begin(self) -> None:
        async with self._beginning:
            if self._reading is None:
                loop = asyncio.get_running_loop()
                reader = await loop.run_in_executor(self.threads, self.read_on)
                self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: OutcomeReader) -> None:
        loop = asyncio.get_running_loop()
        read = partial(reader.read, block=_BLOCK)
        try:
            with closing(reader):
                while self._waiting:
                    found = await loop.run_in_executor(self.threads, read)
                    for outcome in found:
                        if outcome.identity is not None:
                            self._give(outcome.identity, outcome.data)
        except Exception as error:  # those who wait have to hear of it, not this task
            self._fail(error)
        finally:
            self._reading = None

    def _give(self, identity: Identity, data: dict[str, Any]) -> None:
        for waiting in self._waiting.pop(identity, []):
            if not waiting.done():
                waiting.set_result(data)

    def _fail(self, error: Exception) -> None:
        failed, self._waiting = self._waiting, defaultdict(list)
        for waiting in (each for several in failed.values() for each in several):
            if not waiting.done():
                waiting.set_exception(error)

    async def finish(self) -> None:
        """Wait until nothing is being read any more."""
        if self._reading is not None:
            await asyncio.shield(self._reading)
