"""Importing a report: publish what its rows ask for, and find out what becomes of them.

Requests go by the bulk lane, many in one round trip, while no more than a window of them is
undecided. What became of them is asked of the ledger, which forgets nothing; the stream of outcomes
may have been trimmed, or belong to a broker that was away.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from sqlalchemy import Connection

from models.entries import names_at
from models.halts import outcomes_of_halted
from models.ledger import read_ledger
from models.outcomes import Identity
from models.streams import Lane
from producers.client import Client
from producers.faults import PublishFailed
from producers.imports.mapping import Kind
from producers.imports.planning import BROKEN_ROW, Planner, Publication, decided, halted
from producers.imports.requests import Fault
from producers.imports.results import Results, RowOutcome, RowResult
from producers.imports.rows import BrokenRow, Row, row_chunks
from producers.signed import NotPublishable, SignedEvent

WINDOW = 10_000
"""Requests that are published and not known to be decided."""
_ASKED_AT_ONCE = 1_000
_FEW = 200
"""Decided since it was asked before; with fewer, the workers are given some time."""
_PAUSES = (0.01, 0.25)
"""Seconds: the first, and the longest."""


class Stalled(Exception):
    """For too long, nothing that was published has been decided."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """A request that is published, and the row that it is for.

    Attributes:
        names: what its entry may be called in the ledger and in the halt store.
    """

    row: int
    kind: Kind
    body: bytes
    names: tuple[str, ...]


@dataclass(slots=True)
class Importer:
    """One run over a file.

    Attributes:
        client: publishes, by the rules of its own patience.
        ledger: a connection on which each statement is a transaction of its own.
        patience: seconds without a single decision after which it gives up.
    """

    client: Client
    ledger: Connection
    planner: Planner
    results: Results
    patience: float
    window: int = WINDOW
    _pending: dict[Identity, _Pending] = field(default_factory=dict, init=False)
    _moved: float = field(default_factory=time.monotonic, init=False)
    _pause: float = field(default=_PAUSES[0], init=False)

    def run(self, rows: Iterable[Row | BrokenRow]) -> Iterator[int]:
        """Import *rows*; yields how many more are decided, again and again.

        Raises:
            Stalled: nothing was decided for too long. What is published stays so.
            PublishFailed: the intake is full or out of reach for too long.
            DBAPIError: the ledger cannot be read.
        """
        for chunk in row_chunks(rows):
            yield self._take(chunk)
            while len(self._pending) > self.window:
                yield self._settle()
        while self._pending:
            yield self._settle()

    def abandon(self) -> int:
        """Note as undecided what is published and not known to be decided; how many these are."""
        for identity, each in self._pending.items():
            self.results.add(RowResult(each.row, each.kind.name, identity.id, RowOutcome.UNDECIDED))
        count = len(self._pending)
        self._pending.clear()
        return count

    def _take(self, rows: Sequence[Row | BrokenRow]) -> int:
        """Publish what these rows ask for; how many needed no publishing."""
        before = len(self.results)
        ready: list[tuple[Publication, SignedEvent]] = []
        for planned in self.planner.plan(self.ledger, rows):
            signed = planned if isinstance(planned, RowResult) else sign(self.client, planned)
            if isinstance(signed, RowResult):
                self.results.add(signed)
            elif isinstance(planned, Publication):
                ready.append((planned, signed))
        try:
            entries = self.client.publish((signed for _, signed in ready), lane=Lane.BULK)
        except PublishFailed as failure:
            self._note(ready, failure.entries)
            raise
        self._note(ready, entries)
        return len(self.results) - before

    def _note(
        self, ready: Iterable[tuple[Publication, SignedEvent]], entries: Iterable[str]
    ) -> None:
        """As many as have an entry are published now."""
        for (planned, signed), entry in zip(ready, entries, strict=False):
            request = planned.request
            names = names_at(
                entry,
                event=signed.event,
                key_id=signed.key_id.encode(),
                signature=signed.signature.encode(),
            )
            self._pending[Identity(self.client.source, planned.id)] = _Pending(
                request.row, request.kind, planned.body, names
            )

    def _settle(self) -> int:
        """Ask what has been decided of the oldest that are pending; how many are.

        Those that are not go behind the others, so that a request which waits for another one does
        not stand in the way.
        """
        asked = list(islice(self._pending, _ASKED_AT_ONCE))
        known = read_ledger(self.ledger, asked)
        for identity in asked:
            each = self._pending.pop(identity)
            if (row := known.get(identity)) is None:
                self._pending[identity] = each
            else:
                earlier = row.entry not in each.names
                self.results.add(decided(each.row, each.kind, row, body=each.body, earlier=earlier))
        count = len(known) or self._settle_nameless(asked)
        self._wait_after(count)
        return count

    def _settle_nameless(self, asked: Sequence[Identity]) -> int:
        """What a worker could not take for ours is not in the ledger, but among the halts."""
        identities = {name: each for each in asked for name in self._pending[each].names}
        outcomes = outcomes_of_halted(self.ledger, identities.keys())
        for name, outcome in outcomes.items():
            identity = identities[name]
            each = self._pending.pop(identity)
            self.results.add(halted(each.row, each.kind, identity.id, outcome.body))
        return len(outcomes)

    def _wait_after(self, count: int) -> None:
        now = time.monotonic()
        if count:
            self._moved = now
        elif now - self._moved > self.patience:
            raise Stalled
        if count >= _FEW or not self._pending:
            self._pause = _PAUSES[0]
            return
        time.sleep(self._pause)
        self._pause = _PAUSES[0] if count else min(2 * self._pause, _PAUSES[1])


def sign(client: Client, planned: Publication) -> SignedEvent | RowResult:
    """The event that asks for what a row asks for; what becomes of a row that none can hold."""
    request = planned.request
    try:
        return client.prepare(
            request.kind.procedure, planned.data, id=planned.id, time=request.time
        )
    except NotPublishable as error:
        return RowResult(
            request.row,
            request.kind.name,
            planned.id,
            RowOutcome.REFUSED,
            reason=BROKEN_ROW,
            message="No request can be made of the row.",
            faults=(Fault(None, str(error)),),
        )
