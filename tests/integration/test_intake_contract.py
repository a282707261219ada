"""What both intake engines promise alike: what `tasks.intake` and `producers.publisher` say."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from socket import SHUT_RDWR

import pytest
import redis

from models.deliveries import Delivery
from models.entries import place_of
from models.events import Event, read_event
from models.outcomes import Identity, Outcome
from models.rabbitmq import (
    BROKER_FAULTS,
    connect_rabbitmq,
    declare_queues,
    is_rabbitmq,
    open_channel,
    undelivered,
)
from models.signatures import sign
from models.streams import Lane, StreamNames
from producers.engines import connect_publisher
from producers.faults import IntakeFull
from producers.publisher import Publisher
from producers.signed import SignedEvent
from tasks.intake import Finished, Intake
from tests.support.rabbitmq import rabbitmq_queues
from tests.support.requests import KEY_ID, SECRET, SOURCE, event, report
from tests.support.servers import Servers
from tests.support.waiting import wait_for
from worker.rabbitmq_intake import RabbitIntake
from worker.redis_burial import release_entries_of_dead
from worker.redis_intake import RedisIntake, connect_redis, make_groups, pool_prefix
from worker.settings import Settings

IDLE = timedelta(seconds=1)


@dataclass(slots=True)
class Engine:
    """One engine with an empty intake, and what a test has opened on it."""

    url: str
    names: StreamNames
    open_intake: Callable[[], Intake]
    abandon: Callable[[Intake], None]
    publishers: list[Publisher] = field(default_factory=list)

    def publisher(self, *, limit: int = 1_000) -> Publisher:
        """A publisher, closed when the test is over."""
        made = connect_publisher(self.url, names=self.names, intake_limit=limit)
        self.publishers.append(made)
        return made


@pytest.fixture(params=["redis", "rabbitmq"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine in turn."""
    made: Engine = request.getfixturevalue(f"{request.param}_engine")
    yield made
    for publisher in made.publishers:
        publisher.close()


@pytest.fixture
def redis_engine(servers: Servers, broker: redis.Redis) -> Engine:
    """The Redis of this test process."""
    names = StreamNames()

    def open_intake() -> Intake:
        client = connect_redis(servers.redis_url)
        make_groups(client, names)
        return RedisIntake(client, names, IDLE, outcomes_kept=10_000)

    def abandon(_intake: Intake) -> None:
        for lane in Lane:  # as if the idle time had passed
            for entry in broker.xpending_range(names.intake(lane), names.group, "-", "+", 1_000):
                number, count = entry["message_id"], entry["times_delivered"]
                broker.xclaim(
                    names.intake(lane), names.group, "gone", 0, [number],
                    idle=10_000, retrycount=count, justid=True,
                )  # fmt: skip

    return Engine(servers.redis_url, names, open_intake, abandon)


@pytest.fixture
def rabbitmq_engine() -> Iterator[Engine]:
    """The RabbitMQ that the environment names, with queues of this test's own."""
    with rabbitmq_queues() as (url, names):
        opened: list[RabbitIntake] = []
        connection = connect_rabbitmq(url)
        declare_queues(connection, names, outcomes_kept=10_000)
        connection.close()

        def open_intake() -> Intake:
            intake = RabbitIntake(url, names, IDLE, outcomes_kept=10_000)
            opened.append(intake)
            return intake

        def abandon(intake: Intake) -> None:
            assert isinstance(intake, RabbitIntake)
            intake.drop()

        yield Engine(url, names, open_intake, abandon)
        for intake in opened:
            intake.drop()


def signed(id: str) -> SignedEvent:
    """A signed report."""
    text = event("report_incident", report(), id=id)
    return SignedEvent(Identity(SOURCE, id), text, KEY_ID, sign(text, SECRET))


def outcome_of(delivery: Delivery, id: str, *, halted: bool = False) -> Outcome:
    """An outcome that says that the delivery is done, or halted."""
    body = {"id": "1", "reason": "malformed"} if halted else {"incident_id": "1"}
    return Outcome(
        Identity(SOURCE, id), delivery.entry, "report_incident", halted, body, datetime.now(UTC)
    )


