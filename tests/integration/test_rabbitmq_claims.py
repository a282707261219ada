"""What a message on RabbitMQ says of itself, and nobody has checked."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from models.rabbitmq import (
    ACCEPTED_AT,
    Outgoing,
    Publishing,
    connect_to_intake,
    intake_message,
)
from models.signatures import sign
from models.streams import StreamNames
from tasks.drain import Drain
from tests.support.installation import Installation
from tests.support.rabbitmq import rabbitmq_queues
from tests.support.requests import KEY_ID, SECRET, event, report
from tests.support.waiting import wait_for
from worker.rabbitmq_intake import RabbitIntake


@pytest.fixture
def broker_of_ours() -> Iterator[tuple[str, StreamNames]]:
    """A RabbitMQ, with queues of this test's own."""
    with rabbitmq_queues() as (url, names):
        yield url, names


def publish(url: str, names: StreamNames, *, key_id: str = KEY_ID, **headers: object) -> datetime:
    """Publish a report with such headers; when it was signed."""
    signed = datetime.now(UTC)
    inputs = report(detection_timestamp=signed.isoformat())
    text = event("report_incident", inputs, id="r1", time=signed)
    message = intake_message(
        text, key_id, sign(text, SECRET), message_id="m1", now=datetime.now(UTC)
    )
    message.headers.update(headers)
    connection = connect_to_intake(url, names, outcomes_kept=1_000)
    Publishing(connection).publish([Outgoing(names.intake(), message)])
    connection.close()
    return signed


def test_only_the_broker_says_how_often_it_has_delivered(
    broker_of_ours: tuple[str, StreamNames],
) -> None:
    """A producer's x-delivery-count has nothing run alone, and before all others."""
    url, names = broker_of_ours
    publish(url, names, **{"x-delivery-count": 40})
    intake = RabbitIntake(url, names, timedelta(seconds=1), outcomes_kept=1_000)
    (first,) = intake.receive(10)
    assert first.deliveries == 1
    intake.drop()  # the connection is lost, and the broker gives it out again
    (again,) = intake.receive(10)
    intake.finish([(again, None)])
    intake.drop()
    assert again.deliveries == 2


@pytest.mark.parametrize("told", [0, -5, 2**62, 32_503_680_000_000, "soon", None])
def test_a_clients_word_for_the_time_dates_nothing(
    broker_of_ours: tuple[str, StreamNames], installation: Installation, told: object
) -> None:
    """Whatever the header says, a fresh report is done, and was received when it was signed."""
    url, names = broker_of_ours
    signed = publish(url, names, **{ACCEPTED_AT: told})
    intake = RabbitIntake(url, names, timedelta(seconds=1), outcomes_kept=1_000)
    found = intake.receive(10)
    (verdict,) = installation.process(*found)
    intake.finish([(found[0], None)])
    intake.drop()
    assert verdict.outcome is not None
    assert not verdict.outcome.halted
    assert installation.rows("SELECT reported_at FROM incidents") == [(signed,)]
    ((received,),) = installation.rows("SELECT received_at FROM requests")
    assert signed <= received <= datetime.now(UTC)


@pytest.mark.parametrize("told", [None, "soon", 32_503_680_000_000])
def test_what_does_not_say_when_it_was_accepted_waits_for_its_key_no_longer_than_others(
    broker_of_ours: tuple[str, StreamNames], installation: Installation, told: object
) -> None:
    """A message under an unknown key halts in the end, whatever its header says or leaves out."""
    url, names = broker_of_ours
    means = installation.pipeline.means
    rules = replace(means.rules, key_patience=timedelta(seconds=1))
    installation.pipeline.means = replace(means, rules=rules)
    publish(url, names, key_id="nobody-1", **{ACCEPTED_AT: told})
    intake = RabbitIntake(url, names, timedelta(seconds=1), outcomes_kept=1_000)
    drain = Drain(intake, installation.pipeline, 700, renew_after=5, stopping=lambda: False)

    def halted() -> bool:
        drain.run()
        return bool(installation.rows("SELECT FROM halts"))

    wait_for(halted, what="its halt")
    intake.drop()
    assert installation.rows("SELECT reason FROM halts") == [("unauthenticated",)]
