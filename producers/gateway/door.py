"""The door: who gets a place for a connection, and who has to make room.

A connection is a stranger's until a request on it has proven its source. Strangers have a small
share of the places, and little time from the moment they were accepted, a TLS handshake included.
When their share is full, the oldest of them is closed, of the address that holds most: whoever
means to send something proves itself in a moment, so only those who wait for nothing grow old.
Connections that have proven a source have places of their own, which no stranger takes.
"""

import asyncio
import errno
import ipaddress
import logging
import socket
import ssl
from asyncio import Task, TimerHandle
from collections.abc import Callable
from dataclasses import dataclass, field

from producers.gateway.counted_log import CountedLog

_log = logging.getLogger(__name__)

MOST_PROVEN = 2_000
MOST_STRANGERS = 512
MOST_STRANGERS_OF_ONE = 256
"""Of one address; of IPv6, of one network of 64 bits, which one sender may have to itself."""
STRANGER_SECONDS = 10.0
"""From the moment it was accepted until a request has proven a source."""

_AT_ONCE = 16
"""Accepted before the loop looks after the others again."""
_PAUSE_SECONDS = 0.1
"""When the system gives out no more descriptors."""
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class NoRoom(Exception):
    """Every place for proven senders is taken by one that is at work."""


@dataclass(eq=False, slots=True)
class Connection:
    """One connection, from its acceptance to its end.

    Attributes:
        peer: whose it is, as far as the address says.
        transport: None until a TLS handshake is done.
        is_busy: whether a request on it is worked on.
    """

    door: "Door"
    peer: str
    transport: asyncio.Transport | None = None
    is_busy: Callable[[], bool] = field(default=lambda: False)
    is_over: bool = False
    _deadline: TimerHandle | None = None
    _handing_over: Task[None] | None = None

    def made(self, transport: asyncio.Transport, is_busy: Callable[[], bool]) -> None:
        """Bytes can be exchanged from now on."""
        self.transport, self.is_busy = transport, is_busy
        if self.is_over:
            transport.abort()

    def prove(self) -> None:
        """A request on it has a valid credential.

        Raises:
            NoRoom: there are too many proven ones, and none of them is idle.
        """
        self.door.prove(self)

    def abort(self) -> None:
        """Close it at once, whatever is under way."""
        self.end()
        if self.transport is not None:
            self.transport.abort()
        elif self._handing_over is not None:
            self._handing_over.cancel()

    def end(self) -> None:
        """It is closed: give its place back."""
        self.is_over = True
        self.stop_waiting()
        self.door.forget(self)

    def wait_for_proof(self, handing_over: Task[None]) -> None:
        """Give it its time, handshake included."""
        self._handing_over = handing_over
        loop = handing_over.get_loop()
        self._deadline = loop.call_later(STRANGER_SECONDS, self._is_late)

    def stop_waiting(self) -> None:
        """It has proven itself, or is gone."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _is_late(self) -> None:
        self.door.log.count("closed without a credential in time")
        self.abort()


@dataclass(slots=True)
class Places:
    """The places, and who has them, the oldest first."""

    most_proven: int = MOST_PROVEN
    most_strangers: int = MOST_STRANGERS
    strangers: dict[str, dict[Connection, None]] = field(default_factory=dict)
    proven: dict[Connection, None] = field(default_factory=dict)
    count: int = 0

    def who_makes_room(self, peer: str) -> Connection | None:
        """Which stranger has to go before one more of *peer* comes, if one has."""
        own = self.strangers.get(peer, {})
        if len(own) >= MOST_STRANGERS_OF_ONE:
            return next(iter(own))
        return self.oldest_stranger() if self.count >= self.most_strangers else None

    def oldest_stranger(self) -> Connection | None:
        """The oldest one of the address that holds most."""
        if not self.strangers:
            return None
        fullest = max(self.strangers.values(), key=len)
        return next(iter(fullest))

    def take(self, stranger: Connection) -> None:
        """Give a stranger a place."""
        self.strangers.setdefault(stranger.peer, {})[stranger] = None
        self.count += 1

    def leave(self, connection: Connection) -> None:
        """Give its place back, whichever it has."""
        self.proven.pop(connection, None)
        own = self.strangers.get(connection.peer, {})
        if connection in own:
            del own[connection]
            self.count -= 1
            if not own:
                del self.strangers[connection.peer]

    def longest_idle(self) -> Connection | None:
        """The proven one that has been without a request for longest."""
        return next((each for each in self.proven if not each.is_busy()), None)


class Door:
    """Accepts connections from a listening socket, and bounds them.

    Args:
        listening: where they come from; closed with the door.
        serve: makes the protocol that a connection is served with.
        context: for TLS.
        places: how many there are.
    """

    def __init__(
        self,
        listening: socket.socket,
        serve: Callable[[Connection], asyncio.Protocol],
        context: ssl.SSLContext | None,
        places: Places,
    ) -> None:
        self.log = CountedLog(_log, "Connections")
        self._listening = listening
        self._serve = serve
        self._context = context
        self._places = places
        self._loop = asyncio.get_running_loop()
        self._pause: TimerHandle | None = None
        listening.setblocking(False)
        self._resume()

    def close(self) -> None:
        """Accept nothing any more, and end what is still at its handshake."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()
        for own in list(self._places.strangers.values()):
            for stranger in [each for each in own if each.transport is None]:
                stranger.abort()
        self.log.close()

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, address = self._listening.accept()
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    self._make_descriptors()
                return
            accepted.setblocking(False)
            self._welcome(accepted, _peer(address[0]))

    def _make_descriptors(self) -> None:
        """The listening socket would be told of again and again while there is none."""
        self.log.count("waiting because the process may open no more files")
        self._loop.remove_reader(self._listening)
        self._pause = self._loop.call_later(_PAUSE_SECONDS, self._resume)
        oldest = self._places.oldest_stranger()
        if oldest is not None:
            oldest.abort()

    def _welcome(self, accepted: socket.socket, peer: str) -> None:
        last = self._places.who_makes_room(peer)
        if last is not None:
            self.log.count("closed without a credential, to make room for newer ones")
            last.abort()
        connection = Connection(self, peer)
        self._places.take(connection)
        task = self._loop.create_task(self._hand_over(connection, accepted))
        connection.wait_for_proof(task)
        task.add_done_callback(lambda _: _close_if_not_served(connection, accepted))

    async def _hand_over(self, connection: Connection, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._serve(connection), accepted, ssl=self._context
            )
        except OSError:  # of TLS, too
            self.log.count("closed at the TLS handshake")

    def prove(self, connection: Connection) -> None:
        """Give *connection* a place among the proven ones, or the newest of them.

        Raises:
            NoRoom: there are too many, and none of them is idle.
        """
        places = self._places
        if connection.is_over:
            return
        if connection not in places.proven and len(places.proven) >= places.most_proven:
            idle = places.longest_idle()
            if idle is None:
                self.log.count("refused, with too many proven ones at work")
                raise NoRoom("Too many connections are at work.")
            self.log.count("closed when idle, to make room for other proven ones")
            idle.abort()
        connection.stop_waiting()
        places.leave(connection)
        places.proven[connection] = None

    def forget(self, connection: Connection) -> None:
        """It is gone."""
        self._places.leave(connection)


def _close_if_not_served(connection: Connection, accepted: socket.socket) -> None:
    if connection.transport is None:
        connection.end()
        accepted.close()


def _peer(host: str) -> str:
    """The address, or of IPv6 its network of 64 bits."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped or ipaddress.IPv6Address(int(address) >> 64 << 64))
    return host
