"""What one process has in hand another one puts off, until that one has gone on."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from models.deliveries import Delivery
from models.in_hand import forget_gone, mark_of, tell_in_hand
from models.outcomes import Identity
from models.streams import Lane, StreamNames
from models.tables import Door
from producers.redis_publisher import RedisPublisher
from producers.signed import sign_event
from tasks import putting_off
from tasks.drain import Drain
from tasks.faults import Outage
from tasks.putting_off import LONGEST, WORTH_TELLING, Sieve
from tests.support.installation import Installation
from tests.support.requests import KEY_ID, SECRET, SOURCE, event, report
from tests.support.traffic import Traffic
from worker.redis_intake import RedisIntake, connect_redis, make_groups

LEDGER = "SELECT request_id FROM requests ORDER BY decided_at, request_id"
EVENTS = [event("report_incident", report(), id=f"r{n:03}") for n in range(WORTH_TELLING)]


@pytest.fixture
def batches(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> list[list[bytes]]:
    """The events of every batch that is run from now on."""
    run: list[list[bytes]] = []
    process = type(installation.pipeline).process

    def noted(pipeline: Any, deliveries: Sequence[Delivery]) -> Iterator[Any]:
        run.append([delivery.event for delivery in deliveries])
        return process(pipeline, deliveries)

    monkeypatch.setattr(type(installation.pipeline), "process", noted)
    return run


@pytest.fixture
def intake(installation: Installation) -> Iterator[RedisIntake]:
    """The intake, with every one of the events in it."""
    url, names = installation.settings.broker_url.get_secret_value(), StreamNames()
    client = connect_redis(url)
    client.flushall()
    make_groups(client, names)
    publisher = RedisPublisher(url, names=names)
    publisher.publish(
        [
            sign_event(each, key_id=KEY_ID, secret=SECRET, identity=Identity(SOURCE, "any"))
            for each in EVENTS
        ]
    )
    publisher.close()
    yield RedisIntake(client, names, timedelta(seconds=5), outcomes_kept=10_000)
    client.close()


def _drain(installation: Installation, intake: RedisIntake) -> Drain:
    return Drain(intake, installation.pipeline, 300, renew_after=5, stopping=lambda: False)


def _run(drain: Drain) -> None:
    """Until nothing is left, however often a second has passed before."""
    while drain.run():
        pass


def _tell(installation: Installation, events: Sequence[bytes]) -> None:
    with installation.pipeline.engine.begin() as connection:
        tell_in_hand(connection, "another", map(mark_of, events))


def _deliveries(prefix: str) -> list[Delivery]:
    """As many as are worth telling of, each with bytes of its own."""
    now = datetime.now(UTC)
    return [
        Delivery(f"{prefix}{n}", Door.INTAKE, f"{prefix}{n}".encode(), KEY_ID, "", now)
        for n in range(WORTH_TELLING)
    ]


def test_what_another_has_in_hand_is_run_after_the_rest(
    installation: Installation, intake: RedisIntake, batches: list[list[bytes]]
) -> None:
    """When there is nothing else to run, it is decided and acknowledged like everything else."""
    _tell(installation, EVENTS[10:12])
    _run(_drain(installation, intake))
    assert batches == [EVENTS[:10] + EVENTS[12:], EVENTS[10:12]]
    assert len(installation.rows(LEDGER)) == WORTH_TELLING
    assert intake.client.xlen(intake.names.intake()) == 0


def test_what_another_has_in_hand_is_put_off_until_it_no_longer_has(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is put off batch after batch, and run first as soon as the other one has gone on."""
    monkeypatch.setattr(putting_off, "time", SimpleNamespace(monotonic=lambda: 100.0))
    sieve = Sieve(installation.pipeline.engine, "one")
    batches = [_deliveries(f"{number}-") for number in range(3)]
    of_another = batches[0][3:5]
    _tell(installation, [delivery.event for delivery in of_another])
    assert sieve.sift(batches[0]) == [*batches[0][:3], *batches[0][5:]]
    assert sieve.sift(batches[1]) == batches[1]
    assert sieve
    _tell(installation, EVENTS)
    assert sieve.sift(batches[2]) == [*of_another, *batches[2]]
    assert not sieve


