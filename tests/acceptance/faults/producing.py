"""Producer processes: each publishes its part of the plan until all of it is confirmed.

They keep pace with the faults, so that every fault meets traffic: a producer may be ahead of the
share of the plan that the run allows by no more than a chunk. One of them goes through the gateway,
and repeats a call until it is answered with 202; another one imports files.
"""

import http.client
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

from models.streams import Lane, StreamNames
from producers.client import Client, IntakeFull, IntakeUnreachable, SignedEvent
from tests.acceptance.faults.importing import Imports, whole
from tests.acceptance.faults.journal import Journal
from tests.acceptance.faults.planning import Nature, Planned
from tests.acceptance.faults.spawning import SPAWN
from tests.support.gateways import bearer
from tests.support.requests import KEY_ID, SECRET, SOURCE

_CHUNK = 40
_FILES = 5
"""As many an importer gets at least of a long plan: each takes two seconds, more amid faults."""
_AGAIN_AFTER = 0.05
_GATEWAY_TRIES = 10
"""More often than this the gateway does not publish an event of one call."""
_PATIENCE = 300.0
"""Seconds for which a producer tries; no outage of a run is that long."""
FORGED = b"not the secret of this source..."


@dataclass(frozen=True, slots=True)
class Order:
    """What one producer process is to do.

    Attributes:
        url: the broker, as producers reach it.
        plan: what to publish, in this order.
        journal: the file to keep.
        gateway: the way, instead of the broker.
        importer: the settings of the importer that is the way instead.
    """

    number: int
    url: str
    names: StreamNames
    plan: Sequence[Planned]
    journal: Path
    seed: int
    gateway: str | None = None
    importer: Mapping[str, str] | None = None


class Producers:
    """All producer processes of a run; *kills* is how often the importer is to be killed."""

    def __init__(self, orders: Sequence[Order], kills: "Synchronized[int]") -> None:
        self._allowed: Synchronized[float] = SPAWN.Value("d", 0.0)
        self._published = [SPAWN.Value("q", 0) for _ in orders]
        self.total = sum(len(order.plan) for order in orders)
        self._processes = [
            SPAWN.Process(
                target=_produce if order.importer is None else _produce_by_import,
                args=(order, self._allowed, published, kills),
                daemon=True,
            )
            for order, published in zip(orders, self._published, strict=True)
        ]

    def start(self) -> None:
        """Start them; nothing is published before it is allowed."""
        for process in self._processes:
            process.start()

    def allow(self, share: float) -> None:
        """Let them publish up to this share of their plans."""
        self._allowed.value = share

    @property
    def published(self) -> int:
        """How many messages have been confirmed."""
        return sum(published.value for published in self._published)

    def join(self, seconds: float) -> None:
        """Wait until all is published.

        Raises:
            AssertionError: a producer has failed, or takes too long.
        """
        until = time.monotonic() + seconds
        for process in self._processes:
            process.join(max(0.0, until - time.monotonic()))
            assert process.exitcode == 0, f"a producer ended with {process.exitcode}"

    def end(self) -> None:
        """End those that still run."""
        for process in self._processes:
            if process.is_alive():
                process.kill()
            if process.pid is not None:
                process.join()
                process.close()


def _produce(
    order: Order,
    allowed: "Synchronized[float]",
    published: "Synchronized[int]",
    _kills: "Synchronized[int]",
) -> None:
    rng = Random(f"{order.seed}/chunks/{order.number}")  # noqa: S311  # a seed is the point
    genuine, forger = (client_for(order.url, order.names, each) for each in (SECRET, FORGED))
    journal = Journal(order.journal)
    signed: dict[str, SignedEvent] = {}
    done = 0
    while done < len(order.plan):
        chunk = order.plan[done : done + rng.randint(1, _CHUNK)]
        _await(allowed, done, order)
        for planned in chunk:
            if planned.key not in signed:
                client = forger if planned.nature is Nature.FORGED else genuine
                event = signed[planned.key] = sign_planned(client, planned)
                journal.plan(planned, event.event)
        lane = Lane.BULK if rng.random() < 0.2 else Lane.URGENT
        keys = [planned.key for planned in chunk]
        if order.gateway is None:
            publish(genuine, journal, keys, signed, lane)
        else:
            _post(order.gateway, journal, keys, signed)
        done += len(chunk)
        published.value = done
    journal.finished()
    journal.close()