def decided(deliveries: Sequence[Delivery], *, halted: bool = False) -> list[Finished]:
    """Deliveries with the outcomes that say so."""
    return [(each, outcome_of(each, _id(each), halted=halted)) for each in deliveries]


def receive(intake: Intake, count: int, *, limit: int = 300) -> list[Delivery]:
    """Receive until *count* entries have come, however many at a time."""
    found: list[Delivery] = []

    def all_came() -> bool:
        found.extend(intake.receive(limit))
        return len(found) >= count

    wait_for(all_came, what=f"{count} entries")
    assert len(found) == count
    return found


def test_what_is_published_is_received_once_in_order(engine: Engine) -> None:
    """Bytes, key id and signature arrive as they were, under the entry that publishing told."""
    intake = engine.open_intake()
    events = [signed(f"r{number}") for number in range(1_200)]
    entries = engine.publisher(limit=2_000).publish(events)
    found = receive(intake, 1_200)
    assert [each.event for each in found] == [each.event for each in events]
    assert [place_of(each.entry) for each in found] == entries
    assert len(set(entries)) == 1_200
    assert {(each.key_id, each.deliveries) for each in found} == {(KEY_ID, 1)}
    assert [each.signature for each in found] == [each.signature for each in events]
    assert all(abs(datetime.now(UTC) - each.received_at) < timedelta(minutes=1) for each in found)
    assert intake.receive(300) == []


def test_urgent_is_received_before_bulk(engine: Engine) -> None:
    """What came in bulk waits until nothing urgent is left, and fills up the batch."""
    intake = engine.open_intake()
    publisher = engine.publisher()
    publisher.publish([signed(f"bulk{number}") for number in range(5)], lane=Lane.BULK)
    publisher.publish([signed(f"urgent{number}") for number in range(5)])
    found = intake.receive(8)
    wanted = [f"urgent{n}" for n in range(5)] + [f"bulk{n}" for n in range(3)]
    assert [_id(each) for each in found] == wanted


def test_bulk_is_never_starved(engine: Engine) -> None:
    """However much is urgent, something of each batch is left to what came in bulk."""
    intake = engine.open_intake()
    publisher = engine.publisher()
    publisher.publish([signed(f"bulk{number}") for number in range(5)], lane=Lane.BULK)
    publisher.publish([signed(f"urgent{number}") for number in range(60)])
    first = [_id(each) for _ in range(2) for each in receive(intake, 20, limit=20)]
    assert 1 <= sum(each.startswith("bulk") for each in first) <= 4


def _id(delivery: Delivery) -> str:
    read = read_event(delivery.event)
    assert isinstance(read, Event)
    return read.envelope.id


def test_what_is_finished_never_comes_again(engine: Engine) -> None:
    """Its outcome is on the stream, and a process that takes over finds the rest only."""
    first = engine.open_intake()
    publisher = engine.publisher()
    position = publisher.position()
    publisher.publish([signed(f"r{number}") for number in range(4)])
    found = receive(first, 4)
    first.finish(decided(found[:2]))
    engine.abandon(first)
    again = receive(engine.open_intake(), 2)
    assert [_id(each) for each in again] == ["r2", "r3"]
    assert [each.entry for each in again] == [each.entry for each in found[2:]]
    told = list(publisher.wait([Identity(SOURCE, "r0")], since=position, timeout=60))
    assert [each["request"]["id"] for each in told] == ["r0"]


def unhurried(redis_engine: Engine) -> RedisIntake:
    """An intake that takes over nothing meanwhile, however long it takes to receive thousands."""
    intake = redis_engine.open_intake()
    assert isinstance(intake, RedisIntake)
    intake.claim_idle = timedelta(minutes=10)
    return intake


