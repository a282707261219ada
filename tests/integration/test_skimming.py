"""How far a drain reads through a flood before it runs what it has found."""

import redis

from models.signatures import sign
from models.streams import EVENT, KEY, SIGNATURE
from tasks.drain import Drain
from tests.support.draining import intake_of
from tests.support.installation import Installation
from tests.support.requests import KEY_ID, SECRET, event, report
from tests.support.traffic import Traffic

BATCH = 700
BEFORE, BEHIND = 1_000, 5_000


def test_a_drain_that_comes_upon_what_is_fresh_reads_no_further(
    installation: Installation, broker: redis.Redis
) -> None:
    """A fresh request need not wait until the flood behind it is read as well."""
    copied = event("report_incident", report(), id="copied")
    fresh = event("report_incident", report(), id="fresh")
    traffic = Traffic(broker)
    flood = [copied] * BEFORE + [fresh] + [copied] * BEHIND
    traffic.put_raw(*({EVENT: e, KEY: KEY_ID, SIGNATURE: sign(e, SECRET)} for e in flood))
    with intake_of(installation) as intake:
        drain = Drain(intake, installation.pipeline, BATCH, renew_after=5, stopping=lambda: False)
        batch = drain._read(intake.receive)
    assert fresh in [each.event for each in batch]
    (group,) = broker.xinfo_groups(traffic.names.intake())  # type: ignore[misc]  # not awaitable
    assert BEFORE < group["entries-read"] <= BEFORE + BATCH
