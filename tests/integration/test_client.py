"""The client on a real Redis, with the worker's own drain behind it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from threading import Thread

import orjson
import pytest
import redis

from console.embedded import Redis
from models.events import MAX_EVENT_BYTES
from models.outcomes import Identity
from models.results import (
    CommunicationRecorded,
    Done,
    EscalationSubmitted,
    Halted,
    IncidentReported,
)
from models.signatures import verify
from models.streams import EVENT, KEY, SIGNATURE, Lane, StreamNames
from producers.client import (
    Client,
    IntakeFull,
    IntakeUnreachable,
    NoOutcome,
    NotPublishable,
    SignedEvent,
)
from producers.publisher import CHUNK
from tests.support.draining import drain, draining
from tests.support.installation import Installation
from tests.support.requests import KEY_ID, SECRET, SOURCE, report
from tests.support.servers import Servers
from tests.support.waiting import wait_for

NAMES = StreamNames()


@contextmanager
def client(
    url: str,
    *,
    intake_limit: int = 1_000_000,
    retry_for: float = 0,
    wait_when_full: float = 0,
) -> Iterator[Client]:
    """A client of the tests' source, which tries once unless a test wants more."""
    with Client(
        url,
        source=SOURCE,
        key_id=KEY_ID,
        secret=SECRET,
        intake_limit=intake_limit,
        retry_for=retry_for,
        wait_when_full=wait_when_full,
    ) as made:
        yield made


def test_published_requests_come_back_as_outcomes_by_their_identities(
    installation: Installation, servers: Servers
) -> None:
    """What was published and decided is yielded, each wanted request once, with its result."""
    with client(servers.redis_url) as producer, draining(installation):
        events = [producer.prepare("report_incident", report()) for _ in range(3)]
        since = producer.position()
        producer.publish([*events, events[0]])
        identities = [event.identity for event in events if event.identity]
        outcomes = list(producer.wait(identities, since=since, timeout=120))
    assert {outcome["request"]["id"] for outcome in outcomes} == {one.id for one in identities}
    assert [outcome["outcome"] for outcome in outcomes] == ["done"] * 3
    assert {outcome["result"]["incident_id"] for outcome in outcomes} == {"1", "2", "3"}


def test_an_entry_holds_the_exact_bytes_their_key_and_their_signature(
    broker: redis.Redis, servers: Servers
) -> None:
    """Another program finds on the stream what DESIGN 5 says, in the lane that was asked for."""
    with client(servers.redis_url) as producer:
        event = producer.prepare("report_incident", {"title": "x"}, id="r1")
        (entry,) = producer.publish([event], lane=Lane.BULK)
    stream, _, number = entry.rpartition("/")
    assert stream == NAMES.intake(Lane.BULK)
    ((found, fields),) = broker.xrange(stream)
    assert found.decode() == number
    assert fields[EVENT.encode()] == event.event
    assert fields[KEY.encode()].decode() == KEY_ID
    assert verify(fields[EVENT.encode()], fields[SIGNATURE.encode()].decode(), SECRET)
    assert orjson.loads(event.event)["type"] == "andon.report_incident"


def test_one_clients_events_are_ordered_by_time_and_by_id(servers: Servers) -> None:
    """Times increase strictly even within a microsecond, and fresh ids sort like their times."""
    with client(servers.redis_url) as producer:
        events = [orjson.loads(producer.prepare("x", {}).event) for _ in range(5_000)]
    assert all(a["time"] < b["time"] and a["id"] < b["id"] for a, b in pairwise(events))


def test_given_id_and_time_stand_as_given(servers: Servers) -> None:
    """Publishing a request again makes the same event again."""
    moment = datetime(2026, 11, 23, 16, 0, 0, 123456, tzinfo=UTC)
    with client(servers.redis_url) as producer:
        first, again = (producer.prepare("x", {"a": 1}, id="r1", time=moment) for _ in range(2))
    assert first == again
    assert first.identity == Identity(SOURCE, "r1")
    assert b"2026-11-23T16:00:00.123456Z" in first.event


