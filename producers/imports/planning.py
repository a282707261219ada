"""What is to be done about each row, by what the ledger knows of it already.

A row's request is REPORT/KEY. Where that was halted and the row has been corrected since, or
halted rows are tried again, it is REPORT/KEY~2, ~3 …: each a request of its own. What was done
stays done, and is not published again.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from models.ledger import LedgerRow, read_ledger
from models.outcomes import Identity
from policy.halts import Reason
from producers.imports.keys import attempt
from producers.imports.mapping import Kind
from producers.imports.requests import Fault, FaultyRow, RequestMaker, RowRequest
from producers.imports.results import RowOutcome, RowResult
from producers.imports.rows import BrokenRow, Row, first_of

BROKEN_ROW = "broken_row"


@dataclass(frozen=True, slots=True)
class Publication:
    """A row's request that is to be published.

    Attributes:
        id: REPORT/KEY, or that with ~2 and so on.
        body: the hash of what it asks for.
    """

    request: RowRequest
    id: str
    data: Mapping[str, Any]
    body: bytes


@dataclass(frozen=True, slots=True)
class Attempts:
    """What the ledger knows of a row's requests: how many there were, and the last of them."""

    number: int = 0
    last: LedgerRow | None = None


@dataclass(slots=True)
class Planner:
    """Plans the rows of a file, a chunk at a time and in order.

    Attributes:
        twice: by the id of their request, the rows that have one key.
        retry_halted: ask anew for rows that were halted, though they have not changed.
    """

    maker: RequestMaker
    source: str
    twice: Mapping[str, Sequence[int]]
    retry_halted: bool = False
    _anew: dict[str, str] = field(default_factory=dict, init=False)

    def plan(
        self, connection: Connection, rows: Sequence[Row | BrokenRow]
    ) -> list[Publication | RowResult]:
        """What each row comes to; those that are passed over are left out."""
        made = [one for row in rows if (one := self.maker.make(row)) is not None]
        names = {
            name
            for one in made
            if isinstance(one, RowRequest)
            for name in (one.name, one.refers_to)
            if name is not None
        }
        known = attempts_of(connection, self.source, names)
        return [
            _refused(one) if isinstance(one, FaultyRow) else self._plan_one(one, known)
            for one in made
        ]

    def _plan_one(
        self, request: RowRequest, known: Mapping[str, Attempts]
    ) -> Publication | RowResult:
        if request.name in self.twice:
            rows = first_of(list(map(str, self.twice[request.name])))
            fault = Fault(None, f"has the key of another one: rows {rows}")
            return _refused(FaultyRow(request.row, request.kind.name, request.name, (fault,)))
        data = request.data_with(self._current(request.refers_to, known))
        body = request.body_hash(data)
        attempts = known.get(request.name, Attempts())
        last = attempts.last
        if last is None:
            return Publication(request, request.name, data, body)
        changed = last.body_hash != body
        if last.halted and not last.replaying and (changed or self.retry_halted):
            name = attempt(request.name, attempts.number + 1)
            self._anew[request.name] = name
            return Publication(request, name, data, body)
        return decided(request.row, request.kind, last, body=body, earlier=True)

    def _current(self, name: str | None, known: Mapping[str, Attempts]) -> str | None:
        """The last request of the row *name*, as far as is known by now."""
        if name is None:
            return None
        return self._anew.get(name) or attempt(name, max(1, known.get(name, Attempts()).number))


def attempts_of(connection: Connection, source: str, names: Collection[str]) -> dict[str, Attempts]:
    """What the ledger knows of the requests of the rows *names*."""
    found: dict[str, Attempts] = {}
    number = 1
    asked = list(names)
    while asked:
        ids = {Identity(source, attempt(name, number)): name for name in asked}
        rows = read_ledger(connection, ids.keys())
        found |= {ids[identity]: Attempts(number, row) for identity, row in rows.items()}
        asked = [ids[identity] for identity, row in rows.items() if row.halted]
        number += 1
    return found


def decided(row: int, kind: Kind, known: LedgerRow, *, body: bytes, earlier: bool) -> RowResult:
    """What became of a row whose request the ledger has.

    Args:
        row: its number.
        kind: of the request.
        known: the ledger's row.
        body: the hash of what the row asks for now.
        earlier: whether another copy of the request was decided, before this run's.
    """
    if known.body_hash != body:
        return RowResult(
            row,
            kind.name,
            known.identity.id,
            RowOutcome.REFUSED,
            reason=Reason.IDEMPOTENCY_CONFLICT,
            message="Another request with this key, but with other content, came before.",
            earlier=earlier,
        )
    if not known.halted:
        outcome = RowOutcome.DUPLICATE if earlier else RowOutcome.DONE
        return RowResult(row, kind.name, known.identity.id, outcome, known.body, earlier=earlier)
    return halted(row, kind, known.identity.id, known.body, earlier=earlier)


def halted(
    row: int, kind: Kind, id: str, body: Mapping[str, Any], *, earlier: bool = False
) -> RowResult:
    """What became of a row whose request was halted, with the columns that are at fault."""
    return RowResult(
        row,
        kind.name,
        id,
        RowOutcome.HALTED,
        halt=body["id"],
        reason=body["reason"],
        message=body["message"],
        faults=faults_of(kind, body["errors"]),
        earlier=earlier,
    )


def faults_of(kind: Kind, errors: Sequence[Mapping[str, str]]) -> tuple[Fault, ...]:
    """What a halt says is wrong, by the vendor's columns."""
    return tuple(_fault(kind, error["path"], error["message"]) for error in errors)


def _fault(kind: Kind, path: str, message: str) -> Fault:
    """A fault of an input, which is named once: by its column, by a whole sentence, or here."""
    column, name = _column(kind, path), path.removeprefix("$.data.")
    is_named = column == name or message[:1].isupper()
    return Fault(column, message if is_named else f"{name} {message}")


def _column(kind: Kind, path: str) -> str | None:
    return kind.columns.get(path) or next(
        (column for below, column in kind.columns.items() if below.startswith(f"{path}.")), None
    )


def _refused(row: FaultyRow) -> RowResult:
    return RowResult(
        row.row,
        row.kind,
        row.name,
        RowOutcome.REFUSED,
        reason=BROKEN_ROW,
        message="No request can be made of the row.",
        faults=row.faults,
    )
