"""A real worker on RabbitMQ: the same promises, with nothing else changed than the broker's URL."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.outcomes import Identity
from models.streams import StreamNames
from producers.client import Client
from producers.engines import connect_publisher
from producers.signed import SignedEvent
from tests.support.installation import Installation
from tests.support.rabbitmq import rabbitmq_queues
from tests.support.requests import KEY_ID, SECRET, SOURCE, report, update
from tests.support.waiting import wait_for
from tests.support.workers import pool_of, running

Place = tuple[str, StreamNames]


@pytest.fixture
def place() -> Iterator[Place]:
    """A RabbitMQ, and names of this test's own."""
    with rabbitmq_queues() as found:
        yield found


@pytest.fixture
def client(place: Place) -> Iterator[Client]:
    """A client of the tests' source."""
    url, names = place
    with Client(url, source=SOURCE, key_id=KEY_ID, secret=SECRET, names=names) as made:
        yield made


def environment(installation: Installation, place: Place, **more: str) -> dict[str, str]:
    """The installation's settings, on RabbitMQ."""
    url, names = place
    return installation.environment() | {
        "ANDON_BROKER_URL": url,
        "ANDON_NAMESPACE": names.namespace,
        **more,
    }


def reports(client: Client, count: int, name: str = "r") -> list[SignedEvent]:
    """Distinct reports."""
    return [client.prepare("report_incident", report(), id=f"{name}{n}") for n in range(count)]


def outcomes(client: Client, events: list[SignedEvent], since: str) -> dict[str, str]:
    """What became of each of *events*: ``done``, or the reason of its halt."""
    wanted = [each.identity for each in events if each.identity]
    told = client.wait(wanted, since=since, timeout=60)
    return {
        each["request"]["id"]: each["halt"]["reason"] if "halt" in each else each["outcome"]
        for each in told
    }


def effects(installation: Installation) -> list[str]:
    """Which requests opened incidents, each as often as it did."""
    return sorted(i for (i,) in installation.rows("SELECT request_id FROM incidents"))


def test_requests_come_to_their_outcomes(
    installation: Installation, place: Place, client: Client, tmp_path: Path
) -> None:
    """Reports, a follow-up that waits, a halt, a duplicate, a forged one; and SIGTERM ends it."""
    follow_up = update(incident_id=None, incident_request={"id": "late"})
    events = [
        client.prepare("update_incident", follow_up, id="follow-up"),
        *reports(client, 700),
        client.prepare("report_incident", report(client_id="nobody"), id="halted"),
    ]
    settings = environment(installation, place)
    with (
        running(settings, tmp_path) as worker,
        running(settings, tmp_path, what="run_schedules"),
    ):
        since = client.position()
        client.publish(events)
        late = client.prepare("report_incident", report(), id="late")
        client.publish([late, events[1]])
        found = outcomes(client, [*events, late], since)
        assert found.pop("halted") == "client_not_found"
        assert set(found.values()) == {"done"}
        assert len(found) == 702
        forged = SignedEvent(Identity(SOURCE, "forged"), events[1].event, KEY_ID, "00" * 32)
        client.publish([forged])
        wait_for(
            lambda: installation.rows("SELECT FROM halts WHERE reason = 'unauthenticated'"),
            what="halt of the forged one",
        )
        assert worker.terminate() == 0
    assert effects(installation) == sorted(["late", *(f"r{n}" for n in range(700))])
    ((duplicates,),) = installation.rows("SELECT sum(duplicates) FROM tallies")
    assert duplicates == 1


def test_kill_9_of_workers_and_pool_processes_loses_and_doubles_nothing(
    installation: Installation, place: Place, client: Client, tmp_path: Path
) -> None:
    """What a killed process held is run again at once, by whoever is there."""
    settings = environment(installation, place, ANDON_BATCH_SIZE="50")
    events = reports(client, 6_000)
    since = client.position()
    client.publish(events[:3_000])
    with running(settings, tmp_path) as worker:
        for number in range(4):
            _wait_for_progress(installation)
            children = wait_for(lambda: pool_of(worker), what="pool")
            os.kill(children[number % len(children)], signal.SIGKILL)
        client.publish(events[3_000:])
        _wait_for_progress(installation)
        worker.kill()
    with running(settings, tmp_path) as worker:
        found = outcomes(client, events, since)
        assert worker.terminate() == 0
    assert found == {f"r{n}": "done" for n in range(6_000)}
    assert effects(installation) == sorted(found)
    assert installation.rows("SELECT FROM halts") == []


def _wait_for_progress(installation: Installation) -> None:
    def decided() -> int:
        ((count,),) = installation.rows("SELECT count(*) FROM requests")
        return int(count)

    before = decided()
    wait_for(lambda: decided() > before, seconds=60, what="progress")


def test_sigterm_under_load_redelivers_nothing(
    installation: Installation, place: Place, client: Client, tmp_path: Path
) -> None:
    """What the pool has been given is finished and acknowledged; each outcome comes once."""
    settings = environment(installation, place, ANDON_BATCH_SIZE="50")
    events = reports(client, 4_000)
    since = client.position()
    client.publish(events)
    for _ in range(2):
        with running(settings, tmp_path) as worker:
            _wait_for_progress(installation)
            assert worker.terminate() == 0
    with running(settings, tmp_path) as worker:
        assert len(outcomes(client, events, since)) == 4_000
        assert worker.terminate() == 0
    ((audited,),) = installation.rows(
        "SELECT count(*) FROM audit_records WHERE outcome = 'done' AND entry IS NOT NULL"
    )
    assert audited == 4_000
    publisher = connect_publisher(place[0], names=place[1])
    reader = publisher.outcomes(since)
    told: list[str] = []
    while read := reader.read(block=0.5):
        told += [each.entry for each in read]
    publisher.close()
    assert len(told) == len(set(told)) == 4_000


def test_an_outage_of_postgresql_halts_nothing(
    installation: Installation, place: Place, client: Client, tmp_path: Path
) -> None:
    """The worker waits with what it has in hand, and goes on by itself."""
    with running(environment(installation, place), tmp_path) as worker:
        installation.execute("ALTER TABLE requests RENAME TO requests_away")
        events = reports(client, 400)
        since = client.position()
        client.publish(events)
        wait_for(lambda: "outage_began" in worker.output(), what="outage")
        installation.execute("ALTER TABLE requests_away RENAME TO requests")
        assert set(outcomes(client, events, since).values()) == {"done"}
        assert worker.terminate() == 0
    assert installation.rows("SELECT FROM attempts") == []
    assert len(effects(installation)) == 400