def test_a_whole_event_is_signed_as_it_is_and_tells_its_identity(servers: Servers) -> None:
    """Bytes are not written anew; what is no CloudEvent has no identity."""
    whole = b'{ "specversion":"1.0", "id":"7","source":"s","type":"andon.x" }'
    with client(servers.redis_url) as producer:
        signed = producer.sign(whole)
        assert (signed.event, signed.identity) == (whole, Identity("s", "7"))
        assert producer.sign(b"not JSON").identity is None


def test_what_no_intake_takes_is_refused_before_it_is_published(servers: Servers) -> None:
    """An event above 256 KiB, or inputs that are no JSON, raise where the mistake was made."""
    with client(servers.redis_url) as producer:
        with pytest.raises(NotPublishable, match="262,144"):
            producer.prepare("report_incident", {"note": "x" * MAX_EVENT_BYTES})
        with pytest.raises(NotPublishable, match="no JSON"):
            producer.prepare("report_incident", {"note": object()})
        with pytest.raises(NotPublishable, match="262,144"):
            producer.sign(b"x" * (MAX_EVENT_BYTES + 1))


def test_a_full_intake_refuses_before_the_chunk_that_has_no_room(
    broker: redis.Redis, servers: Servers
) -> None:
    """Both lanes count; the error says how many were accepted, and no more are in the intake."""
    limit = CHUNK + 10
    with client(servers.redis_url, intake_limit=limit) as producer:
        producer.publish([producer.prepare("x", {}) for _ in range(5)], lane=Lane.BULK)
        events = [producer.prepare("x", {}) for _ in range(CHUNK + 6)]
        with pytest.raises(IntakeFull, match=f"holds 505 of {limit}.* 500 events were accepted"):
            producer.publish(events)
        with pytest.raises(IntakeFull, match="Nothing was accepted") as refused:
            producer.publish(events)
    assert refused.value.entries == []
    assert broker.xlen(NAMES.intake()) == CHUNK
    assert broker.xlen(NAMES.intake(Lane.BULK)) == 5


def test_a_full_intake_takes_requests_again_once_it_was_drained(
    installation: Installation, servers: Servers
) -> None:
    """The limit is about what waits to be decided, not about what was ever accepted."""
    with client(servers.redis_url, intake_limit=1) as producer:
        producer.publish([producer.prepare("report_incident", report())])
        with pytest.raises(IntakeFull):
            producer.publish([producer.prepare("report_incident", report())])
        drain(installation)
        producer.publish([producer.prepare("report_incident", report())])
        drain(installation)
    assert len(installation.rows("SELECT FROM incidents")) == 2


def test_an_intake_that_is_away_is_said_so_without_its_password(tmp_path: Path) -> None:
    """Publishing, asking the position and waiting each end with IntakeUnreachable."""
    server = Redis(tmp_path, appendfsync="everysec")
    url = server.start()
    password = url.split(":")[2].partition("@")[0]
    with client(url) as producer:
        event = producer.prepare("x", {}, id="r1")
        since = producer.position()
        server.kill()
        with pytest.raises(IntakeUnreachable, match="Nothing was accepted") as publishing:
            producer.publish([event])
        with pytest.raises(IntakeUnreachable) as asking:
            producer.position()
        with pytest.raises(IntakeUnreachable) as waiting:
            list(producer.wait([Identity(SOURCE, "r1")], since=since, timeout=60))
    for failure in (publishing, asking, waiting):
        assert password not in str(failure.value)


