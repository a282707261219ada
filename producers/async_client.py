"""The client for asyncio: the same client, its round trips in threads of its own.

The engines' own clients stay the ones that the fault harness kills (redis-py and amqp, both
blocking); what asyncio adds is that calls of many tasks share a round trip.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from typing_extensions import Unpack, override

from models.results import Done, Halted, read_outcome
from models.streams import Lane
from producers.async_following import Following
from producers.async_publishing import GroupPublishing
from producers.client import Client, NoOutcome
from producers.procedures import Procedures, RequestOptions
from producers.receipts import Receipt, identity_of
from producers.signed import SignedEvent

_THREADS = 3
"""One publishes for single calls, one for :meth:`AsyncClient.publish`, one reads outcomes."""


class AsyncClient(Procedures[Coroutine[Any, Any, Receipt]]):
    """Publishes the requests of one source from a running event loop, which it never blocks.

    Each typed method is awaited. Calls of several tasks at the same time go in one round trip, in
    the order in which they were made; one call after another takes a round trip each.

    A call that is cancelled may have been published or not: ask again under the same id.

    Args:
        client: does the work, and is closed with this one. Its spool and lane count here too;
            ``with client.forwarding()`` around the block forwards what is spooled.
    """

    def __init__(self, client: Client) -> None:
        self.requests = client.requests
        self._client = client
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="andon-client")
        self._single = GroupPublishing(client.publish, self._threads)
        self._following = Following(client.read_on, self._threads)

    @override
    async def _ask(
        self, procedure: str, data: Mapping[str, object], **options: Unpack[RequestOptions]
    ) -> Receipt:
        return await self._publish_one(self.requests._ask(procedure, data, **options))

    async def _publish_one(self, event: SignedEvent) -> Receipt:
        return Receipt(identity_of(event), await self._single.one(event))

    async def publish(
        self, events: Iterable[SignedEvent], *, lane: Lane | None = None
    ) -> list[str]:
        """Publish *events* in their order; see :meth:`Client.publish`.

        Raises:
            PublishFailed: as there; it says how many were accepted.
        """
        every = list(events)
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: self._client.publish(every, lane=lane)
        )

    def waiting(self, *, timeout: float = 60.0) -> "AsyncWaiting":
        """The typed methods, each of which waits for its outcome.

        Args:
            timeout: seconds after which a call raises :class:`NoOutcome`.
        """
        return AsyncWaiting(self, timeout)

    async def _outcome(self, event: SignedEvent, timeout: float) -> Done | Halted:
        async with self._following.expecting(identity_of(event)) as outcome:
            receipt = await self._publish_one(event)
            try:
                return read_outcome(await asyncio.wait_for(outcome, timeout))
            except TimeoutError:
                raise NoOutcome(receipt, timeout) from None

    async def close(self) -> None:
        """Wait for what is being published, and close the client."""
        try:
            await self._single.finish()
            await self._following.finish()
        finally:
            self._threads.shutdown(wait=False)
            self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


@dataclass(frozen=True, slots=True)
class AsyncWaiting(Procedures[Coroutine[Any, Any, Done | Halted]]):
    """The typed methods, which wait: see :meth:`AsyncClient.waiting`."""

    _client: AsyncClient
    _timeout: float

    @override
    async def _ask(
        self, procedure: str, data: Mapping[str, object], **options: Unpack[RequestOptions]
    ) -> Done | Halted:
        event = self._client.requests._ask(procedure, data, **options)
        return await self._client._outcome(event, self._timeout)