def test_nothing_is_put_off_for_ever(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while it is run, whoever says that it has it in hand."""
    clock = [100.0]
    monkeypatch.setattr(putting_off, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    sieve = Sieve(installation.pipeline.engine, "one")
    batch = _deliveries("0-")
    _tell(installation, [batch[0].event])
    assert batch[0] not in sieve.sift(batch)
    clock[0] += LONGEST
    assert sieve.sift(_deliveries("1-"))[0] is batch[0]


def test_what_is_put_off_and_given_out_again_is_run_once(
    installation: Installation, intake: RedisIntake
) -> None:
    """However soon the intake takes it for abandoned, it has one end and one record of that."""
    _tell(installation, EVENTS[10:12])
    impatient = RedisIntake(
        intake.client, intake.names, timedelta(milliseconds=1), intake.outcomes_kept
    )
    _run(_drain(installation, impatient))
    records = installation.rows("SELECT entry, outcome FROM audit_records")
    assert len({row.entry for row in records}) == len(records) == WORTH_TELLING
    assert {row.outcome for row in records} == {"done"}


def test_however_much_another_has_in_hand_a_batch_is_all_that_is_held(
    installation: Installation, intake: RedisIntake
) -> None:
    """It is run in batches of the usual size, all of it once."""
    more = [event("report_incident", report(), id=f"more{n}") for n in range(3_000)]
    Traffic(intake.client).put(*more)
    _tell(installation, [*EVENTS, *more])
    drain = _drain(installation, intake)
    while drain.run():
        _tell(installation, [*EVENTS, *more])
    ((largest, done, all_that_ended),) = installation.rows(
        "SELECT max(done), sum(done), sum(done + halted + duplicates) FROM tallies"
    )
    assert largest <= 300
    assert done == all_that_ended == len(EVENTS) + len(more)


def test_what_was_delivered_before_is_not_put_off(installation: Installation) -> None:
    """Whoever had it in hand is most likely gone, and says so for a while still."""
    sieve = Sieve(installation.pipeline.engine, "one")
    batch = [delivery._replace(deliveries=2) for delivery in _deliveries("0-")]
    _tell(installation, [delivery.event for delivery in batch])
    assert sieve.sift(batch) == batch


def test_what_others_had_in_hand_long_ago_is_not_put_off(
    installation: Installation, intake: RedisIntake, batches: list[list[bytes]]
) -> None:
    """A process that is gone holds up nothing, and is forgotten."""
    _tell(installation, EVENTS[10:12])
    installation.execute("UPDATE in_hand SET told_at = told_at - interval '2 hours'")
    _run(_drain(installation, intake))
    assert batches == [EVENTS]
    with installation.pipeline.engine.begin() as connection:
        forget_gone(connection)
    assert [row.runner for row in installation.rows("SELECT runner FROM in_hand")] == [
        intake.consumer
    ]


def test_what_is_put_off_is_handed_back_in_an_outage(
    installation: Installation, intake: RedisIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing stays in the hands of a process that decides nothing."""
    _tell(installation, EVENTS[10:12])

    def fails(*_: object) -> list[Any]:
        raise Outage("the database is away")

    monkeypatch.setattr(type(installation.pipeline), "process", fails)
    with pytest.raises(Outage):
        _run(_drain(installation, intake))
    monkeypatch.undo()
    _run(_drain(installation, intake))
    assert len(installation.rows(LEDGER)) == WORTH_TELLING
    assert intake.client.xlen(intake.names.intake()) == 0


def test_what_is_put_off_is_handed_back_when_nothing_more_can_be_read(
    installation: Installation, intake: RedisIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others decide it at once, and this process does not run it beside what it reads anew."""
    _tell(installation, EVENTS[10:12])
    bulk, process = intake.names.intake(Lane.BULK), type(installation.pipeline).process

    def breaks_off(pipeline: Any, deliveries: Sequence[Delivery]) -> Iterator[Any]:
        yield from process(pipeline, deliveries)
        intake.client.delete(bulk)
        intake.client.set(bulk, "no stream")

    monkeypatch.setattr(type(installation.pipeline), "process", breaks_off)
    drain = _drain(installation, intake)
    with pytest.raises(Outage):
        drain.run()
    monkeypatch.undo()
    intake.client.delete(bulk)
    make_groups(intake.client, intake.names)
    another = RedisIntake(intake.client, intake.names, intake.claim_idle, intake.outcomes_kept)
    _run(_drain(installation, another))
    assert len(installation.rows(LEDGER)) == WORTH_TELLING
    _run(drain)
    assert drain.decided == WORTH_TELLING - 2
