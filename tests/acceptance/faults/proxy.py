"""A TCP proxy: its connections are dropped, stalled, refused or torn, and its replies get lost.

It knows nothing of what it carries. It runs in a thread of its own.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

LOOPBACK = "127.0.0.1"
_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: a port of a host, or a unix socket."""

    host: str = LOOPBACK
    port: int = 0
    path: Path | None = None


@dataclass(slots=True, eq=False)
class _Link:
    """A client's connection, and the one to the server that was opened for it."""

    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def abort(self) -> None:
        """Cut both at once; what was on its way is lost."""
        for writer in self.writers:
            writer.transport.abort()


class Proxy:
    """Carries every connection to one server.

    Args:
        server: where to; asked anew for each connection.
    """

    def __init__(self, server: Callable[[], Address]) -> None:
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._links: set[_Link] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self._later = 0.0
        self._losing: set[_Link] = set()
        self._tearing: set[_Link] = set()
        self._listening: asyncio.Server | None = None

    def start(self) -> int:
        """Begin to listen; the port."""
        self._thread.start()
        return self._run(self._listen()).result(10)

    def stop(self) -> None:
        """Cut everything and listen no more."""
        self._run(self._close()).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def drop(self) -> None:
        """Cut all connections."""
        self._soon(self._drop)

    def lose_replies(self) -> None:
        """Cut each connection when its server replies next: what was asked is done, unheard."""
        self._soon(lambda: self._losing.update(self._links))

    def tear(self) -> None:
        """Cut each connection in the middle of what its client sends next."""
        self._soon(lambda: self._tearing.update(self._links))

    def stall(self) -> None:
        """Let nothing through, in either direction, until `flow`."""
        self._soon(self._flowing.clear)

    def flow(self) -> None:
        """Let everything through."""
        self._soon(self._flowing.set)

    def slow_down(self, seconds: float = 0.0) -> None:
        """Let each reply come so much later; at once again by default."""
        self._later = seconds

    def refuse(self) -> None:
        """Cut all connections and accept none until `accept`."""
        self._soon(self._refuse)

    def accept(self) -> None:
        """Accept connections."""
        self._soon(self._accept)

    def heal(self) -> None:
        """Let everything through, to everybody, whole and at once."""
        self.slow_down()
        for change in (self._flowing.set, self._accept, self._losing.clear, self._tearing.clear):
            self._soon(change)

    def _soon(self, change: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(change)

    def _run(self, work: Coroutine[object, object, int]) -> Future[int]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _drop(self) -> None:
        for link in self._links:
            link.abort()

    def _refuse(self) -> None:
        self._refusing = True
        self._drop()

    def _accept(self) -> None:
        self._refusing = False

    async def _listen(self) -> int:
        self._listening = await asyncio.start_server(self._carry, LOOPBACK, 0)
        port: int = self._listening.sockets[0].getsockname()[1]
        return port

    async def _close(self) -> int:
        assert self._listening is not None
        self._listening.close()
        self._flowing.set()
        count = len(self._links)
        self._drop()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), 5)
        return count

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link([writer])
        self._links.add(link)
        try:
            if not self._refusing:
                await self._connect(link, reader, writer)
        except OSError:
            pass  # the server is away, or one side is gone: so is the other
        finally:
            link.abort()
            self._links.discard(link)
            self._losing.discard(link)
            self._tearing.discard(link)

    async def _connect(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        address = self._server()
        if address.path is not None:
            from_server, to_server = await asyncio.open_unix_connection(address.path)
        else:
            from_server, to_server = await asyncio.open_connection(address.host, address.port)
        link.writers.append(to_server)
        there = asyncio.create_task(self._pump(link, reader, to_server, replies=False))
        back = asyncio.create_task(self._pump(link, from_server, writer, replies=True))
        _, pending = await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(there, back, return_exceptions=True)

    async def _pump(
        self,
        link: _Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        replies: bool,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_AT_ONCE):
                await self._flowing.wait()
                if replies and self._later:
                    await asyncio.sleep(self._later)
                if replies and link in self._losing:
                    return
                if not replies and link in self._tearing:
                    writer.write(data[: len(data) // 2])
                    await writer.drain()
                    return
                writer.write(data)
                await writer.drain()
