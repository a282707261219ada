"""The users of deploy/rabbitmq on a real broker: what each may do, and what it may not.

docs/rights.md has the same as a table.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from amqp import Channel
from amqp.basic_message import Message
from amqp.exceptions import AccessRefused
from pydantic import SecretStr

from models.rabbitmq import (
    connect_rabbitmq,
    connect_to_intake,
    open_channel,
    undelivered,
)
from models.results import Done
from models.streams import Lane, StreamNames
from producers.client import Client
from producers.faults import IntakeUnreachable
from tests.support.installation import Installation
from tests.support.rabbitmq import rabbitmq_queues
from tests.support.requests import KEY_ID, SECRET, SOURCE, report
from tests.support.shell import andon
from tests.support.waiting import wait_for
from tests.support.workers import running
from worker.engines import open_gauge

MAKE_USERS = Path(__file__).parents[2] / "deploy/rabbitmq/make-users.sh"
USERS = ("worker", "gateway", "producer", "reader", "monitor")
NOT_WORKERS = USERS[1:]
RABBITMQCTL = shutil.which("rabbitmqctl")


def rabbitmqctl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run it, to its end."""
    assert RABBITMQCTL is not None
    return subprocess.run(
        [RABBITMQCTL, "--quiet", *arguments], stdin=subprocess.DEVNULL, capture_output=True
    )


@dataclass(frozen=True, slots=True)
class Broker:
    """The broker, as each of the users reaches it."""

    url: str
    names: StreamNames

    def url_of(self, user: str) -> str:
        """The broker URL of a user."""
        at = urlsplit(self.url)
        prefix = self.names.namespace
        return f"amqp://{prefix}-{user}:password-of-{user}@{at.hostname}:{at.port or 5672}{at.path}"


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """The users, and the queues as a worker has made them."""
    if RABBITMQCTL is None or os.geteuid() != 0:
        pytest.skip("users are made with rabbitmqctl, as root")
    with rabbitmq_queues() as (url, names):
        if urlsplit(url).hostname not in ("127.0.0.1", "localhost"):
            pytest.skip("users are made with rabbitmqctl, on the broker's machine")
        if rabbitmqctl("status").returncode:
            pytest.skip("rabbitmqctl does not reach the broker")
        made = Broker(url, names)
        secrets = {f"RABBITMQ_{user.upper()}_PASSWORD": f"password-of-{user}" for user in USERS}
        subprocess.run(
            ["sh", MAKE_USERS, "/", names.namespace, f"{names.namespace}-"],
            env=os.environ | secrets,
            check=True,
            capture_output=True,
        )
        try:
            connect_to_intake(made.url_of("worker"), names, outcomes_kept=1_000).close()
            yield made
        finally:
            for user in USERS:
                rabbitmqctl("delete_user", f"{names.namespace}-{user}")


def publish(channel: Channel, exchange: str, queue: str) -> None:
    """Publish one message, and have it confirmed."""
    channel.confirm_select()
    channel.basic_publish(Message(b"x"), exchange, queue, mandatory=True)
    channel.basic_qos(0, 1, False)  # is answered after what was published before


Attempt = Callable[[Channel, StreamNames], object]
FORGERIES: dict[str, Attempt] = {
    "an outcome": lambda channel, names: publish(channel, "", names.outcomes),
    "a halt": lambda channel, names: publish(channel, "", names.halts),
    "a dead letter": lambda channel, names: publish(channel, "", names.dead_letters),
    "what is set aside": lambda channel, names: publish(channel, "", names.set_aside),
    "a task of Celery's": lambda channel, names: publish(channel, "", f"{names.namespace}:tasks"),
    "a lane past the exchange": lambda channel, names: publish(channel, "", names.intake()),
}
READING: dict[str, Attempt] = {
    "the urgent lane": lambda channel, names: channel.basic_get(names.intake()),
    "the bulk lane": lambda channel, names: channel.basic_consume(names.intake(Lane.BULK)),
    "the dead letters": lambda channel, names: channel.basic_get(names.dead_letters),
}
REMOVING: dict[str, Attempt] = {
    "empty a lane": lambda channel, names: channel.queue_purge(names.intake()),
    "delete a lane": lambda channel, names: channel.queue_delete(names.intake()),
    "delete the exchange": lambda channel, names: channel.exchange_delete(names.intake_exchange),
    "unbind a lane": lambda channel, names: channel.queue_unbind(
        names.intake(), names.intake_exchange, routing_key=names.intake()
    ),
    "bind outcomes to the exchange": lambda channel, names: channel.queue_bind(
        names.outcomes, names.intake_exchange, routing_key=names.outcomes
    ),
    "make a queue": lambda channel, names: channel.queue_declare(f"{names.namespace}:mine"),
    "make an exchange": lambda channel, names: channel.exchange_declare(
        f"{names.namespace}.mine", "fanout"
    ),
}
NOBODY = FORGERIES | READING | REMOVING
PUBLISHING: dict[str, Attempt] = {
    "the intake": lambda channel, names: publish(channel, names.intake_exchange, names.intake()),
}
OUTCOMES: dict[str, Attempt] = {
    "outcomes": lambda channel, names: read_stream(channel, names.outcomes),
    "halts": lambda channel, names: read_stream(channel, names.halts),
}


