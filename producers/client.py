"""The client: signs events, publishes them to the intake, and waits for their outcomes.

Publishing twice is harmless: the second one is a duplicate and gets the first one's outcome. So
whatever is in doubt after a failure may simply be published again, and the client does so itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from typing_extensions import Unpack, override

from models.chunks import chunks
from models.events import TYPE_PREFIX, write_event
from models.outcomes import Identity
from models.results import Done, Halted, read_outcome
from models.streams import Lane, StreamNames
from producers.engines import connect_publisher
from producers.faults import (
    IntakeFull,
    IntakeUnreachable,
    PublishFailed,
    SpoolFull,
    SpoolUnusable,
)
from producers.forwarder import Forwarder, forward_head
from producers.outcomes import OutcomeReader
from producers.procedures import Procedures, RequestOptions
from producers.publisher import CHUNK, INTAKE_LIMIT, MEMORY_PERCENT
from producers.receipts import SPOOLED, Named, Receipt, identity_of
from producers.retries import RETRY_FOR, Patience
from producers.signed import NotPublishable, SignedEvent, fresh_id, sign_event, signed_anew
from producers.spool import SPOOL_LIMIT, Spool
from producers.times import Times

__all__ = [
    "SPOOLED",
    "Client",
    "IntakeFull",
    "IntakeUnreachable",
    "NoOutcome",
    "NotPublishable",
    "PublishFailed",
    "Receipt",
    "SignedEvent",
    "SpoolFull",
    "SpoolUnusable",
]


class NoOutcome(TimeoutError):
    """The request was accepted, but no outcome of it came in time.

    Attributes:
        receipt: the request's.
    """

    def __init__(self, receipt: Receipt, timeout: float) -> None:
        self.receipt = receipt
        super().__init__(
            f"The request {receipt.identity.id} has had no outcome for {timeout:g} s. It is not"
            " lost: asking again under the same id brings its outcome. If it never has one, the key"
            " may be wrong: what a worker cannot authenticate halts without an outcome."
        )


class Client(Procedures[Receipt]):
    """Publishes the requests of one source.

    The typed methods publish one request each, and return its :class:`Receipt`. With
    :attr:`requests` the same methods only make the signed events, for :meth:`publish` to take many
    at once; with :meth:`waiting` they wait, and return the outcome.

    With a *spool*, what the intake cannot take is kept in a local file and forwarded later, in
    order: while anything is spooled, by whichever process, everything else queues behind it.

    Threads may share a client: each call is safe, and events that one thread publishes after
    another one's call has returned also come after that one's. Events of calls at the same time
    mix, a round trip or a retry at a time. The iterator of one :meth:`wait` belongs to one thread.
    A client does not survive a fork: make it in the process that uses it. One that has a spool
    raises RuntimeError in a child; one that has none may there share a connection or wait for ever.

    Args:
        broker_url: ``redis://…`` or ``amqp://…``; ``rediss://…`` or ``amqps://…`` with TLS.
        source: the source that the registry knows the key under.
        key_id: the key's id.
        secret: the key.
        lane: the lane that is published to where nothing else is said.
        names: the streams.
        intake_limit: entries in the intake from which nothing more is published.
        memory_percent: the same for the part of its memory that Redis has used.
        retry_for: seconds for which publishing is tried again while the intake cannot be reached;
            0 for one try. By default 30, or 0 with a spool, which is there for the waiting.
        wait_when_full: the same for a full intake; by default 0.
        spool: the file to keep events in that could not be published, on a local disk; several
            processes may use one.
        spool_limit: bytes that the file may grow to.
        broker_ca: a file of the authorities (PEM) that sign the broker's certificate, where the
            system does not know them.

    Raises:
        ValueError: the URL says itself how the broker's certificate is checked: it always is.
        SpoolUnusable: the spool cannot be opened, is damaged, or is something else.
    """

    def __init__(
        self,
        broker_url: str,
        *,
        source: str,
        key_id: str,
        secret: bytes,
        lane: Lane = Lane.URGENT,
        names: StreamNames | None = None,
        intake_limit: int = INTAKE_LIMIT,
        memory_percent: int = MEMORY_PERCENT,
        retry_for: float | None = None,
        wait_when_full: float = 0.0,
        spool: Path | None = None,
        spool_limit: int = SPOOL_LIMIT,
        broker_ca: Path | None = None,
    ) -> None:
        self.source = source
        self.requests = Requests(self)
        self._key_id = key_id
        self._secret = secret
        self._lane = lane
        self._times = Times()
        if retry_for is None:
            retry_for = RETRY_FOR if spool is None else 0.0
        self._patience = Patience(retry_for, wait_when_full)
        self._at_once = max(1, min(CHUNK, intake_limit))
        self._publisher = connect_publisher(
            broker_url,
            names=names,
            intake_limit=intake_limit,
            memory_percent=memory_percent,
            ca=broker_ca,
        )
        self._spool = None if spool is None else Spool(spool, limit=spool_limit)

    def prepare(
        self, procedure: str, data: object, *, id: str | None = None, time: datetime | None = None
    ) -> SignedEvent:
        """Make a signed event that asks for *procedure*.

        Args:
            procedure: its name, such as ``report_incident``.
            data: its inputs, as JSON.
            id: tells this request from all others of the source; a fresh one by default.
            time: which orders the source's requests about one incident; by default now, and
                later than that of any event that this client made before.

        Raises:
            NotPublishable: *data* is no JSON, or the event becomes too large.
        """
        moment = time or self._times.next()
        identity = Identity(self.source, id or fresh_id(moment))
        try:
            event = write_event(
                id=identity.id,
                source=self.source,
                type=f"{TYPE_PREFIX}{procedure}",
                time=moment,
                data=data,
            )
        except TypeError as error:
            raise NotPublishable(f"no JSON can be made of it: {error}") from error
        return self._sign(event, identity)

    def sign(self, event: bytes) -> SignedEvent:
        """Sign a whole event, whatever it says.

        Raises:
            NotPublishable: the event is too large.
        """
        return self._sign(event, None)

    def _sign(self, event: bytes, identity: Identity | None) -> SignedEvent:
        return sign_event(event, key_id=self._key_id, secret=self._secret, identity=identity)

    @override
    def _ask(
        self, procedure: str, data: Mapping[str, object], **options: Unpack[RequestOptions]
    ) -> Receipt:
        """Publish one request; see :meth:`publish`."""
        event = self.prepare(procedure, data, **options)
        (entry,) = self.publish([event])
        return Receipt(identity_of(event), entry)

    def publish(self, events: Iterable[SignedEvent], *, lane: Lane | None = None) -> list[str]:
        """Publish *events* in their order; what is not confirmed, again.

        Args:
            events: any number of them; they are taken as they are needed.
            lane: by default the client's.

        Returns:
            Where each is: its intake entry, or :data:`SPOOLED`.

        Raises:
            IntakeFull: there was no room in time.
            IntakeUnreachable: the intake did not answer in time, or takes no writes.
            SpoolFull: the events had to be spooled, and there was no room.
            SpoolUnusable: the spool cannot be read or written.
        """
        places: list[str] = []
        for chunk in chunks(events, CHUNK):
            try:
                places += self._take(chunk, lane or self._lane)
            except PublishFailed as error:
                entries = [place for place in places if place != SPOOLED]
                raise error.after(entries, spooled=len(places) - len(entries)) from error
        return places

    def _take(self, chunk: list[SignedEvent], lane: Lane) -> list[str]:
        if self._spool is None:
            return self._patience.publish(self._publisher, chunk, lane=lane)
        if not self._spool.is_empty():
            self._spool.append(chunk, lane)
            return [SPOOLED] * len(chunk)
        try:
            return self._patience.publish(self._publisher, chunk, lane=lane)
        except (IntakeFull, IntakeUnreachable) as error:
            rest = chunk[len(error.entries) :]
            try:
                self._spool.append(rest, lane)
            except PublishFailed as failure:
                raise failure.after(error.entries) from error
            return [*error.entries, *[SPOOLED] * len(rest)]

    def forward(self) -> int:
        """Publish what is spooled, the oldest first, until the spool is empty.

        Events of this client's source that another key has signed are signed with its own.
        An event leaves the spool once its publication was confirmed. Processes that share the spool
        take turns, a round trip each.

        Returns:
            How many events this call has forwarded.

        Raises:
            IntakeFull: the intake has no room for more; what it took has left the spool.
            IntakeUnreachable: the intake does not answer; what it confirmed has left the spool.
            SpoolUnusable: the spool cannot be read or written.
        """
        total = 0
        while count := self._forward_head():
            total += count
        return total

    def forwarding(self, *, every: float = 1.0) -> Forwarder:
        """Forward from a thread of its own while a ``with`` block runs, however often that fails.

        Args:
            every: seconds between two looks into an empty spool.
        """
        return Forwarder(self._forward_head, every=every)

    def spooled(self) -> int:
        """How many events wait in the spool, whoever put them there."""
        return len(self._the_spool())

    def _forward_head(self) -> int:
        return forward_head(
            self._the_spool(), self._publisher, self._sign_anew, count=self._at_once
        )

    def _sign_anew(self, event: SignedEvent) -> SignedEvent:
        return signed_anew(event, source=self.source, key_id=self._key_id, secret=self._secret)

    def _the_spool(self) -> Spool:
        if self._spool is None:
            raise ValueError("This client was made without a spool.")
        return self._spool

    def position(self) -> str:
        """Where the stream of outcomes stands, to be asked before publishing."""
        return self._publisher.position()

    def wait(
        self, identities: Iterable[Identity], *, since: str, timeout: float
    ) -> Iterator[dict[str, Any]]:
        """Yield the outcome of each request as it comes; see :meth:`Publisher.wait`."""
        return self._publisher.wait(identities, since=since, timeout=timeout)

    def read_on(self) -> OutcomeReader:
        """A reader of all outcomes from now on, to be closed by whoever asked for it.

        Raises:
            IntakeUnreachable: the intake does not answer.
        """
        return self._publisher.reader(self._publisher.position())

    def outcomes(
        self, requests: Iterable[Named], *, since: str, timeout: float
    ) -> Iterator[Done | Halted]:
        """Yield the outcome of each request, the first one published after *since*, as it comes.

        Args:
            requests: those that are meant.
            since: what :meth:`position` said before they were published.
            timeout: seconds after which the iteration ends, with or without all outcomes.

        Raises:
            IntakeUnreachable: the intake does not answer.
        """
        return map(
            read_outcome, self.wait(map(identity_of, requests), since=since, timeout=timeout)
        )

    def waiting(self, *, timeout: float = 60.0) -> "Waiting":
        """The typed methods, each of which waits for its outcome.

        Args:
            timeout: seconds after which a call raises :class:`NoOutcome`.
        """
        return Waiting(self, timeout)

    def close(self) -> None:
        """Close the connections and the spool; what is spooled stays."""
        self._publisher.close()
        if self._spool is not None:
            self._spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Requests(Procedures[SignedEvent]):
    """The typed methods, which only make the requests: see :attr:`Client.requests`."""

    _client: Client

    @override
    def _ask(
        self, procedure: str, data: Mapping[str, object], **options: Unpack[RequestOptions]
    ) -> SignedEvent:
        return self._client.prepare(procedure, data, **options)


@dataclass(frozen=True, slots=True)
class Waiting(Procedures[Done | Halted]):
    """The typed methods, which wait: see :meth:`Client.waiting`."""

    _client: Client
    _timeout: float

    @override
    def _ask(
        self, procedure: str, data: Mapping[str, object], **options: Unpack[RequestOptions]
    ) -> Done | Halted:
        since = self._client.position()
        receipt = self._client._ask(procedure, data, **options)
        for outcome in self._client.outcomes([receipt], since=since, timeout=self._timeout):
            return outcome
        raise NoOutcome(receipt, self._timeout)