def test_any_number_of_entries_is_finished_at_once(redis_engine: Engine) -> None:
    """Many more than one script of Redis can take: each outcome is published once."""
    intake = unhurried(redis_engine)
    publisher = redis_engine.publisher(limit=20_000)
    publisher.publish([signed(f"r{number}") for number in range(9_000)])
    intake.finish(decided(receive(intake, 9_000, limit=9_000)))
    with redis.Redis.from_url(redis_engine.url) as client:
        assert client.xlen(redis_engine.names.outcomes) == 9_000
        assert client.xlen(redis_engine.names.intake()) == 0


def test_what_fails_midway_leaves_whole_parts_finished(redis_engine: Engine) -> None:
    """The first ones have their outcomes and are gone, the others have none and are there."""
    intake = unhurried(redis_engine)
    redis_engine.publisher(limit=20_000).publish([signed(f"r{n}") for n in range(2_500)])
    found = decided(receive(intake, 2_500, limit=2_500))
    # An outcome that Redis does not take, as its configuration limits what it is sent.
    found[2_200] = (found[2_200][0], outcome_of(found[2_200][0], "x" * 2_000_000))
    with pytest.raises(redis.RedisError):
        intake.finish(found)
    with redis.Redis.from_url(redis_engine.url) as client:
        left = client.xlen(redis_engine.names.intake())
        assert 0 < left < 2_500
        assert client.xlen(redis_engine.names.outcomes) == 2_500 - left


