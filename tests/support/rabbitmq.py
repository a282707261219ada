"""The RabbitMQ that the tests use: the one at ANDON_TEST_AMQP_URL, with queues of their own."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from models.rabbitmq import BROKER_FAULTS, connect_rabbitmq, intake_queues, open_channel
from models.streams import StreamNames

VARIABLE = "ANDON_TEST_AMQP_URL"


@contextmanager
def rabbitmq_queues() -> Iterator[tuple[str, StreamNames]]:
    """Its URL, and names that nobody else uses; the queues are gone afterwards.

    The test is skipped where no RabbitMQ is named; one that is named has to answer.
    """
    url = os.environ.get(VARIABLE)
    if not url:
        pytest.skip(f"{VARIABLE} names no RabbitMQ")
    names = StreamNames(f"andon-test-{secrets.token_hex(6)}")
    try:
        yield url, names
    finally:
        connection = connect_rabbitmq(url)
        channel = open_channel(connection)
        for queue in (
            *intake_queues(names),
            names.set_aside,
            names.outcomes,
            names.halts,
            f"{names.namespace}:tasks",
        ):
            with suppress(*BROKER_FAULTS):
                channel.queue_delete(queue)
        with suppress(*BROKER_FAULTS):
            channel.exchange_delete(names.intake_exchange)
        connection.close()
