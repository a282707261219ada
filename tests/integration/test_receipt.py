"""When a request was received, and what its time is worth (DESIGN 6, "Receipt")."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from models.deliveries import Delivery
from models.signatures import sign
from models.streams import EVENT, KEY, SIGNATURE, StreamNames
from tasks.pipeline import Pipeline
from tests.support.draining import drain
from tests.support.installation import Installation
from tests.support.requests import KEY_ID, SECRET, delivery, event, report, update
from tests.support.sweeping import ripe
from tests.support.traffic import Traffic
from tests.support.workers import running

NAMES = StreamNames()
AHEAD = [timedelta(minutes=1), timedelta(hours=1), timedelta(days=365 * 900)]
STATES = "SELECT request_id, status FROM incidents ORDER BY incident_id"


def now() -> datetime:
    """The time by the clock of this machine, which PostgreSQL shares."""
    return datetime.now(UTC)


def fires(id: str, *, time: datetime | None = None, **changes: Any) -> bytes:
    """A report under the dedup key of an alert."""
    time = time or now()
    inputs = report(dedup_key="alert", detection_timestamp=time.isoformat()) | changes
    return event("report_incident", inputs, id=id, time=time)


def resolved(id: str, *, time: datetime, status: str = "resolved") -> bytes:
    """The alert does not fire any more."""
    inputs = update(incident_id=None, incident_dedup_key="alert", change_set={"status": status})
    return event("update_incident", inputs, id=id, time=time)


@pytest.mark.parametrize("ahead", AHEAD, ids=["a minute", "an hour", "the year 2926"])
def test_an_end_from_the_future_silences_nothing(
    installation: Installation, ahead: timedelta
) -> None:
    """What fires after it came opens an incident, whatever its source's clock said."""
    installation.process(delivery(resolved("early", time=now() + ahead)))
    installation.process(delivery(fires("first")))
    assert installation.rows(STATES) == [("first", "open")]
    installation.process(delivery(resolved("ends", time=now() + ahead)))
    installation.process(delivery(fires("again")))
    assert installation.rows(STATES) == [("first", "resolved"), ("again", "open")]


@pytest.mark.parametrize("ahead", AHEAD, ids=["a minute", "an hour", "the year 2926"])
def test_an_update_from_the_future_supersedes_nothing_that_comes_later(
    installation: Installation, ahead: timedelta
) -> None:
    """A field that it has set is set again by what the same source signs afterwards."""
    installation.process(delivery(event("report_incident", report(), id="r1")))
    for time, title in ((now() + ahead, "from the future"), (None, "later")):
        change = update(change_set={"title": title, "severity": "P1"})
        (verdict,) = installation.process(delivery(event("update_incident", change, time=time)))
        assert verdict.outcome is not None
        assert "superseded" not in verdict.outcome.data["result"]
    assert installation.rows("SELECT title FROM incidents") == [("later",)]


def test_a_clock_that_is_a_little_ahead_still_orders(installation: Installation) -> None:
    """Within a second, what a source signed later comes later, in whatever order it arrives."""
    began = now() + timedelta(seconds=0.5)
    installation.process(delivery(event("report_incident", report(), id="r1")))
    for after, title in ((2, "second"), (1, "first")):
        time = began + timedelta(microseconds=after)
        installation.process(
            delivery(event("update_incident", update(change_set={"title": title}), time=time))
        )
    assert installation.rows("SELECT title FROM incidents") == [("second",)]


def test_what_waited_is_ordered_by_its_first_receipt(installation: Installation) -> None:
    """Though its time is not in the future any more when it is decided."""
    came = now() - timedelta(hours=2)
    ahead = came + timedelta(hours=1)
    follow_up = update(
        incident_id=None, incident_request={"id": "r1"}, change_set={"title": "waited"}
    )
    waits = delivery(event("update_incident", follow_up, id="u1", time=ahead))
    process_at(installation, came, waits._replace(received_at=came))
    process_at(
        installation, came, received(event("report_incident", report(), id="r1", time=came), came)
    )
    half = came + timedelta(minutes=30)
    retitled = event("update_incident", update(change_set={"title": "after it"}), time=half)
    process_at(installation, half, received(retitled, half))
    installation.process(*ripe(installation, alone_before=datetime(2000, 1, 1, tzinfo=UTC)))
    assert installation.rows("SELECT title FROM incidents") == [("after it",)]
    assert installation.rows("SELECT received_at FROM requests WHERE request_id = 'u1'") == [
        (came,)
    ]


def process_at(installation: Installation, time: datetime, one: Delivery) -> None:
    """Decide a request at another time than now."""
    pipeline = Pipeline(
        installation.pipeline.engine, replace(installation.pipeline.means, clock=lambda _: time)
    )
    list(pipeline.process([one]))


def received(message: bytes, at: datetime) -> Delivery:
    """An event as the broker says that it was accepted *at* a time."""
    return delivery(message)._replace(received_at=at)


def test_a_brokers_clock_that_is_behind_is_no_fault_of_the_request(
    installation: Installation, broker: redis.Redis
) -> None:
    """A fresh report is done, and is dated when it was signed, as its end is."""
    began = now() - timedelta(seconds=1)
    behind = int((began - timedelta(minutes=10)).timestamp() * 1000)
    messages = (fires("fresh", time=began), resolved("ends", time=began))
    for number, message in enumerate(messages):
        fields = {EVENT: message, KEY: KEY_ID, SIGNATURE: sign(message, SECRET)}
        broker.xadd(NAMES.intake(), fields, id=f"{behind}-{number}")  # type: ignore[arg-type]
    drain(installation)
    assert installation.rows("SELECT FROM halts") == []
    assert installation.rows("SELECT reported_at, resolution_timestamp FROM incidents") == [
        (began, began)
    ]
    assert installation.rows("SELECT DISTINCT received_at FROM requests") == [(began,)]


def test_a_workers_clock_dates_nothing(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """A worker whose clock is five minutes behind takes a fresh report, and dates it rightly."""
    began = now()
    traffic = Traffic(broker)
    with running(installation.environment(), tmp_path, clock_ahead=-300) as worker:
        traffic.put(fires("fresh"))
        traffic.wait_until_empty()
        assert worker.terminate() == 0
    assert installation.rows("SELECT FROM halts") == []
    times = installation.rows("SELECT decided_at FROM requests UNION SELECT at FROM audit_records")
    assert all(began <= moment <= now() for (moment,) in times)
