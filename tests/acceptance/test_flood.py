"""A flood of copies and garbage: what is fresh is decided meanwhile, and everything in the end."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from models.rabbitmq import Outgoing, Publishing, connect_rabbitmq, intake_message
from models.signatures import sign
from models.streams import EVENT, KEY, SIGNATURE, StreamNames
from producers.client import Client
from producers.engines import connect_publisher
from tests.support.installation import Installation
from tests.support.rabbitmq import rabbitmq_queues
from tests.support.requests import KEY_ID, SECRET, SOURCE, event, report
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.support.workers import running

COPIES, GARBAGE = 20_000, 20_000
FRESH = 20
AT_ONCE = 1_000
Place = tuple[str, StreamNames]
# What is poured, each with its key and its signature.
Messages = Iterator[tuple[bytes, str, str]]


@pytest.fixture(params=["redis", "rabbitmq"])
def place(request: pytest.FixtureRequest, installation: Installation) -> Iterator[Place]:
    """An intake on each engine."""
    if request.param == "redis":
        yield installation.settings.broker_url.get_secret_value(), StreamNames()
    else:
        with rabbitmq_queues() as found:
            yield found


def flood() -> Messages:
    """Copies of one signed event, then as many different pieces of what nobody has signed."""
    copied = event("report_incident", report(), id="copied")
    for _ in range(COPIES):
        yield copied, KEY_ID, sign(copied, SECRET)
    for number in range(GARBAGE):
        yield b"garbage %07d" % number, "", ""


def pour(place: Place) -> None:
    """Put the flood on the urgent lane."""
    url, names = place
    messages = flood()
    if url.startswith("redis"):
        with redis.Redis.from_url(url) as client:
            traffic = Traffic(client, names)
            traffic.put_raw(*({EVENT: e, KEY: k, SIGNATURE: s} for e, k, s in messages))
        return
    connection = connect_rabbitmq(url)
    publishing = Publishing(connection)
    outgoing = (
        Outgoing(
            names.intake(),
            intake_message(e, k, s, message_id=f"flood-{number}", now=datetime.now(UTC)),
        )
        for number, (e, k, s) in enumerate(messages)
    )
    while some := [each for _, each in zip(range(AT_ONCE), outgoing, strict=False)]:
        publishing.publish(some)
    connection.close()


def outcomes_since(place: Place, position: str) -> int:
    """How many outcomes were published after *position*."""
    url, names = place
    publisher = connect_publisher(url, names=names)
    reader = publisher.outcomes(position)
    count = 0
    while some := reader.read(block=2.0):
        count += len(some)
    publisher.close()
    return count


def test_a_flood_is_decided_in_batches_with_an_outcome_each(
    installation: Installation, place: Place, tmp_path: Path
) -> None:
    """No transaction is larger than a batch, the sum comes out, and what is fresh gets through."""
    url, names = place
    environment = installation.environment() | {
        "ANDON_BROKER_URL": url,
        "ANDON_NAMESPACE": names.namespace,
        "ANDON_OUTCOMES_KEPT": "1000000",
    }
    messages = COPIES + GARBAGE + FRESH
    with Client(url, source=SOURCE, key_id=KEY_ID, secret=SECRET, names=names) as client:
        position = client.position()
        with running(environment, tmp_path) as worker:
            pour(place)
            fresh = [client.prepare("report_incident", report(), id=f"r{n}") for n in range(FRESH)]
            client.publish(fresh)
            wait_for(lambda: _decided(installation) == messages, seconds=240, what="all is decided")
            assert worker.terminate() == 0
            log = worker.output()
        told = client.wait([each.identity for each in fresh if each.identity], since=position,
                           timeout=60)  # fmt: skip
        assert [each["outcome"] for each in told] == ["done"] * FRESH

    assert "outage_began" not in log
    ((largest, done, halted, duplicates),) = installation.rows(
        "SELECT max(done + halted + duplicates), sum(done), sum(halted), sum(duplicates)"
        " FROM tallies"
    )
    assert largest <= installation.settings.batch_size
    assert (done, halted, duplicates) == (FRESH + 1, GARBAGE, COPIES - 1)
    assert outcomes_since(place, position) == messages


def _decided(installation: Installation) -> int:
    ((count,),) = installation.rows(
        "SELECT coalesce(sum(done + halted + duplicates), 0) FROM tallies"
    )
    return int(count)


def test_what_is_fresh_overtakes_a_flood(
    installation: Installation, place: Place, tmp_path: Path
) -> None:
    """A request behind it is decided while most of the flood still waits."""
    url, names = place
    environment = installation.environment() | {
        "ANDON_BROKER_URL": url,
        "ANDON_NAMESPACE": names.namespace,
    }
    with (
        Client(url, source=SOURCE, key_id=KEY_ID, secret=SECRET, names=names) as client,
        running(environment, tmp_path),
    ):
        client.publish([client.prepare("report_incident", report(), id="warm")])
        wait_for(lambda: _decided(installation) == 1, what="the first request is decided")
        pour(place)
        client.publish([client.prepare("report_incident", report(), id="fresh")])
        wait_for(
            lambda: installation.rows("SELECT FROM requests WHERE request_id = 'fresh'"),
            what="the fresh request is decided",
        )
        assert _decided(installation) < (COPIES + GARBAGE) * 3 / 4
        wait_for(
            lambda: _decided(installation) == COPIES + GARBAGE + 2,
            seconds=240,
            what="all is decided",
        )
