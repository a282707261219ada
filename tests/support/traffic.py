"""What a test puts on the intake, and what it finds on the streams and in the database."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import redis

from models.signatures import sign
from models.streams import EVENT, KEY, SIGNATURE, Lane, StreamNames
from tests.support.installation import Installation
from tests.support.requests import KEY_ID, SECRET
from tests.support.waiting import wait_for

_CHUNK = 500


@dataclass(slots=True)
class Traffic:
    """One intake, from outside.

    Attributes:
        published: how many entries this test has added.
    """

    client: redis.Redis
    names: StreamNames = field(default_factory=StreamNames)
    published: int = 0

    def put(
        self,
        *events: bytes,
        lane: Lane = Lane.URGENT,
        key_id: str = KEY_ID,
        secret: bytes = SECRET,
    ) -> list[str]:
        """Publish *events*, signed, and return their entries."""
        return self.put_raw(
            *({EVENT: one, KEY: key_id, SIGNATURE: sign(one, secret)} for one in events), lane=lane
        )

    def put_raw(self, *entries: dict[str, Any], lane: Lane = Lane.URGENT) -> list[str]:
        """Publish entries whose fields are whatever the test wants."""
        stream = self.names.intake(lane)
        numbers: list[bytes] = []
        for start in range(0, len(entries), _CHUNK):
            with self.client.pipeline(transaction=False) as pipeline:
                for fields in entries[start : start + _CHUNK]:
                    pipeline.xadd(stream, fields)
                numbers += pipeline.execute()
        self.published += len(numbers)
        return [f"{stream}/{number.decode()}" for number in numbers]

    def outcomes(self) -> list[dict[str, Any]]:
        """Every event on the stream of outcomes, oldest first."""
        return self._events(self.names.outcomes)

    def halts(self) -> list[dict[str, Any]]:
        """Every event on the stream of halts, oldest first."""
        return self._events(self.names.halts)

    def _events(self, stream: str) -> list[dict[str, Any]]:
        found: Any = self.client.xrange(stream)
        return [orjson.loads(fields[EVENT.encode()]) for _, fields in found]

    def outcomes_by_id(self) -> dict[str, list[dict[str, Any]]]:
        """The ``data`` of all outcomes that bear an identity, by its id."""
        found = defaultdict(list)
        for outcome in self.outcomes():
            if "id" in outcome["data"]["request"]:
                found[outcome["data"]["request"]["id"]].append(outcome["data"])
        return dict(found)

    def outcomes_by_entry(self) -> dict[str, list[dict[str, Any]]]:
        """The ``data`` of all outcomes, by the entry that was decided."""
        found = defaultdict(list)
        for outcome in self.outcomes():
            found[outcome["entry"]].append(outcome["data"])
        return dict(found)

    def left(self) -> int:
        """How many entries are in the intake, read or not."""
        return sum(self.client.xlen(self.names.intake(lane)) for lane in Lane)

    def unacknowledged(self) -> int:
        """How many entries were read and not acknowledged."""
        count = 0
        for lane in Lane:
            groups: Any = self.client.xinfo_groups(self.names.intake(lane))
            count += sum(group["pending"] for group in groups)
        return count

    def wait_until_empty(self, *, seconds: float = 120) -> None:
        """Wait until everything on the intake is decided and acknowledged."""
        wait_for(lambda: self.left() == 0, seconds=seconds, what="empty intake")


@dataclass(frozen=True, slots=True)
class Books:
    """The figures of DESIGN 7, each counted where it comes from."""

    accepted: int
    done: int
    halted: int
    duplicates: int
    pending: int

    @property
    def balanced(self) -> bool:
        """Whether they add up."""
        return self.accepted == self.done + self.halted + self.duplicates + self.pending


def read_books(installation: Installation, traffic: Traffic) -> Books:
    """Count *accepted* from what the test published, the rest from PostgreSQL and Redis."""
    ((done, halted, duplicates),) = installation.rows(
        "SELECT coalesce(sum(done), 0), coalesce(sum(halted), 0), coalesce(sum(duplicates), 0)"
        " FROM tallies WHERE door = 'intake'"
    )
    ((waiting,),) = installation.rows("SELECT count(*) FROM waiting WHERE door = 'intake'")
    return Books(traffic.published, done, halted, duplicates, traffic.left() + waiting)


def check_reports(installation: Installation, traffic: Traffic, ids: Sequence[str]) -> None:
    """Every report of *ids* is done exactly once: one incident, one ledger row, one audit record
    that says so, at least one outcome, all of them the same; and the books balance.
    """
    (opened,) = (Counter(i for (i,) in installation.rows("SELECT request_id FROM incidents")),)
    assert opened == Counter(ids), _difference(opened, ids)
    known = Counter(
        i for (i,) in installation.rows("SELECT request_id FROM requests WHERE NOT halted")
    )
    assert known == Counter(ids), _difference(known, ids)
    audited = Counter(
        i
        for (i,) in installation.rows(
            "SELECT request_id FROM audit_records WHERE outcome = 'done' AND request_id IS NOT NULL"
        )
    )
    assert audited == Counter(ids), _difference(audited, ids)
    told = traffic.outcomes_by_id()
    assert told.keys() == set(ids), _difference(Counter(told), ids)
    for outcomes in told.values():
        assert all(outcome == outcomes[0] for outcome in outcomes)
    books = read_books(installation, traffic)
    assert books.balanced, books
    assert books.done == len(ids)


def _difference(found: Counter[str], wanted: Sequence[str]) -> str:
    missing = Counter(wanted) - found
    extra = found - Counter(wanted)
    return f"missing {len(missing)}: {list(missing)[:5]}; too many {len(extra)}: {list(extra)[:5]}"