def _produce_by_import(
    order: Order,
    allowed: "Synchronized[float]",
    published: "Synchronized[int]",
    kills: "Synchronized[int]",
) -> None:
    assert order.importer is not None
    rng = Random(f"{order.seed}/chunks/{order.number}")  # noqa: S311  # a seed is the point
    journal = Journal(order.journal)
    imports = Imports(
        order.journal.parent,
        report_of(order.number),
        order.importer,
        client_for(order.url, order.names, SECRET),
        journal,
        rng,
        kills,
    )
    done, most = 0, max(_CHUNK, len(order.plan) // _FILES)
    while done < len(order.plan):
        _await(allowed, done, order)
        end = whole(order.plan, done, min(done + rng.randint(most // 2, most), len(order.plan)))
        imports.take(order.plan[done:end])
        published.value = done = end
    imports.finish()
    journal.finished()
    journal.close()


def report_of(number: int) -> str:
    """What the report of an importing producer is called."""
    return f"p{number}"


def _await(allowed: "Synchronized[float]", done: int, order: Order) -> None:
    """Keep pace with the faults."""
    while done > allowed.value * len(order.plan):
        time.sleep(0.002)


def client_for(url: str, names: StreamNames, secret: bytes) -> "Client":
    """A client that tries once a call: each attempt is noted in the journal before it is made."""
    return Client(url, source=SOURCE, key_id=KEY_ID, secret=secret, names=names, retry_for=0)


def sign_planned(
    client: "Client", planned: Planned, *, time: datetime | None = None
) -> SignedEvent:
    """The bytes of a message, signed; with a *time*, as if it were now."""
    if planned.nature is Nature.MALFORMED:
        return client.sign(f'{{"specversion": "1.0", "id": "{planned.id}"'.encode())
    return client.prepare(planned.procedure, planned.data, id=planned.id, time=time)


def publish(
    client: "Client",
    journal: Journal,
    keys: Sequence[str],
    signed: Mapping[str, SignedEvent],
    lane: Lane = Lane.URGENT,
) -> None:
    """Publish until it is confirmed; what is in doubt is published again."""
    left = list(keys)
    until = time.monotonic() + _PATIENCE
    while left:
        journal.about_to_publish(left)
        try:
            entries = client.publish([signed[key] for key in left], lane=lane)
        except (IntakeUnreachable, IntakeFull) as error:
            if time.monotonic() > until:
                raise
            entries = error.entries
            time.sleep(_AGAIN_AFTER)
        journal.confirmed(left[: len(entries)], entries)
        left = left[len(entries) :]


def _post(
    url: str, journal: Journal, keys: Sequence[str], signed: Mapping[str, SignedEvent]
) -> None:
    """Post a batch until it is answered with 202; where its events arrive is not told."""
    body = b"[" + b",".join(signed[key].event for key in keys) + b"]"
    until = time.monotonic() + _PATIENCE
    while True:
        journal.about_to_publish([*keys] * _GATEWAY_TRIES)
        status = _answer(url, body)
        if status == 202:
            return
        assert status in (None, 503), f"the gateway answered {status}"
        assert time.monotonic() < until, "the gateway takes nothing"
        time.sleep(_AGAIN_AFTER)


def _answer(url: str, body: bytes) -> int | None:
    """The status of the answer; None where there was none."""
    place = urlsplit(url)
    assert place.hostname is not None
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
    headers = {"Content-Type": "application/cloudevents-batch+json", **bearer()}
    try:
        connection.request("POST", "/v1/events", body, headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