def test_whatever_a_dead_process_held_is_released(redis_engine: Engine) -> None:
    """However much it was, others may have it at once."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = redis_engine.names
    holder = unhurried(redis_engine)
    holder.consumer = f"{pool_prefix(os.getpid())}{dead.pid}-dead"
    redis_engine.publisher(limit=20_000).publish([signed(f"r{n}") for n in range(12_000)])
    receive(holder, 12_000, limit=12_000)
    idle = timedelta(minutes=10)
    assert release_entries_of_dead(holder.client, names, idle)
    pending = holder.client.xpending_range(
        names.intake(), names.group, "-", "+", 20_000, idle=int(idle.total_seconds() * 1000)
    )
    assert len(pending) == 12_000


def test_each_delivery_is_counted_and_a_suspect_comes_alone(engine: Engine) -> None:
    """What two processes died with is given out by itself; the others follow."""
    engine.publisher().publish([signed(f"r{number}") for number in range(3)])
    for deliveries in (1, 2):
        intake = engine.open_intake()
        assert {each.deliveries for each in receive(intake, 3)} == {deliveries}
        engine.abandon(intake)
    last = engine.open_intake()
    batches = [last.receive(300) for _ in range(3)]
    assert [len(batch) for batch in batches] == [1, 1, 1]
    assert {_id(batch[0]) for batch in batches} == {"r0", "r1", "r2"}
    assert {batch[0].deliveries for batch in batches} == {3}


def test_what_is_handed_back_comes_again_uncounted(engine: Engine) -> None:
    """However often: an outage makes no request a suspect."""
    intake = engine.open_intake()
    engine.publisher().publish([signed("a"), signed("b")])
    for _ in range(5):
        found = receive(intake, 2)
        assert [(_id(each), each.deliveries) for each in found] == [("a", 1), ("b", 1)]
        intake.hand_back(found)
    found = receive(intake, 2)
    intake.finish(decided(found))
    engine.abandon(intake)
    assert engine.open_intake().receive(300) == []


def is_back(engine: Engine, number: int = 1) -> bool:
    """Whether so many messages lie where RabbitMQ brings them back; on Redis they never left.

    It is asked without consuming: RabbitMQ counts what a consumer is given while it is cancelled.
    """
    if not is_rabbitmq(engine.url):
        return True
    connection = connect_rabbitmq(engine.url)
    channel = open_channel(connection)
    queues = (engine.names.intake(Lane.BULK), engine.names.dead_letters)
    found = sum(undelivered(channel, queue) for queue in queues)
    connection.close()
    return found == number


def test_what_is_finished_leaves_older_entries_in_hand(engine: Engine) -> None:
    """They may be decided later, in any order, and are given to others if they are not."""
    first = engine.open_intake()
    engine.publisher().publish([signed(f"r{number}") for number in range(9)])
    found = receive(first, 9)
    first.finish(decided(found[3:6]))
    first.finish(decided([found[8], found[0]]))
    engine.abandon(first)
    again = receive(engine.open_intake(), 4)
    assert sorted(_id(each) for each in again) == ["r1", "r2", "r6", "r7"]


def test_what_is_set_aside_comes_again_after_what_is_new(engine: Engine) -> None:
    """Uncounted, under its name, to whoever has room; meanwhile nobody holds it."""
    intake = engine.open_intake()
    engine.publisher().publish([signed(f"early{number}") for number in range(3)])
    early = receive(intake, 3)
    assert intake.rest(300) == []  # or what comes would be given out to it as well
    intake.set_aside(early, seconds=0)
    wait_for(lambda: is_back(engine, 3), what="what was set aside")
    other = engine.open_intake()
    engine.publisher().publish([signed(f"new{number}") for number in range(20)])
    found = receive(other, 23)
    assert [_id(each) for each in found if _id(each).startswith("new")][:15] == [
        f"new{number}" for number in range(15)
    ]
    again = [each for each in found if _id(each).startswith("early")]
    assert {each.entry for each in again} == {each.entry for each in early}
    assert {each.deliveries for each in again} == {1}
    other.finish(decided(found))
    engine.abandon(other)
    assert engine.open_intake().receive(300) == []


def test_what_is_set_aside_again_and_again_is_never_lost(engine: Engine) -> None:
    """Not even on RabbitMQ, which drops a dead letter that is rejected."""
    intake = engine.open_intake()
    engine.publisher().publish([signed("a"), signed("b")])
    found = receive(intake, 2)
    entries = {each.entry for each in found}
    for _ in range(3):
        assert intake.rest(300) == []
        intake.set_aside(found, seconds=0)
        wait_for(lambda: is_back(engine, 2), what="what was set aside")
        found = receive(intake, 2)
        assert {each.entry for each in found} == entries
    intake.finish(decided(found))
    engine.abandon(intake)
    assert engine.open_intake().receive(300) == []


def test_what_is_set_aside_stays_so_for_its_time(engine: Engine) -> None:
    """It comes no earlier than it was said, and is received as if for the first time."""
    intake = engine.open_intake()
    engine.publisher().publish([signed("a")])
    found = receive(intake, 1)
    assert intake.rest(300) == []
    begun = time.monotonic()
    intake.set_aside(found, seconds=IDLE.total_seconds() * 0.9)
    wait_for(lambda: is_back(engine), what="what was set aside")
    (again,) = receive(intake, 1)
    assert time.monotonic() - begun >= IDLE.total_seconds() * 0.8
    assert again.deliveries == 1
    assert again.received_at <= found[0].received_at + timedelta(milliseconds=1)


def test_what_is_held_in_an_outage_comes_again_when_its_connection_is_lost(
    rabbitmq_engine: Engine,
) -> None:
    """The broker has it back then; the process that held it finds out, and connects anew."""
    intake = rabbitmq_engine.open_intake()
    assert isinstance(intake, RabbitIntake)
    publisher = rabbitmq_engine.publisher()
    publisher.publish([signed("a"), signed("b")])
    publisher.close()
    intake.hand_back(receive(intake, 2))
    assert intake._link is not None
    intake._link.connection.sock.shutdown(SHUT_RDWR)
    with pytest.raises(BROKER_FAULTS):
        intake.receive(300)
    again = receive(intake, 2)
    assert [(_id(each), each.deliveries) for each in again] == [("a", 2), ("b", 2)]


def test_a_process_pauses_with_suspects_left_to_run(rabbitmq_engine: Engine) -> None:
    """They may be many, one after the other; its next drain takes them up before anything else."""
    publisher = rabbitmq_engine.publisher()
    publisher.publish([signed(f"r{number}") for number in range(5)])
    for _ in range(2):
        intake = rabbitmq_engine.open_intake()
        receive(intake, 5)
        rabbitmq_engine.abandon(intake)
    pausing = rabbitmq_engine.open_intake()
    assert len(pausing.receive(300)) == 1
    assert pausing.rest(300) == []
    publisher.publish([signed("new")])
    publisher.close()
    batches = [pausing.receive(300) for _ in range(5)]
    assert [len(batch) for batch in batches] == [1, 1, 1, 1, 1]
    assert _id(batches[4][0]) == "new"


def test_a_process_that_pauses_has_nothing_left_in_it(engine: Engine) -> None:
    """What the broker has given out already is taken first; the rest is for others."""
    pausing = engine.open_intake()
    engine.publisher().publish([signed(f"r{number}") for number in range(700)])
    found = list(pausing.receive(10))
    while rest := pausing.rest(300):
        found += rest
    assert pausing.rest(300) == []
    other = receive(engine.open_intake(), 700 - len(found))
    assert {each.entry for each in found}.isdisjoint(each.entry for each in other)
    assert {each.deliveries for each in other} == {1}


def test_renewed_entries_stay_in_hand(engine: Engine) -> None:
    """A process that says that it is alive keeps what it has, and it is not counted."""
    intake = engine.open_intake()
    engine.publisher().publish([signed("a")])
    found = receive(intake, 1)
    intake.renew(found)
    intake.finish(decided(found))
    engine.abandon(intake)
    assert engine.open_intake().receive(300) == []


def test_outcomes_are_read_from_the_position_noted_before(engine: Engine) -> None:
    """Each once and in order, by as many readers as there are, from wherever each begins."""
    intake = engine.open_intake()
    publisher = engine.publisher()
    publisher.publish([signed(f"r{number}") for number in range(6)])
    found = receive(intake, 6)
    start = publisher.position()
    intake.finish(decided(found[:3]))
    middle = publisher.position()
    assert middle != start
    intake.finish(decided(found[3:], halted=True))
    for since, wanted in (
        (start, ["r0", "r1", "r2", "r3", "r4", "r5"]),
        (middle, ["r3", "r4", "r5"]),
    ):
        reader = publisher.outcomes(since)
        told: list[str] = []
        wait_for(
            lambda reader=reader, told=told, wanted=wanted: (
                told.extend(each.identity.id for each in reader.read(block=0.2) if each.identity)
                or len(told) >= len(wanted)
            ),
            what="outcomes",
        )
        assert told == wanted
        assert reader.read() == []


def test_a_full_intake_is_refused(engine: Engine) -> None:
    """Both lanes count; what was accepted before is told."""
    engine.open_intake()
    publisher = engine.publisher(limit=3)
    publisher.publish([signed("a"), signed("b")], lane=Lane.BULK)
    with pytest.raises(IntakeFull, match="2 of 3"):
        wait_for(lambda: publisher.publish([signed("c"), signed("d")]) and False, what="refusal")


def test_the_oldest_undecided_is_told(engine: Engine) -> None:
    """When it was published; None where nothing is left."""
    intake = engine.open_intake()
    assert intake.oldest_undecided() is None
    before = datetime.now(UTC)
    publisher = engine.publisher()
    publisher.publish([signed("a")], lane=Lane.BULK)
    publisher.publish([signed("b")])
    oldest = wait_for(intake.oldest_undecided, what="oldest")
    skew = timedelta(seconds=1)  # RabbitMQ counts whole milliseconds, and may be elsewhere
    assert before - skew <= oldest <= datetime.now(UTC) + skew
    assert intake.receive(300) != []


def test_settings_name_the_engine() -> None:
    """Both kinds of URL are taken; others are refused with what is expected."""
    fields = {
        "database_url": "postgresql://x",
        "producers_file": "p",
        "audit_key": "k:" + "ab" * 16,
    }
    for url in ("redis://h", "rediss://h", "amqp://h", "amqps://h"):
        assert Settings(_env_file=None, broker_url=url, **fields)
    with pytest.raises(ValueError, match="amqp://"):
        Settings(_env_file=None, broker_url="kafka://h", **fields)
