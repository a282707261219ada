"""How much is written to RabbitMQ at once."""

from collections.abc import Iterator
from typing import Any

import pytest
from amqp import Connection

from models.rabbitmq import (
    Outgoing,
    Publishing,
    connect_to_intake,
    open_channel,
    outcome_message,
    undelivered,
)
from models.streams import StreamNames
from tests.support.rabbitmq import rabbitmq_queues
from tests.support.waiting import wait_for

LARGEST = 1 << 20


@pytest.fixture
def broker_of_ours() -> Iterator[tuple[Connection, StreamNames]]:
    """A connection, with queues of this test's own."""
    with rabbitmq_queues() as (url, names):
        connection = connect_to_intake(url, names, outcomes_kept=100_000)
        yield connection, names
        connection.close()


@pytest.fixture
def written(broker_of_ours: tuple[Connection, StreamNames]) -> list[int]:
    """How many bytes each write to the socket had."""
    sizes: list[int] = []
    transport: Any = broker_of_ours[0].transport
    write = transport._write

    def note(piece: bytes) -> None:
        sizes.append(len(piece))
        write(piece)

    transport._write = note
    return sizes


@pytest.mark.parametrize(("messages", "size", "writes"), [(1_000, 300, 10), (40, 200_000, 90)])
def test_many_messages_are_written_in_few_pieces_of_bounded_size(
    broker_of_ours: tuple[Connection, StreamNames],
    written: list[int],
    messages: int,
    size: int,
    writes: int,
) -> None:
    """All of them arrive, and the largest events do not gather in memory."""
    connection, names = broker_of_ours
    publishing = Publishing(connection)
    written.clear()
    publishing.publish(
        Outgoing(names.dead_letters, outcome_message(b"x" * size)) for _ in range(messages)
    )
    channel = open_channel(connection)
    wait_for(lambda: undelivered(channel, names.dead_letters) == messages, what="all messages")
    assert len(written) <= writes
    assert max(written) <= LARGEST


def test_what_came_before_a_failure_is_published(
    broker_of_ours: tuple[Connection, StreamNames],
) -> None:
    """So a connection that goes on counts its confirms right."""
    connection, names = broker_of_ours
    publishing = Publishing(connection)

    def some() -> Iterator[Outgoing]:
        yield Outgoing(names.dead_letters, outcome_message(b"first"))
        raise LookupError

    with pytest.raises(LookupError):
        publishing.publish(some())
    publishing.publish([Outgoing(names.dead_letters, outcome_message(b"second"))])
    channel = open_channel(connection)
    wait_for(lambda: undelivered(channel, names.dead_letters) == 2, what="both messages")