def test_publishing_goes_on_through_kill_9_of_redis(tmp_path: Path) -> None:
    """Everything arrives, in order, and each entry given back is that of its event."""
    server = Redis(tmp_path)
    url = server.start()
    count, crashes_at = 40 * CHUNK, [5 * CHUNK, 15 * CHUNK, 30 * CHUNK]
    restarts: list[str] = []

    def crash() -> None:
        for place in crashes_at:
            wait_for(lambda place=place: held(url) >= place, what=f"{place} events")
            server.kill()
            restarts.append(server.start())

    def events(producer: Client) -> Iterator[SignedEvent]:
        for number in range(count):
            if number - 5 * CHUNK in crashes_at:  # a fast machine waits for its crash here
                crashed = crashes_at.index(number - 5 * CHUNK) + 1
                wait_for(lambda crashed=crashed: len(restarts) >= crashed, what="a restart")
            yield producer.prepare("x", {}, id=f"r{number}")

    crashing = Thread(target=crash)
    crashing.start()
    try:
        with client(url, retry_for=30) as producer:
            entries = producer.publish(events(producer))
        with redis.Redis.from_url(url) as reader:
            stored = reader.xrange(NAMES.intake())
    finally:
        crashing.join()
        server.stop()
    assert restarts == [url] * len(crashes_at)
    arrived = {
        f"{NAMES.intake()}/{number.decode()}": orjson.loads(fields[EVENT.encode()])["id"]
        for number, fields in stored
    }
    assert list(dict.fromkeys(arrived.values())) == [f"r{number}" for number in range(count)]
    assert [arrived[entry] for entry in entries] == [f"r{number}" for number in range(count)]


def held(url: str) -> int:
    """How many entries the intake holds; none while its Redis is away."""
    with redis.Redis.from_url(url) as reader, suppress(redis.ConnectionError):
        return int(reader.xlen(NAMES.intake()))
    return 0


def test_publishing_gives_up_after_its_time_and_says_what_was_accepted(tmp_path: Path) -> None:
    """The error of the last try counts what any try before it had accepted."""
    server = Redis(tmp_path)

    def events(producer: Client) -> Iterator[SignedEvent]:
        for number in range(3 * CHUNK):
            if number == 2 * CHUNK:
                server.kill()
            yield producer.prepare("x", {})

    with client(server.start(), retry_for=0.5) as producer:
        began = time.monotonic()
        with pytest.raises(IntakeUnreachable, match=r"\. 1,000 events were accepted\.$") as failed:
            producer.publish(events(producer))
        assert time.monotonic() - began >= 0.5
    assert len(set(failed.value.entries)) == 2 * CHUNK


def test_a_full_intake_is_waited_for_where_that_was_asked_for(
    installation: Installation, servers: Servers
) -> None:
    """Publishing goes on once there is room, and fails as before when there is none in time."""
    with client(servers.redis_url, intake_limit=1, wait_when_full=30) as patient:
        patient.publish([patient.prepare("report_incident", report())])
        with draining(installation):
            patient.publish([patient.prepare("report_incident", report())])
    with client(servers.redis_url, intake_limit=0, wait_when_full=0.3) as hasty:
        began = time.monotonic()
        with pytest.raises(IntakeFull, match=r" of 0 entries\. Nothing was accepted\.$"):
            hasty.publish([hasty.prepare("x", {})])
        assert time.monotonic() - began >= 0.3


def test_what_was_confirmed_is_not_published_again(broker: redis.Redis, servers: Servers) -> None:
    """A try goes on after the last confirmed event, and the result has the entries of all tries."""
    taken: list[bytes] = []

    def make_room() -> None:
        wait_for(lambda: broker.xlen(NAMES.intake()), what="the first round trip")
        taken.extend(number for number, _ in broker.xrange(NAMES.intake()))
        broker.xdel(NAMES.intake(), *taken)

    making_room = Thread(target=make_room)
    making_room.start()
    with client(servers.redis_url, intake_limit=50, wait_when_full=30) as producer:
        inputs = {"note": "x" * 200_000}  # too large for one round trip together
        entries = producer.publish([producer.prepare("x", inputs) for _ in range(60)])
    making_room.join()
    rest = [number for number, _ in broker.xrange(NAMES.intake())]
    assert 0 < len(taken) < 60
    assert entries == [f"{NAMES.intake()}/{number.decode()}" for number in taken + rest]


def test_waiting_survives_a_restart_of_redis(tmp_path: Path) -> None:
    """An outcome published after a restart is still found."""
    server = Redis(tmp_path)
    wanted = Identity(SOURCE, "r1")
    data = {"request": wanted._asdict(), "outcome": "done"}
    try:
        with client(server.start()) as producer:
            waiting = producer.wait([wanted], since=producer.position(), timeout=120)
            server.stop()
            with redis.Redis.from_url(server.start()) as other:
                other.xadd(NAMES.outcomes, {EVENT: orjson.dumps({"entry": "e", "data": data})})
            assert next(waiting) == data
    finally:
        server.stop()


