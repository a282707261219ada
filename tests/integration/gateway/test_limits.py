"""Sizes, times and numbers: what is too much is refused, and the gateway goes on."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from producers.gateway.bodies import MAX_BODY_BYTES
from producers.gateway.server import MAX_HEADER_BYTES
from tests.support.connections import is_closed, posted, proof, raw
from tests.support.gateways import (
    GatewayProcess,
    alertmanager_payload,
    bearer,
    gateway_environment,
    gateway_running,
    trigger,
)
from tests.support.installation import Installation
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for


def parts(size: int) -> Iterator[bytes]:
    """A body of so many bytes in pieces, which is sent chunked."""
    yield from (b"x" * 65_536 for _ in range(size // 65_536))
    yield b"x" * (size % 65_536)


@pytest.mark.parametrize("path", ["/v1/alertmanager", "/v1/grafana", "/v2/enqueue", "/v1/events"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_512_kb_is_refused_however_it_is_sent(
    gateway: GatewayProcess, traffic: Traffic, path: str, chunked: bool
) -> None:
    """413 and a closed connection, which the sender sees; one byte less is read."""
    size = MAX_BODY_BYTES + 1
    body = parts(size) if chunked else b"x" * size
    answer = gateway.call(path, body, method="POST")
    assert answer.status == 413
    assert answer.headers["connection"] == "close"
    body = parts(size - 1) if chunked else b"x" * (size - 1)
    assert gateway.call(path, body, method="POST").status in (400, 415)
    assert traffic.left() == 0


def test_what_is_compressed_is_refused(gateway: GatewayProcess) -> None:
    """A small body could become a large one."""
    headers = bearer() | {"Content-Encoding": "gzip"}
    assert gateway.call("/v1/alertmanager", b"x", headers=headers).status == 415


def test_headers_without_end_are_cut_off(gateway: GatewayProcess) -> None:
    """The connection closes, and others are answered."""
    with raw(gateway) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        connection.sendall(b"X-A: " + b"a" * (MAX_HEADER_BYTES + 1) + b"\r\n")
        assert connection.recv(1) == b""
    assert gateway.call("/healthz").status == 200


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET /healthz HTTP/1.1\r\nX-A: ",
        b"GET /healthz HTTP/1.1\r\n",
        b"POST /v2/enqueue HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-A: ",
        b"POST /v2/enqueue HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;",
    ],
    ids=["value", "name", "trailer", "chunk extension"],
)
def test_a_header_that_never_ends_is_cut_off(gateway: GatewayProcess, beginning: bytes) -> None:
    """Its size counts while it comes, and not only when it is complete."""
    with raw(gateway) as connection:
        connection.sendall(beginning)
        with pytest.raises(ConnectionError):
            connection.sendall(b"a" * 16_000_000)
    assert gateway.call("/healthz").status == 200


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
def test_another_protocol_is_refused_with_the_connection(
    gateway: GatewayProcess, protocol: bytes
) -> None:
    """What would be its body is no request of its own, and the log does not fill."""
    hidden = b"GET /healthz HTTP/1.1\r\n\r\n"
    with raw(gateway) as connection:
        connection.sendall(
            b"POST /v2/enqueue HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: " + protocol + b"\r\n"
            b"Content-Length: " + str(len(hidden)).encode() + b"\r\n\r\n" + hidden
        )
        with connection.makefile("rb") as answers:
            told = answers.read()
    assert told.startswith(b"HTTP/1.1 400")
    assert told.endswith(b"send it without Upgrade.")
    assert b"HTTP/1.1 200" not in told
    assert "upgrade" not in gateway.process.output().lower()
    assert gateway.call("/healthz").status == 200


def test_a_batch_of_very_many_events_is_refused_at_once(
    gateway: GatewayProcess, traffic: Traffic
) -> None:
    """To name what is wrong with each would keep all other senders waiting."""
    headers = bearer() | {"Content-Type": "application/cloudevents-batch+json"}
    answer = gateway.call("/v1/events", [{}] * 150_000, headers=headers)
    assert answer.status == 400
    assert "2,000" in answer.document["message"]
    assert traffic.left() == 0


def test_a_small_payload_does_not_fill_the_memory(gateway: GatewayProcess) -> None:
    """Many values below a long name: each would be a label with that name."""
    details = {"k" * 100_000: [0] * 50_000}
    event = trigger(payload={**trigger()["payload"], "custom_details": details})
    assert gateway.call("/v2/enqueue", event, headers={}).status == 202
    status = Path(f"/proc/{gateway.process.process.pid}/status").read_text()
    most = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    assert int(most.split()[1]) < 1_000_000  # of 1,024 bytes; the labels would have five times that


@pytest.mark.parametrize(
    ("request_", "then"),
    [
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"\r\n"),
        (b"POST /nowhere HTTP/1.1\r\nContent-Length: 9\r\n\r\n", b"x"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"GET /"),
        (b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"9\r\nx"),
    ],
    ids=["a blank line", "a body of nobody's", "half a request", "half a chunk"],
)
def test_a_connection_that_was_answered_is_not_held_open_by_less_than_a_request(
    installation: Installation, request_: bytes, then: bytes
) -> None:
    """It would keep a place from others, for ever and for nothing."""
    environment = gateway_environment(installation)
    with (
        gateway_running(environment, installation.directory, before=_IMPATIENT) as gateway,
        raw(gateway) as connection,
    ):
        connection.sendall(request_)
        assert connection.recv(10_000).startswith(b"HTTP/1.1 ")
        connection.sendall(then)
        with suppress(ConnectionError):
            while connection.recv(10_000):
                pass


def test_a_connection_whose_answers_are_not_read_is_given_up(installation: Installation) -> None:
    """What is to be said would stay in the memory, and the place be taken."""
    environment = gateway_environment(installation)
    with (
        gateway_running(environment, installation.directory, before=_UNREAD) as gateway,
        raw(gateway) as connection,
    ):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert connection.recv(1)
        with_it = sockets(gateway)
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\n\r\n" * 500)
        assert wait_for(lambda: sockets(gateway) < with_it, what="it is given up")
        assert gateway.call("/healthz").status == 200
        assert "Traceback" not in gateway.process.output()


_IMPATIENT = "import producers.gateway.server as s; s.HEADER_SECONDS = 0.5"
_UNREAD = "import producers.gateway.server as s; s.WRITE_SECONDS = 0.5"


def sockets(gateway: GatewayProcess) -> int:
    """How many the process has open."""
    descriptors = Path(f"/proc/{gateway.process.process.pid}/fd").iterdir()
    with suppress(FileNotFoundError):
        return sum(str(each.readlink()).startswith("socket:") for each in descriptors)
    return sockets(gateway)


def test_a_body_that_never_ends_is_given_up(installation: Installation) -> None:
    """408 when its time is over, though bytes still come."""
    with (
        gateway_running(
            gateway_environment(installation), installation.directory, before=_HASTY
        ) as gateway,
        raw(gateway) as connection,
    ):
        token = bearer()["Authorization"]
        connection.sendall(
            b"POST /v1/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
            b"Authorization: " + token.encode() + b"\r\n\r\n"
        )
        assert _sending(connection).startswith(b"HTTP/1.1 408")


_HASTY = "import producers.gateway.bodies as b; b.BODY_SECONDS = 0.5"


def _sending(connection: socket.socket) -> bytes:
    """Send a byte every now and then until there is an answer."""
    connection.settimeout(0.05)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        connection.sendall(b"x")
        try:
            return connection.recv(1000)
        except TimeoutError:
            pass
    raise AssertionError("no answer")


def test_a_full_intake_is_503_until_there_is_room(
    installation: Installation, broker: redis.Redis
) -> None:
    """Senders hear when to try again; nothing is taken meanwhile, and it is not ready."""
    environment = gateway_environment(installation, ANDON_INTAKE_LIMIT="3")
    traffic = Traffic(broker)
    with gateway_running(environment, installation.directory) as gateway:
        payload = alertmanager_payload()
        for _ in range(3):
            assert gateway.call("/v1/alertmanager", payload).status == 202
        for path, body in (("/v1/alertmanager", payload), ("/readyz", None)):
            refused = gateway.call(path, body)
            assert refused.status == 503
            assert int(refused.headers["retry-after"]) > 0
        assert gateway.call("/healthz").status == 200
        assert traffic.left() == 3
        broker.delete(traffic.names.intake())
        assert gateway.call("/readyz").status == 200
        assert gateway.call("/v1/alertmanager", payload).status == 202


def test_more_calls_than_it_works_on_at_once_are_503(installation: Installation) -> None:
    """They are refused at once, and the ones under way are not disturbed."""
    with (
        gateway_running(
            gateway_environment(installation), installation.directory, before=_NARROW
        ) as gateway,
        raw(gateway) as first,
        raw(gateway) as second,
    ):
        head = (
            b"POST /v1/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
            b"Authorization: " + bearer()["Authorization"].encode() + b"\r\n\r\n{"
        )
        for connection in (first, second):
            connection.sendall(head)
        deadline = time.monotonic() + 120
        while (refused := gateway.call("/v1/alertmanager", {})).status != 503:
            assert time.monotonic() < deadline
        assert gateway.call("/healthz").status == 200
        assert "retry-after" in refused.headers
        first.sendall(b"}")
        assert first.recv(100).startswith(b"HTTP/1.1 400")


_NARROW = (
    "import producers.gateway.admission as a; how = a.Admission.__init__;"
    " how.__defaults__ = (2, *how.__defaults__[1:])"
)


def test_bodies_that_together_are_too_large_are_503(installation: Installation) -> None:
    """One fits, a second beside it does not; when the first is answered, there is room again."""
    environment = gateway_environment(installation)
    with (
        gateway_running(environment, installation.directory, before=_SMALL) as gateway,
        raw(gateway) as first,
    ):
        first.sendall(posted(b"/v1/alertmanager", 700, proof()) + b"x" * 600)
        wait_for(
            lambda: gateway.call("/v1/alertmanager", b"x" * 600).status == 503,
            what="there is no room",
        )
        first.sendall(b"x" * 100)
        assert first.recv(100).startswith(b"HTTP/1.1 400")
        assert gateway.call("/v1/alertmanager", b"x" * 600).status == 400


_SMALL = (
    "import producers.gateway.admission as a; how = a.Admission.__init__;"
    " how.__defaults__ = (9, 1000, 512, 1000, *how.__defaults__[4:])"
)


def test_bodies_of_strangers_make_room_for_newer_ones(installation: Installation) -> None:
    """Who sends a body without a credential is given up for the next, who may prove itself."""
    environment = gateway_environment(installation)
    with (
        gateway_running(environment, installation.directory, before=_SMALL) as gateway,
        raw(gateway) as first,
    ):
        first.sendall(posted(b"/v2/enqueue", 700) + b"x" * 600)
        wait_for(
            lambda: (
                gateway.call("/v2/enqueue", trigger(), headers={}).status == 202
                and is_closed(first)
            ),
            what="the first one is given up",
        )
