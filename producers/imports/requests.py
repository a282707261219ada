"""From a row to the request that it asks for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from models.canonical import body_hash
from models.events import TYPE_PREFIX
from models.sheets import shown
from policy.lifecycle import DETECTION_TOLERANCE
from producers.imports.keys import request_id
from producers.imports.mapping import INCIDENT_REQUEST, KeyPart, Kind, ReportMapping
from producers.imports.rows import BrokenRow, Cell, Row
from producers.imports.values import Absent, CellFault, Read

_LAST_MICROSECOND = 999_999


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with a row; without a column, with the whole row."""

    column: str | None
    message: str

    def __str__(self) -> str:
        return self.message if self.column is None else f"{self.column}: {self.message}"


@dataclass(frozen=True, slots=True)
class RowRequest:
    """What a row asks for.

    Attributes:
        name: the id of its first request.
        data: the inputs, without the row that it refers to.
        refers_to: the id of the first request of that row.
    """

    row: int
    kind: Kind
    name: str
    data: dict[str, Any]
    time: datetime
    refers_to: str | None

    def data_with(self, reference: str | None) -> dict[str, Any]:
        """The inputs, where the row referred to was asked for as *reference*."""
        if reference is None:
            return self.data
        return {**self.data, INCIDENT_REQUEST: {"id": reference}}

    def body_hash(self, data: object) -> bytes:
        """The hash of asking for *data*, by which the ledger knows it."""
        return body_hash(f"{TYPE_PREFIX}{self.kind.procedure}", data)


@dataclass(frozen=True, slots=True)
class FaultyRow:
    """A row that asks for nothing that could be published, and all that is wrong with it."""

    row: int
    kind: str | None
    name: str | None
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class RequestMaker:
    """Makes requests of rows.

    Attributes:
        report: the report's id.
        time: when the report was made, for kinds whose rows do not say when they were.
        now: rows that state a later time are refused: they would hold back what comes after them.
    """

    report: str
    mapping: ReportMapping
    time: datetime | None
    now: datetime

    def make(self, row: Row | BrokenRow) -> RowRequest | FaultyRow | None:
        """What a row asks for; None for one that is passed over."""
        if isinstance(row, BrokenRow):
            return FaultyRow(row.number, None, None, (Fault(row.column, row.message),))
        kind = self._kind(row)
        if not isinstance(kind, Kind):
            return kind
        faults: list[Fault] = []
        name = self._name(kind.key, row, faults)
        data = _data(kind, row.cells, faults)
        refers_to = self._reference(kind, row, faults)
        time = self._time(kind, row, faults)
        if faults or name is None or time is None:
            return FaultyRow(row.number, kind.name, name, tuple(faults))
        return RowRequest(row.number, kind, name, data, time, refers_to)

    def name_of(self, row: Row | BrokenRow) -> str | None:
        """The id of a row's first request; None where it has none."""
        if isinstance(row, BrokenRow):
            return None
        kind = self._kind(row)
        return self._name(kind.key, row, []) if isinstance(kind, Kind) else None

    def _kind(self, row: Row) -> Kind | FaultyRow | None:
        rule = self.mapping.rule
        if rule is None:
            return next(iter(self.mapping.kinds.values()))
        found = str(row.cells.get(rule.column) or "")
        if found in rule.ignore:
            return None
        if found in rule.values:
            return self.mapping.kinds[rule.values[found]]
        words = ", ".join(chain(rule.values, sorted(rule.ignore)))
        message = f"{shown(found)!r} is none of {words}" if found else "is empty"
        return FaultyRow(row.number, None, None, (Fault(rule.column, message),))

    def _name(self, key: tuple[KeyPart, ...], row: Row, faults: list[Fault]) -> str | None:
        parts = []
        for part in key:
            text = part.value if part.column is None else _text(row.cells.get(part.column))
            if text is None:
                faults.append(Fault(part.column, "is empty, and belongs to the row's key"))
            else:
                parts.append(text)
        if len(parts) < len(key):
            return None
        try:
            return request_id(self.report, parts)
        except ValueError as error:
            faults.append(
                Fault(next((part.column for part in key if part.column), None), f"{error}")
            )
            return None

    def _reference(self, kind: Kind, row: Row, faults: list[Fault]) -> str | None:
        """The row referred to; none where its key stands nowhere in this row."""
        if kind.reference is None or all(
            part.column is None or row.cells.get(part.column) is None for part in kind.reference
        ):
            return None
        return self._name(kind.reference, row, faults)

    def _time(self, kind: Kind, row: Row, faults: list[Fault]) -> datetime | None:
        try:
            stated = kind.time(row.cells) if kind.time is not None else None
        except CellFault as fault:
            _add(fault, faults)
            return None
        if stated is not None and stated > self.now + DETECTION_TOLERANCE:
            faults.append(Fault(None, f"states a time that lies in the future, {stated}"))
            return None
        stated = stated or self.time
        if stated is None:
            faults.append(Fault(None, "states no time, and the report has none of its own"))
            return None
        return in_order(stated, row.number)


def in_order(stated: datetime, number: int) -> datetime:
    """A row's time, made later than that of rows before it which state the same second.

    Times order what one source asks about one incident, and vendors write few with fractions.
    """
    if stated.microsecond:
        return stated
    return stated + timedelta(microseconds=min(number, _LAST_MICROSECOND))


def _data(kind: Kind, cells: Mapping[str, Cell], faults: list[Fault]) -> dict[str, Any]:
    data = dict(_given(kind.inputs, cells, faults))
    for name, members in kind.objects.items():
        if below := dict(_given(members, cells, faults)):
            data[name] = below
    return data


def _given(
    readers: Mapping[str, Read], cells: Mapping[str, Cell], faults: list[Fault]
) -> Iterator[tuple[str, object]]:
    for name, read in readers.items():
        value = _read(read, cells, faults)
        if value is not Absent.ABSENT:
            yield name, value


def _read(read: Read, cells: Mapping[str, Cell], faults: list[Fault]) -> object:
    try:
        return read(cells)
    except CellFault as fault:
        _add(fault, faults)
        return Absent.ABSENT


def _add(fault: CellFault, faults: list[Fault]) -> None:
    """Note a fault; several inputs may be read from one column."""
    if (found := Fault(fault.column, fault.message)) not in faults:
        faults.append(found)


def _text(cell: Cell) -> str | None:
    return cell if cell is None or isinstance(cell, str) else cell.isoformat(" ")