def test_waiting_ends_at_its_timeout_and_with_a_trimmed_stream(
    broker: redis.Redis, servers: Servers
) -> None:
    """What is no longer on the stream does not come; what is still there does."""
    with client(servers.redis_url) as producer:
        since = producer.position()
        for name in ("lost", "kept"):
            data = {"request": {"source": SOURCE, "id": name}}
            broker.xadd(NAMES.outcomes, {EVENT: orjson.dumps({"entry": name, "data": data})})
        broker.xtrim(NAMES.outcomes, maxlen=1, approximate=False)
        wanted = [Identity(SOURCE, "lost"), Identity(SOURCE, "kept")]
        found = [o["request"]["id"] for o in producer.wait(wanted, since=since, timeout=0.1)]
    assert found == ["kept"]


def test_a_typed_call_publishes_and_returns_its_receipt(
    broker: redis.Redis, servers: Servers
) -> None:
    """The receipt names the request and its entry; lane, id and time are as asked for."""
    moment = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
    with Client(
        servers.redis_url, source=SOURCE, key_id=KEY_ID, secret=SECRET, lane=Lane.BULK
    ) as producer:
        receipt = producer.report_incident(**report(), id="r1", time=moment)
        (place,) = producer.publish(
            [producer.requests.update_incident(incident_request=receipt, updated_by_user="x")],
            lane=Lane.URGENT,
        )
    assert receipt.identity == Identity(SOURCE, "r1")
    assert not receipt.is_spooled
    ((number, fields),) = broker.xrange(NAMES.intake(Lane.BULK))
    assert receipt.entry == f"{NAMES.intake(Lane.BULK)}/{number.decode()}"
    assert orjson.loads(fields[EVENT.encode()])["time"] == "2026-11-23T16:00:00Z"
    assert place.startswith(f"{NAMES.intake(Lane.URGENT)}/")


def test_a_typed_call_may_wait_for_its_outcome(
    installation: Installation, servers: Servers
) -> None:
    """All four procedures give back what they are done with, typed; a halt is a value too."""
    with client(servers.redis_url) as producer, draining(installation):
        asking = producer.waiting(timeout=120)
        reported = asking.report_incident(**report())
        assert isinstance(reported, Done)
        assert isinstance(reported.result, IncidentReported)
        incident = reported.result.incident_id
        escalated = asking.submit_escalation(
            incident_id=incident,
            escalated_by_user="support",
            escalated_to_user="manager",
            escalation_level="management",
        )
        assert isinstance(escalated, Done)
        assert isinstance(escalated.result, EscalationSubmitted)
        resolved = asking.change_escalation(
            escalation_id=escalated.result.escalation_id,
            escalated_by_user="support",
            status="resolved",
        )
        recorded = asking.record_communication(
            incident_request=reported.identity,
            sender_id="support",
            recipient_id="acme-contact",
            communication_type="status_update",
            delivery_method="email",
        )
        assert isinstance(recorded, Done)
        assert isinstance(recorded.result, CommunicationRecorded)
        sent = asking.change_communication(
            communication_id=recorded.result.communication_id,
            sender_id="support",
            delivery_status="sent",
        )
        halted = asking.update_incident(incident_id=incident, updated_by_user="support")
    assert isinstance(resolved, Done)
    assert isinstance(resolved.result, EscalationSubmitted)
    assert resolved.result.status == "resolved"
    assert isinstance(sent, Done)
    assert isinstance(sent.result, CommunicationRecorded)
    assert sent.result.delivery_status == "sent"
    assert isinstance(halted, Halted)
    assert halted.halt.reason == "missing_input"


def test_a_call_without_an_outcome_in_time_says_that_nothing_is_lost(
    broker: redis.Redis, servers: Servers
) -> None:
    """The request is in the intake, and its receipt in the exception."""
    with client(servers.redis_url) as producer, pytest.raises(NoOutcome) as caught:
        producer.waiting(timeout=0.1).report_incident(**report(), id="r1")
    assert caught.value.receipt.identity.id == "r1"
    assert broker.xlen(NAMES.intake()) == 1
