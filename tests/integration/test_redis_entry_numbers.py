"""Entries of a Redis stream whose numbers their producer chose."""

from datetime import UTC, datetime

import orjson
import pytest
import redis

from models.signatures import sign
from models.streams import EVENT, KEY, SIGNATURE, StreamNames
from tests.support.draining import drain, intake_of
from tests.support.installation import Installation
from tests.support.requests import KEY_ID, SECRET, event, report

NAMES = StreamNames()


@pytest.mark.parametrize(
    "number", ["9999999999999-0", "999999999999999-0", f"{2**63 - 1}-0", f"{2**64 - 2}-0", "0-1"]
)
def test_a_number_that_is_no_time_is_no_receipt(
    installation: Installation, broker: redis.Redis, number: str
) -> None:
    """No number that a stream takes stops the intake, nor dates a request; nor what comes after."""
    now = datetime.now(UTC)
    before = now.replace(microsecond=now.microsecond // 1000 * 1000)  # as Redis numbers entries
    for which, message in enumerate((timeless("r1"), timeless("r2"))):
        fields = {EVENT: message, KEY: KEY_ID, SIGNATURE: sign(message, SECRET)}
        broker.xadd(NAMES.intake(), fields, id="*" if which else number)  # type: ignore[arg-type]
    drain(installation)
    times = installation.rows(
        "SELECT received_at FROM requests UNION SELECT reported_at FROM incidents"
    )
    assert len(installation.rows("SELECT FROM incidents")) == 2
    assert all(before <= moment <= datetime.now(UTC) for (moment,) in times)
    with intake_of(installation) as intake:
        assert intake.oldest_undecided() is None


def timeless(id: str) -> bytes:
    """A report whose event says no time."""
    return orjson.dumps({**orjson.loads(event("report_incident", report(), id=id)), "time": None})
