"""Entry numbers that Redis gives out again, as after a failover to a replica that lagged."""

from typing import Any

import pytest
import redis

from models.attempts import begin_alone
from models.signatures import sign
from models.streams import EVENT, KEY, SIGNATURE, StreamNames
from tasks.drain import ALONE_FROM_DELIVERY, LOST_WORKERS
from tests.support.draining import drain, intake_of
from tests.support.installation import Installation
from tests.support.requests import KEY_ID, SECRET, event, report, update
from tests.support.traffic import Traffic, read_books
from worker.redis_intake import RedisIntake

NAMES = StreamNames()
NUMBER = "1764230400000-0"
GENUINE = event("report_incident", report(), id="genuine")
FOLLOW_UP = event(
    "update_incident", update(incident_id=None, incident_request={"id": "to come"}), id="follow-up"
)


def entry(message: bytes, *, key: str = KEY_ID, secret: bytes = SECRET) -> dict[Any, Any]:
    """The fields of a stream entry."""
    return {EVENT: message, KEY: key, SIGNATURE: sign(message, secret)}


def add_again(broker: redis.Redis, fields: dict[Any, Any]) -> None:
    """Redis knows nothing of the entries that it had, and gives their number to another one."""
    broker.delete(NAMES.intake())
    broker.xadd(NAMES.intake(), fields, id=NUMBER)


def ends(installation: Installation, request_id: str) -> list[tuple[bool, str]]:
    """How a request ended by the ledger, and by the audit; at one place both."""
    return [
        (row.halted, row.outcome)
        for row in installation.rows(
            "SELECT r.halted, a.outcome FROM requests AS r JOIN audit_records AS a"
            " USING (source, request_id, entry) WHERE request_id = :id ORDER BY a.at",
            id=request_id,
        )
    ]


def check_genuine(installation: Installation, broker: redis.Redis) -> None:
    """The genuine request is done, recorded, and its own outcome is published."""
    assert ends(installation, "genuine") == [(False, "done")]
    (told,) = Traffic(broker).outcomes_by_id()["genuine"]
    assert told["outcome"] == "done"


@pytest.mark.parametrize(
    "first",
    [
        entry(event("report_incident", report(reporter_user_id="leaver"), id="refused")),
        {EVENT: b"\xff no event"},
        entry(GENUINE, secret=b"forged" * 6),
        entry(GENUINE, key="unknown"),
    ],
    ids=["refused", "malformed", "forged copy", "copy under another key"],
)
def test_a_number_that_halted_is_decided_for_what_stands_there_now(
    installation: Installation, broker: redis.Redis, first: dict[Any, Any]
) -> None:
    """A halt of another message at the same place swallows no request, not even of its own copy."""
    add_again(broker, first)
    drain(installation)
    add_again(broker, entry(GENUINE))
    drain(installation)
    check_genuine(installation, broker)
    assert len(installation.rows("SELECT FROM halts")) == 1


def test_a_number_that_was_a_duplicate_is_decided_for_what_stands_there_now(
    installation: Installation, broker: redis.Redis
) -> None:
    """Another duplicate at the same place is recorded and counted, too."""
    others = [event("report_incident", report(), id=one) for one in ("other", "other", "more")]
    broker.xadd(NAMES.intake(), entry(others[0]))
    broker.xadd(NAMES.intake(), entry(others[2]))
    drain(installation)
    add_again(broker, entry(others[1]))
    drain(installation)
    add_again(broker, entry(others[2]))
    drain(installation)
    records = installation.rows(
        "SELECT request_id FROM audit_records WHERE outcome = 'duplicate' ORDER BY request_id"
    )
    assert [one for (one,) in records] == ["more", "other"]
    assert installation.rows("SELECT sum(done), sum(duplicates) FROM tallies") == [(2, 2)]


def test_a_number_that_killed_processes_is_run_for_what_stands_there_now(
    installation: Installation, broker: redis.Redis
) -> None:
    """The runs alone that did not end were another message's."""
    add_again(broker, entry(event("report_incident", report(), id="killer")))
    with intake_of(installation) as intake:
        (killer,) = intake.receive(10)
    with installation.pipeline.engine.begin() as connection:
        for number in range(LOST_WORKERS):
            begin_alone(connection, killer.entry, runner=f"lost-{number}")
    add_again(broker, entry(GENUINE))
    with intake_of(installation) as intake:
        deliver(intake, broker, times=ALONE_FROM_DELIVERY - 1)
    drain(installation)
    check_genuine(installation, broker)


def deliver(intake: RedisIntake, broker: redis.Redis, *, times: int) -> None:
    """Let the one entry be delivered, and given up, as often."""
    intake.receive(10)
    given_up = int(intake.claim_idle.total_seconds() * 2000)
    broker.xclaim(NAMES.intake(), NAMES.group, "lost", 0, [NUMBER], idle=given_up, retrycount=times)


def test_a_number_that_waits_may_wait_for_what_stands_there_now(
    installation: Installation, broker: redis.Redis
) -> None:
    """Two requests that were at one place wait for their report, and both are done."""
    second = update(incident_id=None, incident_request={"id": "to come"}, change_set=None, note="!")
    for message in (FOLLOW_UP, event("update_incident", second, id="genuine")):
        add_again(broker, entry(message))
        drain(installation)
    assert len(installation.rows("SELECT FROM waiting")) == 2
    broker.xadd(NAMES.intake(), entry(event("report_incident", report(), id="to come")))
    drain(installation)
    assert ends(installation, "follow-up") == [(False, "waiting"), (False, "done")]
    assert ends(installation, "genuine") == [(False, "waiting"), (False, "done")]


def test_what_is_done_does_not_pass_for_done_again_at_its_number(
    installation: Installation, broker: redis.Redis
) -> None:
    """The same request, signed anew at the same place, is a duplicate like elsewhere."""
    add_again(broker, entry(GENUINE))
    drain(installation)
    add_again(broker, entry(event("report_incident", report(), id="genuine")))
    drain(installation)
    assert installation.rows("SELECT sum(done), sum(duplicates) FROM tallies") == [(1, 1)]


def test_outside_an_entry_keeps_the_name_that_redis_gave(
    installation: Installation, broker: redis.Redis
) -> None:
    """Outcomes say stream and number, whatever stands behind it inside."""
    entries = Traffic(broker).put(GENUINE)
    entries += Traffic(broker).put_raw({EVENT: b"\xff no event"})
    drain(installation)
    outcomes = Traffic(broker).outcomes()
    assert [outcome["entry"] for outcome in outcomes] == entries
    assert outcomes[1]["data"]["request"] == {"entry": entries[1]}
    assert read_books(installation, Traffic(broker, published=2)).balanced
