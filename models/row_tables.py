"""How the rows of ``models.rows`` are read, locked, inserted and changed, many at a time.

A row is a tuple in the order of its table's columns, so that it needs no mapping: it is what a
SELECT returns and what COPY takes, but for the few columns that are converted on the way.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from operator import attrgetter
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from models.rows import Communication, Escalation, Incident, IncidentUpdate
from models.sql import as_json, copy_rows, execute, fetch, key_of
from policy.vocabulary import (
    DeliveryMethod,
    DeliveryStatus,
    EscalationLevel,
    EscalationStatus,
    IncidentStatus,
    Level,
    RecipientType,
    Severity,
    SeverityOrigin,
)

Converter = Callable[[Any], Any]
R = TypeVar("R", Incident, Escalation, Communication)


class RowTable(Generic[R]):
    """One table whose rows are values of the type *row*.

    Args:
        row: the type, named for its fields as the table for its columns.
        name: the table's name.
        words: by column, the words that it may hold, or null.
        changes: by column, the type of those that may change once the row exists.
    """

    def __init__(
        self,
        row: type[R],
        name: str,
        words: Mapping[str, type[StrEnum]],
        changes: Mapping[str, str],
    ) -> None:
        self.name = name
        self._row: type[R] = row
        self._columns: tuple[str, ...] = row._fields
        readers = {column: _word(kind) for column, kind in words.items()} | dict(_READERS)
        self._readers = self._positions(readers)
        self._writers = self._positions(_WRITERS)
        key = key_of(name)
        self._changes = (key, *changes)
        self._changes_of = attrgetter(*self._changes)
        self._read = (
            f"SELECT {', '.join(self._columns)} FROM {name}"
            f" WHERE {key} = ANY(%(ids)s::bigint[]) ORDER BY {key}"
        )
        self._lock = f"{self._read} FOR NO KEY UPDATE"
        self._update = (
            f"UPDATE {name} AS old SET {', '.join(f'{c} = new.{c}' for c in changes)}"
            f" FROM json_to_recordset(%(rows)s::json)"
            f" AS new ({key} bigint, {', '.join(f'{c} {sort}' for c, sort in changes.items())})"
            f" WHERE old.{key} = new.{key}"
        )

    def _positions(self, converters: Mapping[str, Converter]) -> list[tuple[int, Converter]]:
        return [
            (position, converters[column])
            for position, column in enumerate(self._columns)
            if column in converters
        ]

    def read(
        self, connection: Connection, ids: Collection[int], *, lock: bool = False
    ) -> dict[int, R]:
        """The rows of these numbers, by number.

        With *lock* they stay as they are until the transaction ends. They are locked in the order
        of their numbers (``FOR NO KEY UPDATE``), so that transactions never wait crosswise.
        """
        if not ids:
            return {}
        statement = self._lock if lock else self._read
        listed = "{" + ",".join(map(str, ids)) + "}"
        return {
            values[0]: self._row._make(_converted(values, self._readers))
            for values in fetch(connection, statement, {"ids": listed})
        }

    def insert(self, connection: Connection, rows: Iterable[R]) -> None:
        """Add new rows."""
        copy_rows(
            connection, self.name, self._columns, (_converted(row, self._writers) for row in rows)
        )

    def update(self, connection: Connection, rows: Sequence[R]) -> None:
        """Store the new state of rows that exist (and are locked by this transaction)."""
        if rows:
            changed = [dict(zip(self._changes, self._changes_of(row), strict=True)) for row in rows]
            execute(connection, self._update, {"rows": as_json(changed)})


def _converted(row: Sequence[Any], converters: Sequence[tuple[int, Converter]]) -> list[Any]:
    values = list(row)
    for position, convert in converters:
        values[position] = convert(values[position])
    return values


def _word(kind: type[StrEnum]) -> Converter:
    """From text to the word it stands for; a look-up is much faster than a call of *kind*."""
    words: dict[str | None, StrEnum | None] = {str(word): word for word in kind}
    words[None] = None
    return words.__getitem__


def _array(words: Sequence[str] | None) -> str | None:
    """An array of words that need no quotes."""
    return None if words is None else "{" + ",".join(words) + "}"


_READERS: Mapping[str, Converter] = {
    "severity_flags": lambda flags: None if flags is None else tuple(flags)
}
_WRITERS: Mapping[str, Converter] = {"severity_flags": _array, "stamps": as_json}

INCIDENTS = RowTable(
    Incident,
    "incidents",
    {
        "severity": Severity,
        "severity_origin": SeverityOrigin,
        "stated_severity": Severity,
        "impact_level": Level,
        "urgency_level": Level,
        "status": IncidentStatus,
    },
    {
        "title": "text",
        "category": "text",
        "severity": "text",
        "severity_origin": "text",
        "stated_severity": "text",
        "severity_flags": "text[]",
        "impact_level": "text",
        "urgency_level": "text",
        "status": "text",
        "component_id": "text",
        "assigned_to_user_id": "text",
        "resolution_timestamp": "timestamptz",
        "closed_by_source": "text",
        "stamps": "jsonb",
        "version": "integer",
        "updated_at": "timestamptz",
    },
)
ESCALATIONS = RowTable(
    Escalation,
    "escalations",
    {"escalation_level": EscalationLevel, "status": EscalationStatus},
    {"status": "text", "reason": "text", "resolved_at": "timestamptz", "stamps": "jsonb"},
)
COMMUNICATIONS = RowTable(
    Communication,
    "communications",
    {
        "recipient_type": RecipientType,
        "delivery_method": DeliveryMethod,
        "delivery_status": DeliveryStatus,
    },
    {"delivery_status": "text", "sent_at": "timestamptz", "stamps": "jsonb"},
)


def insert_history(connection: Connection, rows: Iterable[IncidentUpdate]) -> None:
    """Add lines to the history of incidents; they are never changed."""
    copy_rows(connection, "incident_updates", IncidentUpdate._fields, rows)
