"""RabbitMQ as Andon uses it: connecting, its queues, its messages, publishing with confirms.

Each lane of the intake is a quorum queue, outcomes and halts are streams, which many may read and
nobody empties. A message's body is the event; its key id and signature are headers.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from amqp import Channel, Connection
from amqp.basic_message import Message
from amqp.exceptions import AccessRefused, AMQPError, NotFound, PreconditionFailed

from models.acceptance import UNTOLD, moment_told
from models.broker_tls import rabbitmq_tls
from models.streams import KEY, SIGNATURE, Lane, StreamNames

ACCEPTED_AT = "accepted_at"
"""The header in which a client says when it published, in milliseconds since 1970."""

_TIMEOUT = 10.0
_DELIVERY_LIMIT = 1_000
"""Far behind Andon's own; what is delivered still more often goes to the dead letters."""
_NO_LIMIT = 1_000_000_000
_BYTES_OF_AN_OUTCOME = 1_000
_SEGMENT_BYTES = 10_000_000
_PERSISTENT = 2
_LARGE_WRITE = 131_072
"""Bytes that are gathered before they are sent, so that memory stays bounded."""

BROKER_FAULTS = (AMQPError, OSError)
"""What talking to RabbitMQ raises when it, or the way to it, is at fault."""


def is_rabbitmq(url: str) -> bool:
    """Whether *url* leads to RabbitMQ."""
    return url.startswith(("amqp://", "amqps://"))


def connect_rabbitmq(url: str, *, ca: Path | None = None, heartbeat: float = 0.0) -> Connection:
    """A connection that notices a dead broker instead of waiting for it.

    Args:
        url: ``amqp://USER:PASSWORD@HOST:PORT/VHOST`` or ``amqps://…``, read as kombu reads it: what
            is left out is guest, guest, this machine, the protocol's port and the virtual host /.
        ca: a file of the authorities that sign the broker's certificate; the system's by default.
        heartbeat: seconds; after two of them without a sign of life from us the broker gives
            everything that we have in hand to others. 0 is never.

    Raises:
        amqp.AMQPError, OSError: the broker does not answer, does not let us in, or cannot prove
            with a certificate who it is.
    """
    at = urlsplit(url)
    tls = at.scheme == "amqps"
    host = at.hostname or "127.0.0.1"
    connection = Connection(
        host=f"{f'[{host}]' if ':' in host else host}:{at.port or (5671 if tls else 5672)}",
        userid=unquote(at.username or "guest"),
        password=unquote(at.password or "guest"),
        login_method="PLAIN",
        virtual_host=unquote(at.path[1:]) or "/",
        ssl=rabbitmq_tls(url, ca) or False,
        connect_timeout=5,
        read_timeout=_TIMEOUT,
        write_timeout=_TIMEOUT,
        heartbeat=heartbeat,
    )
    connection.connect()
    return connection


class QueueUnfit(AMQPError):  # type: ignore[misc]  # amqp is not typed
    """A queue, or the exchange, exists and is another than Andon needs; the message says which."""


def connect_to_intake(
    url: str,
    names: StreamNames,
    *,
    outcomes_kept: int,
    ca: Path | None = None,
    heartbeat: float = 0.0,
) -> Connection:
    """A connection to a broker that has all queues, as they have to be.

    Raises:
        QueueUnfit: one of them is another than it has to be.
        amqp.AMQPError, OSError: as for :func:`connect_rabbitmq`, or a queue cannot be declared.
    """
    connection = connect_rabbitmq(url, ca=ca, heartbeat=heartbeat)
    try:
        declare_queues(connection, names, outcomes_kept=outcomes_kept)
    except BaseException:
        connection.collect()
        raise
    return connection


def open_channel(connection: Connection) -> Channel:
    """A channel that leaves bodies as the bytes they are."""
    channel = connection.channel()
    channel.auto_decode = False
    return channel


def intake_queues(names: StreamNames) -> tuple[str, ...]:
    """The queues that requests are read from, in the order in which they are served."""
    return (*map(names.intake, Lane), names.dead_letters)


def connect_to_publish(
    url: str, names: StreamNames, *, outcomes_kept: int, ca: Path | None = None
) -> Connection:
    """A connection to a broker that has the intake's exchange, for who need not have more rights.

    Where nobody was here before, everything is created, if that is allowed.

    Raises:
        Unroutable: there is no intake, and this user must not create it.
        amqp.AMQPError, OSError: as for :func:`connect_to_intake`.
    """
    connection = connect_rabbitmq(url, ca=ca)
    try:
        if not _has_exchange(connection, names.intake_exchange):
            declare_queues(connection, names, outcomes_kept=outcomes_kept)
    except AccessRefused as error:
        connection.collect()
        raise Unroutable(f"no exchange {names.intake_exchange}: start a worker first") from error
    except BaseException:
        connection.collect()
        raise
    return connection


