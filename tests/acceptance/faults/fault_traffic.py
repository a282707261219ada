"""Traffic that faults bring along: copies in bulk, garbage, an entry number given out twice.

It is published in the run's own process, past the proxies, and has a journal of its own.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import redis

from models.signatures import sign
from models.streams import EVENT, KEY, SIGNATURE, Lane
from tests.acceptance.faults.brokers import Broker
from tests.acceptance.faults.journal import Journal
from tests.acceptance.faults.planning import Nature, Planned, Teller
from tests.acceptance.faults.producing import client_for, publish, sign_planned
from tests.support.requests import KEY_ID, SECRET

# Gives a number out again, as a replica that lagged does when it takes over: the stream and its
# group go back to just before it, a new entry gets it, and then all goes on from where it was.
# Only while the stream is empty, since nothing in it may be passed over.
_REISSUE = """
local stream, group, number, before = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if redis.call('XLEN', stream) > 0 then return false end
local said, info = redis.call('XINFO', 'STREAM', stream), {}
for i = 1, #said, 2 do info[said[i]] = said[i + 1] end
local last = info['last-generated-id']
redis.call('XSETID', stream, before, 'ENTRIESADDED', info['entries-added'], 'MAXDELETEDID', '0-0')
redis.call('XGROUP', 'SETID', stream, group, before)
redis.call('XADD', stream, number, unpack(ARGV, 4))
redis.call('XSETID', stream, last)
return number
"""
_GARBAGE = 200
"""Of a batch, what proves nothing is but a share, so that more would hold up the end of a run."""
_EMPTY_WITHIN = 5.0
"""Seconds in which a stream has to be empty for a moment, for a number to be given out again."""


class FaultTraffic:
    """Publishes what a fault asks for, whatever else happens.

    Args:
        broker: reached directly.
        journal: the file to keep.
        bulk: how many copies come at once.
        seed: of the run.
    """

    def __init__(self, broker: Broker, journal: Path, *, bulk: int, seed: int) -> None:
        self._broker = broker
        self._journal = Journal(journal)
        self._bulk = bulk
        rng = Random(f"{seed}/fault traffic")  # noqa: S311  # a seed is the point
        self._teller = Teller(rng, "f-")
        self._client = client_for(broker.url, broker.names, SECRET)

    def copies(self, rng: Random) -> None:
        """One report, again and again."""
        self._publish(self._teller.report(), self._bulk, rng)

    def garbage(self, rng: Random) -> None:
        """The same few bytes again and again, which are no request."""
        new = self._teller.new_id()
        planned = Planned(new, new, "none", {}, "malformed", Nature.MALFORMED)
        self._publish(planned, min(self._bulk, _GARBAGE), rng)

    def shifted(self, rng: Random, shift: timedelta) -> None:
        """Some reports of a producer whose clock is wrong, with what follows on one of them."""
        report = self._teller.report()
        late = self._teller.note(report)
        for planned in (report, self._teller.report(), late):
            self._publish(planned, 1, rng, shift=shift)

    def reissue(self, numbers: Sequence[str], rng: Random) -> None:
        """A report under an entry number that was given out before; nothing if there is none.

        Args:
            numbers: entries, as publishers are told them, that have been decided.
            rng: chooses among them.
        """
        stream = self._broker.names.intake(Lane.URGENT)
        known = [entry for entry in numbers if entry.startswith(f"{stream}/")]
        if not known:
            return
        entry = rng.choice(known)
        number = entry.rpartition("/")[2]
        planned = self._teller.report()
        event = sign_planned(self._client, planned)
        self._journal.plan(planned, event.event)
        fields = (EVENT, event.event, KEY, KEY_ID, SIGNATURE, sign(event.event, SECRET))
        self._journal.about_to_publish([planned.key])
        with redis.Redis.from_url(self._broker.url) as client:
            reissue = client.register_script(_REISSUE)
            until = time.monotonic() + _EMPTY_WITHIN
            arguments = (self._broker.names.group, number, _just_before(number), *fields)
            while time.monotonic() < until:
                if reissue(keys=[stream], args=arguments):
                    self._journal.confirmed([planned.key], [entry])
                    self._journal.reissued(entry)
                    return
                time.sleep(0.002)
        self._publish(planned, 1, rng)  # it was never empty: under a new number then

    def finish(self) -> None:
        """Everything was published."""
        self._journal.finished()
        self.close()

    def close(self) -> None:
        """Publish nothing more, whether everything was published or not."""
        self._journal.close()
        self._client.close()

    def _publish(
        self, planned: Planned, times: int, rng: Random, *, shift: timedelta | None = None
    ) -> None:
        at = None if shift is None else datetime.now(UTC) + shift
        event = sign_planned(self._client, planned, time=at)
        self._journal.plan(planned, event.event)
        lane = Lane.BULK if rng.random() < 0.5 else Lane.URGENT
        publish(self._client, self._journal, [planned.key] * times, {planned.key: event}, lane)


def _just_before(number: str) -> str:
    """The largest number below this one."""
    milliseconds, _, sequence = number.partition("-")
    if int(sequence):
        return f"{milliseconds}-{int(sequence) - 1}"
    return f"{int(milliseconds) - 1}-{2**64 - 1}"
