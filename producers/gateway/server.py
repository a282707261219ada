"""Serving the application over HTTP: uvicorn, with the limits that it does not have itself."""

import asyncio
import contextlib
import logging
import resource
import signal
import socket
from asyncio import TimerHandle, Transport
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from typing_extensions import override
from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from producers.gateway.door import MOST_PROVEN, MOST_STRANGERS, Connection, Door, Places

_log = logging.getLogger(__name__)

MAX_HEADER_BYTES = 32 * 1024
HEADER_SECONDS = 10.0
"""From a request's first byte, or from the connection, to the end of its headers."""
KEEP_ALIVE_SECONDS = 75
WRITE_SECONDS = 20.0
"""For which a sender may leave its answers unread."""
STOP_SECONDS = 30
"""For what is under way when the gateway is asked to stop."""
MOST_PIPELINED = 64
"""Requests of one connection that wait for the answer of the one before."""
OTHER_FILES = 256
"""Descriptors that are no sender's: of the intake, the spool, PostgreSQL and the process itself."""
_MALFORMED = "Invalid HTTP request received."


class TooManyPipelined(Exception):
    """More requests came behind one another than are kept; the parser stops, and answers 400."""


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP with limits on the size and the time of headers, for a connection of the door.

    Requests find the connection in their state, to prove it.

    A connection on which nothing is worked on has some timer at any time: uvicorn's own, between
    two requests, ends with the first byte, which need not begin a request.

    The parser tells of a header when it is complete and keeps it until then, in memory, as it does
    with those that may follow a chunked body. So what it has been given since it last told of
    anything is counted as well.
    """

    door_connection: Connection
    _deadline: TimerHandle | None = None
    _unread: TimerHandle | None = None
    _cycles: tuple[RequestResponseCycle, ...] = ()
    """Those that are not answered; uvicorn tells the last one alone that the connection is lost."""
    _header_bytes: int = 0
    _untold_bytes: int = 0

    @override
    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # uvicorn's
        super().connection_made(transport)
        self._expect_headers()
        self.door_connection.made(transport, self._is_working)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.door_connection.end()
        self._headers_are_there()
        self.resume_writing()
        for cycle in self._cycles:
            cycle.disconnected = not cycle.response_complete
        super().connection_lost(exc)

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    @override
    def data_received(self, data: bytes) -> None:
        self._untold_bytes += len(data)
        super().data_received(data)
        if self._untold_bytes > MAX_HEADER_BYTES:
            self.transport.close()
        elif self._deadline is None and not self._is_working():
            self._expect_headers()

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["connection"] = self.door_connection
        self._header_bytes = self._untold_bytes = 0
        self._expect_headers()

    @override
    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(url)

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(name, value)

    @override
    def on_headers_complete(self) -> None:
        self._untold_bytes = 0
        self._headers_are_there()
        if self.parser.should_upgrade():
            # The parser leaves out the body then, and what comes behind it would be lost as well.
            self.send_400_response("This is HTTP/1.1 alone: send it without Upgrade.")
        else:
            if len(self.pipeline) >= MOST_PIPELINED:
                raise TooManyPipelined
            super().on_headers_complete()
            under_way = (cycle for cycle in self._cycles if not cycle.response_complete)
            self._cycles = (*under_way, self.cycle)

    @override
    def _unsupported_upgrade_warning(self) -> None:
        """Whoever asks is told; it would be logged for each."""

    @override
    def send_400_response(self, msg: str) -> None:
        """Counted, where uvicorn would log each."""
        self.door_connection.door.log.count("sent malformed HTTP")
        super().send_400_response(msg)

    @override
    def on_body(self, body: bytes) -> None:
        self._untold_bytes = 0
        super().on_body(body)

    def on_chunk_header(self) -> None:
        """A chunk of the body begins, or those are over."""
        self._untold_bytes = 0

    @override
    def on_message_complete(self) -> None:
        self._untold_bytes = 0
        if not self.transport.is_closing():
            super().on_message_complete()

    def _is_working(self) -> bool:
        """Whether a request is there that is not answered."""
        return bool(self.cycle) and not self.cycle.response_complete

    def _expect_headers(self) -> None:
        self._headers_are_there()
        self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _headers_are_there(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _count(self, *parts: bytes) -> None:
        self._untold_bytes = 0
        self._header_bytes += sum(map(len, parts))
        if self._header_bytes > MAX_HEADER_BYTES:
            self.transport.close()


class _Server(Server):
    """Lets the door accept what uvicorn serves.

    It ends with success when it was asked to stop, and says when it can be reached.
    """

    def __init__(self, config: Config, places: Places) -> None:
        super().__init__(config)
        self._places = places
        self._doors: list[Door] = []

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        for each in sockets or ():
            self._doors.append(Door(each, self._serve_one, self.config.ssl, self._places))
            scheme = "https" if self.config.is_ssl else "http"
            _log.info("The gateway is ready at %s://%s", scheme, _place_of(each))

    def _serve_one(self, connection: Connection) -> LimitedProtocol:
        protocol = LimitedProtocol(self.config, self.server_state, self.lifespan.state)
        protocol.door_connection = connection
        return protocol

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for door in self._doors:
            door.close()
        await super().shutdown([])

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def _place_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the gateway proves itself with to its senders: two PEM files."""

    chain: Path
    key: Path


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections; 0 lets the system choose the port.

    Raises:
        OSError: the address is taken, or none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def serve(
    app: Starlette,
    listening: socket.socket,
    certificate: Certificate | None,
    *,
    turned: Callable[[], None],
) -> None:
    """Answer until SIGTERM or SIGINT; what is under way then is finished first.

    Args:
        app: what answers.
        listening: takes the connections.
        certificate: for TLS; without one, plain HTTP.
        turned: called once a second by the event loop, for as long as that turns.

    Raises:
        OSError: the certificate cannot be read, or does not belong to its key.
    """

    async def notify() -> None:
        turned()

    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(lambda record: record.msg != _MALFORMED)
    config = Config(
        app,
        http=HttpToolsProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        callback_notify=notify,
        timeout_notify=1,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        ssl_certfile=None if certificate is None else certificate.chain,
        ssl_keyfile=None if certificate is None else certificate.key,
    )
    config.load()
    _Server(config, _places()).run(sockets=[listening])


def _places() -> Places:
    """As many as there are to be, or as the process may open files for."""
    wanted = MOST_PROVEN + MOST_STRANGERS + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    if files == wanted:
        return Places()
    left = max(2, files - OTHER_FILES)
    strangers = min(MOST_STRANGERS, left // 2)
    _log.warning(
        "The gateway may open %d files, and has places for %d connections instead of %d:"
        " raise its limit of open files to %d",
        *(files, left, MOST_PROVEN + MOST_STRANGERS, wanted),
    )
    return Places(most_proven=left - strangers, most_strangers=strangers)