def _has_exchange(connection: Connection, exchange: str) -> bool:
    channel = open_channel(connection)
    try:
        channel.exchange_declare(exchange, "direct", passive=True)
    except NotFound:  # which has closed the channel
        return False
    channel.close()
    return True


def declare_queues(connection: Connection, names: StreamNames, *, outcomes_kept: int) -> None:
    """Create the exchange and the queues that are missing, and see that the others are as needed.

    The streams keep about *outcomes_kept* outcomes, in whole segments; those that exist go on with
    the number that they were made with.

    Raises:
        QueueUnfit: one of them exists and is another than it has to be.
    """
    log = {
        "x-queue-type": "stream",
        "x-max-length-bytes": outcomes_kept * _BYTES_OF_AN_OUTCOME,
        "x-stream-max-segment-size-bytes": _SEGMENT_BYTES,
    }
    lane = {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-delivery-limit": _DELIVERY_LIMIT,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": names.dead_letters,
        "x-dead-letter-strategy": "at-least-once",
    }
    # What is set aside expires here, and that brings it back.
    aside = {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": names.intake(Lane.BULK),
        "x-dead-letter-strategy": "at-least-once",
    }
    # Since RabbitMQ 4.0 a quorum queue has a limit of its own, and drops what passes it.
    last = {"x-queue-type": "quorum", "x-delivery-limit": _NO_LIMIT}
    _declare(connection, names.dead_letters, last)
    for each in Lane:
        _declare(connection, names.intake(each), lane)
    _declare(connection, names.set_aside, aside)
    for stream in (names.outcomes, names.halts):
        _declare(connection, stream, log, may_differ="x-max-length-bytes")
    _declare_exchange(connection, names)


def _declare(
    connection: Connection, queue: str, arguments: Mapping[str, object], *, may_differ: str = ""
) -> None:
    channel = open_channel(connection)
    try:
        channel.queue_declare(queue, durable=True, auto_delete=False, arguments=dict(arguments))
    except PreconditionFailed as error:  # which has closed the channel
        if not may_differ or f"'{may_differ}'" not in str(error):
            raise _unfit(f"queue {queue}", error) from error
    else:
        channel.close()


def _declare_exchange(connection: Connection, names: StreamNames) -> None:
    channel = open_channel(connection)
    try:
        channel.exchange_declare(names.intake_exchange, "direct", durable=True, auto_delete=False)
    except PreconditionFailed as error:
        raise _unfit(f"exchange {names.intake_exchange}", error) from error
    for lane in map(names.intake, Lane):
        channel.queue_bind(lane, names.intake_exchange, routing_key=lane)
    channel.close()


def _unfit(what: str, error: PreconditionFailed) -> QueueUnfit:
    return QueueUnfit(
        f"RabbitMQ has a {what} that is not as Andon needs it ({error.reply_text}), and would lose"
        " requests in it: empty it, delete it, and start a worker, which makes it anew."
    )


@contextmanager
def in_few_writes(connection: Connection) -> Iterator[None]:
    """Send what the block publishes, acknowledges or rejects in large pieces, the rest at its end.

    amqp writes to the socket for each message. That is a packet for each, and the broker's work on
    one of them is several times what it takes for a message among others.
    """
    transport = connection.transport
    write, pieces = transport._write, bytearray()

    def gather(piece: bytes | memoryview) -> None:
        pieces.extend(piece)
        if len(pieces) >= _LARGE_WRITE:
            write(bytes(pieces))
            pieces.clear()

    transport._write = gather
    try:
        yield
    finally:
        transport._write = write
        transport.write(bytes(pieces))


def undelivered(channel: Channel, queue: str) -> int:
    """How many messages of *queue* have been given to nobody."""
    return int(channel.queue_declare(queue, passive=True).message_count)


def intake_message(
    event: bytes,
    key_id: str,
    signature: str,
    *,
    message_id: str,
    now: datetime,
    **properties: object,
) -> Message:
    """One entry of the intake, with further properties of AMQP where they are needed."""
    milliseconds = int(now.timestamp() * 1000)
    return Message(
        event,
        application_headers={KEY: key_id, SIGNATURE: signature, ACCEPTED_AT: milliseconds},
        message_id=message_id,
        content_type="application/cloudevents+json",
        delivery_mode=_PERSISTENT,
        **properties,
    )