def read_stream(channel: Channel, stream: str) -> None:
    """Begin to read a stream."""
    channel.basic_qos(0, 1, False)
    channel.basic_consume(stream, callback=print, arguments={"x-stream-offset": "first"})


REFUSED = [
    *((user, name, attempt) for user in NOT_WORKERS for name, attempt in NOBODY.items()),
    *((user, *each) for user in ("reader", "monitor") for each in PUBLISHING.items()),
    *(("gateway", *each) for each in OUTCOMES.items()),
]


@pytest.mark.parametrize(
    ("user", "attempt"),
    [pytest.param(user, attempt, id=f"{user}: {name}") for user, name, attempt in REFUSED],
)
def test_a_user_may_not(broker: Broker, user: str, attempt: Attempt) -> None:
    """What a component does not need, it is refused."""
    connection = connect_rabbitmq(broker.url_of(user))
    try:
        with pytest.raises(AccessRefused):
            attempt(open_channel(connection), broker.names)
    finally:
        connection.collect()


def test_everything_works_with_these_rights(broker: Broker, installation: Installation) -> None:
    """Worker, producer, reader and monitoring do all their work; nothing else is needed."""
    environment = installation.environment() | {
        "ANDON_BROKER_URL": broker.url_of("worker"),
        "ANDON_NAMESPACE": broker.names.namespace,
    }
    with (
        running(environment, installation.directory) as worker,
        Client(
            broker.url_of("producer"),
            source=SOURCE,
            key_id=KEY_ID,
            secret=SECRET,
            names=broker.names,
        ) as producer,
    ):
        outcome = producer.waiting(timeout=30).report_incident(**report())
        assert isinstance(outcome, Done)
        halted = producer.waiting(timeout=30).report_incident(**report(reporter_user_id="leaver"))
        assert not isinstance(halted, Done)
        assert "ACCESS_REFUSED" not in worker.output()
        replayed = andon(
            "halts", "replay", "1", "--wait", settings=environment, directory=installation.directory
        )
        assert replayed.code == 1, replayed.stderr  # it halts again
    connection = connect_rabbitmq(broker.url_of("reader"))
    for read in OUTCOMES.values():
        read(open_channel(connection), broker.names)
    connection.collect()
    settings = installation.settings.model_copy(
        update={
            "broker_url": SecretStr(broker.url_of("monitor")),
            "namespace": broker.names.namespace,
        }
    )
    with closing(open_gauge(settings)) as gauge:
        assert gauge.read_intake().outcomes >= 0
    connection = connect_rabbitmq(broker.url_of("gateway"))
    publish(open_channel(connection), broker.names.intake_exchange, broker.names.intake())
    connection.collect()


def test_a_queue_that_would_lose_requests_is_refused(
    installation: Installation,
) -> None:
    """A lane that somebody made as a classic queue of one message: the worker says so, and ends."""
    with rabbitmq_queues() as (url, names):
        connection = connect_rabbitmq(url)
        channel = open_channel(connection)
        channel.queue_declare(
            names.intake(), durable=True, auto_delete=False, arguments={"x-max-length": 1}
        )
        environment = installation.environment() | {
            "ANDON_BROKER_URL": url,
            "ANDON_NAMESPACE": names.namespace,
        }
        found = andon("worker", settings=environment, directory=installation.directory)
        assert found.code == 3
        assert f"queue {names.intake()} that is not as Andon needs it" in found.stderr
        assert "Traceback" not in found.stderr
        with (
            Client(
                url, source=SOURCE, key_id=KEY_ID, secret=SECRET, names=names, retry_for=0
            ) as producer,
            pytest.raises(IntakeUnreachable, match="Nothing was accepted"),
        ):
            producer.publish([producer.requests.report_incident(**report()) for _ in range(5)])
        assert undelivered(open_channel(connection), names.intake()) == 0
        connection.close()


def test_what_a_setting_changes_of_a_stream_is_no_fault() -> None:
    """Another ANDON_OUTCOMES_KEPT later on leaves the streams as they were made."""
    with rabbitmq_queues() as (url, names):
        for kept in (1_000, 5_000):
            connect_to_intake(url, names, outcomes_kept=kept).close()


def test_publishing_past_the_exchange_still_works_for_who_may() -> None:
    """A trusted program that publishes to the default exchange need not be changed."""
    with rabbitmq_queues() as (url, names):
        connection = connect_to_intake(url, names, outcomes_kept=1_000)
        publish(open_channel(connection), "", names.intake())
        wait_for(lambda: undelivered(open_channel(connection), names.intake()) == 1)
        connection.close()
