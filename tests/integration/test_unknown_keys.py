"""A message whose key is not in the registry waits for it a little, in the broker."""

from dataclasses import replace
from datetime import timedelta

import pytest
import redis

from tasks.drain import Drain
from tests.support.draining import drain, intake_of
from tests.support.installation import REGISTRY, Installation
from tests.support.requests import SECRET, SOURCE, event, report
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for

LATER = f'{REGISTRY}\n[[sources.{SOURCE}.keys]]\nid = "later-1"\nsecret = "{SECRET.hex()}"\n'
"""The registry with one more key."""


def patient(installation: Installation, seconds: float) -> None:
    """Wait so long for keys."""
    means = installation.pipeline.means
    rules = replace(means.rules, key_patience=timedelta(seconds=seconds))
    installation.pipeline.means = replace(means, rules=rules)


@pytest.fixture
def traffic(installation: Installation, broker: redis.Redis) -> Traffic:
    """An intake that keeps messages for a minute while their keys are not there."""
    patient(installation, 60)
    return Traffic(broker)


def decided(installation: Installation) -> list[tuple[str | None, bool]]:
    """What was decided: requests and whether they halted."""
    return [tuple(row) for row in installation.rows("SELECT request_id, halted FROM requests")]


def test_a_request_waits_for_its_key_and_is_done(
    installation: Installation, traffic: Traffic
) -> None:
    """Its producer has the key before this machine has: nothing halts, and nothing counts twice."""
    traffic.put(event("report_incident", report(), id="early"), key_id="later-1")
    drain(installation)
    assert decided(installation) == []
    assert traffic.left() == 1
    installation.settings.producers_file.write_text(LATER)

    def done() -> bool:
        drain(installation)
        return traffic.left() == 0

    wait_for(done, what="the request, with its key")
    assert decided(installation) == [("early", False)]
    assert installation.rows("SELECT FROM halts") == []
    assert [each["data"]["outcome"] for each in traffic.outcomes()] == ["done"]


def test_what_waits_for_a_key_is_not_held_by_the_process(
    installation: Installation, traffic: Traffic
) -> None:
    """A drain ends with nothing in hand, and has not counted a delivery of it."""
    traffic.put(*(event("report_incident", report()) for _ in range(60)), key_id="nobody-1")
    with intake_of(installation) as intake:
        worker = Drain(intake, installation.pipeline, 700, renew_after=5, stopping=lambda: False)
        assert not worker.run()
        assert worker._in_hand == {}
        stream = traffic.names.intake()
        pending = traffic.client.xpending_range(stream, traffic.names.group, "-", "+", 100)
    assert len(pending) == 60
    assert {each["times_delivered"] for each in pending} == {0}
    assert intake.consumer.encode() not in {each["consumer"] for each in pending}


def test_nothing_waits_for_a_message_without_key(
    installation: Installation, traffic: Traffic
) -> None:
    """What came after it, under a key that is known, is done at once."""
    traffic.put(*(event("report_incident", report()) for _ in range(700)), key_id="nobody-1")
    traffic.put(event("report_incident", report(), id="after"))
    drain(installation)
    assert decided(installation) == [("after", False)]
    assert traffic.left() == 700


def test_a_key_that_never_comes_halts_its_messages(
    installation: Installation, traffic: Traffic
) -> None:
    """When their patience is over, as unauthenticated, each once."""
    patient(installation, 1)
    traffic.put(*(event("report_incident", report()) for _ in range(3)), key_id="nobody-1")

    def over() -> bool:
        drain(installation)
        return traffic.left() == 0

    wait_for(over, what="the end of patience")
    assert installation.rows("SELECT reason, count(*) FROM halts GROUP BY 1") == [
        ("unauthenticated", 3)
    ]


@pytest.mark.parametrize("key_id", ["", "no key", "k" * 65, "naïve"])
def test_what_can_be_no_key_is_not_waited_for(
    installation: Installation, traffic: Traffic, key_id: str
) -> None:
    """No registry could ever have it."""
    traffic.put(event("report_incident", report()), key_id=key_id)
    drain(installation)
    assert [row.reason for row in installation.rows("SELECT reason FROM halts")] == [
        "unauthenticated"
    ]
    assert traffic.left() == 0


def test_while_the_file_is_at_fault_a_key_may_be_in_it(
    installation: Installation, traffic: Traffic
) -> None:
    """However long that lasts; then the message is decided by the file as it is."""
    patient(installation, 0.001)
    path = installation.settings.producers_file
    installation.pipeline.look_at_registry()
    path.write_text("")
    traffic.put(event("report_incident", report(), id="in the file"), key_id="later-1")
    drain(installation)
    assert traffic.left() == 1
    path.write_text(LATER)

    def done() -> bool:
        drain(installation)
        return traffic.left() == 0

    wait_for(done, what="the request, with its key")
    assert decided(installation) == [("in the file", False)]


def test_while_the_registry_is_written_slowly_no_request_halts(
    installation: Installation, traffic: Traffic
) -> None:
    """In place, a few bytes at a time, with requests of every source at each step."""
    path = installation.settings.producers_file
    text = path.read_text()
    installation.pipeline.look_at_registry()
    ids = []
    for length in [*range(0, len(text), 40), len(text)]:
        path.write_text(text[:length])
        for source, key_id in ((SOURCE, "monitor-1"), ("narrow", "narrow-1")):
            ids.append(f"{source}-{length}")
            message = event("report_incident", report(), id=ids[-1], source=source)
            traffic.put(message, key_id=key_id)
        drain(installation)

    def done() -> bool:
        drain(installation)
        return traffic.left() == 0

    wait_for(done, what="all requests")
    assert sorted(name for name, _ in decided(installation) if name) == sorted(ids)
    reasons = {row.reason for row in installation.rows("SELECT DISTINCT reason FROM halts")}
    assert "unauthenticated" not in reasons