def waiting_message(
    event: bytes,
    key_id: str,
    signature: str,
    *,
    message_id: str,
    accepted_at: datetime,
    seconds: float,
) -> Message:
    """The same entry of the intake, for the queue of what is set aside, for so many seconds."""
    return intake_message(
        event,
        key_id,
        signature,
        message_id=message_id,
        now=accepted_at,
        expiration=str(int(seconds * 1000)),
    )


def outcome_message(event: bytes) -> Message:
    """One outcome event."""
    return Message(event, content_type="application/cloudevents+json", delivery_mode=_PERSISTENT)


def entry_of(names: StreamNames, *, event: bytes, key_id: str, signature: str, id: str) -> str:
    """The name of an intake entry, however often and from whichever queue it is delivered.

    RabbitMQ numbers no messages. The name is made of the message's id and all that it says, so that
    nobody can publish something else under the name of another's entry.
    """
    digest = hashlib.sha256()
    for part in (id, key_id, signature):
        text = part.encode("utf-8", "surrogatepass")
        digest.update(len(text).to_bytes(8, "big") + text)
    digest.update(event)
    return f"{names.intake()}/{digest.hexdigest()[:32]}"


def text_header(message: Message, name: str) -> str:
    """A header, if it is a text; else the empty one."""
    value = (message.headers or {}).get(name)
    return value if isinstance(value, str) else ""


def accepted_at(message: Message) -> datetime:
    """When the client says that it published, which nobody has checked; or ``UNTOLD``."""
    value = (message.headers or {}).get(ACCEPTED_AT)
    return moment_told(value) if type(value) is int else UNTOLD


def deliveries_before(message: Message) -> int:
    """How often the broker has delivered a message before: the producer's word is not taken."""
    count = (message.headers or {}).get("x-delivery-count")
    return count if message.delivery_info.get("redelivered") and type(count) is int else 0


class Unroutable(AMQPError):  # type: ignore[misc]  # amqp is not typed
    """There is no such queue."""


class Rejected(AMQPError):  # type: ignore[misc]  # the same
    """The broker has no room for a message."""


class Blocked(AMQPError):  # type: ignore[misc]  # the same
    """The broker takes nothing more for now: an alarm of its memory or its disk."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message, and the queue that it is for.

    Attributes:
        exchange: which leads there by the queue's name; the default one needs further rights.
    """

    queue: str
    message: Message
    exchange: str = ""


class Publishing:
    """Publishes many messages and then waits until the broker has them all safely."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel = open_channel(connection)
        self._channel.confirm_select()
        self._channel.events["basic_ack"].add(self._on_ack)
        self._channel.events["basic_nack"].add(self._on_nack)
        self._channel.events["basic_return"].add(self._on_return)
        connection.on_blocked = self._on_blocked
        connection.on_unblocked = self._on_unblocked
        self._is_blocked = False
        self._published = 0
        self._unconfirmed: set[int] = set()
        self._settled = 0  # up to here nothing is unconfirmed
        self._refused: AMQPError | None = None

    def publish(self, messages: Iterable[Outgoing]) -> None:
        """Publish *messages*, and return once all of them are confirmed.

        Raises:
            Unroutable: a queue does not exist.
            Rejected: a queue is full.
            Blocked: the broker has no memory or no disk left; any of them may arrive later.
            amqp.AMQPError, OSError: the broker fell silent; any of them may have arrived.
        """
        self._refused = None
        with in_few_writes(self._connection):
            for each in messages:
                self._published += 1
                self._unconfirmed.add(self._published)
                self._channel.basic_publish(
                    each.message, each.exchange, routing_key=each.queue, mandatory=True
                )
        until = time.monotonic() + _TIMEOUT
        while self._unconfirmed:
            try:
                self._connection.drain_events(timeout=max(0.001, until - time.monotonic()))
            except TimeoutError as error:
                raise (Blocked("an alarm") if self._is_blocked else error) from error
        if self._refused is not None:
            raise self._refused

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self._settle(tag, multiple=multiple)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._refused = self._refused or Rejected("a queue is full")
        self._settle(tag, multiple=multiple)

    def _settle(self, tag: int, *, multiple: bool) -> None:
        if not multiple:
            self._unconfirmed.discard(tag)
            return
        for each in range(self._settled + 1, tag + 1):
            self._unconfirmed.discard(each)
        self._settled = max(self._settled, tag)

    def _on_blocked(self, _reason: str) -> None:
        self._is_blocked = True

    def _on_unblocked(self) -> None:
        self._is_blocked = False

    def _on_return(self, error: Exception, *_: object) -> None:
        self._refused = Unroutable(str(error))
