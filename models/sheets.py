"""The directory's files as they should be: their columns, and what may stand in each (DESIGN 7).

Everything follows from `models.tables`: a file is named as its table and has its columns. Which
rows exist and refer to each other is not decided here (`models.directory_checks`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Column, Date, Table

from models import tables
from policy.vocabulary import (
    Environment,
    PartyStatus,
    Role,
    SlaTier,
    SubscriptionStatus,
    UserStatus,
)

LONGEST_FIELD = 1024
"""Characters."""

_DIRECTORY_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
SURROGATE = re.compile("[\ud800-\udfff]")
"""What stands for a byte that is not UTF-8, and is no character."""

_LONGEST_QUOTE = 40

_VOCABULARIES: Mapping[str, type[StrEnum]] = {
    "clients.status": PartyStatus,
    "vendors.status": PartyStatus,
    "users.role": Role,
    "users.status": UserStatus,
    "components.environment": Environment,
    "subscriptions.sla_tier": SlaTier,
    "subscriptions.status": SubscriptionStatus,
}


class Fault(NamedTuple):
    """Something wrong with a directory file.

    Attributes:
        row: the line in a CSV file (the first of a row that spans several), the position in a
            JSON array, both from 1; None where the whole file is at fault.
        column: None where the whole row, or the whole file, is at fault.
        message: names ids and words of a vocabulary, but no other value.
    """

    file: str
    row: int | None
    column: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a directory file.

    Attributes:
        is_email: it holds e-mail addresses, of which upper and lower case are the same.
        refers_to: the table whose key stands in this column.
    """

    name: str
    required: bool
    unique: bool
    is_key: bool
    is_date: bool
    is_email: bool
    refers_to: str | None
    vocabulary: tuple[str, ...] | None

    @property
    def is_id(self) -> bool:
        """Whether an id of the directory stands in this column."""
        return self.is_key or self.refers_to is not None

    def fault_of(self, value: str | None) -> str | None:
        """What is wrong with *value* (None: nothing was given), or None."""
        if value is None:
            return "is required" if self.required else None
        if len(value) > LONGEST_FIELD:
            return f"has {len(value)} characters, at most {LONGEST_FIELD} are taken"
        if "\0" in value:
            return "holds U+0000"
        if not value.isascii() and SURROGATE.search(value):
            return "is not valid UTF-8"
        if self.is_id and not _DIRECTORY_ID.fullmatch(value):
            return f"'{shown(value)}' is not an id: 1 to 64 of A-Z a-z 0-9 . _ : -"
        if self.vocabulary is not None and value not in self.vocabulary:
            return f"'{shown(value)}' is none of {', '.join(self.vocabulary)}"
        if self.is_date and not _is_date(value):
            return f"'{shown(value)}' is not a date such as 2025-09-25"
        if self.is_email and not _EMAIL.fullmatch(value):
            return "is not an e-mail address: one @, with something on both sides"
        return None


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a directory file of one table holds."""

    table: str
    fields: tuple[Field, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in the table's order."""
        return tuple(field.name for field in self.fields)

    @property
    def key(self) -> str:
        """The column that tells the rows apart."""
        return next(field.name for field in self.fields if field.is_key)

    def faults_of(self, values: Mapping[str, str | None]) -> dict[str, str]:
        """By column, what is wrong with a row's *values*, each looked at by itself and together."""
        faults = {
            field.name: fault
            for field in self.fields
            if (fault := field.fault_of(values[field.name])) is not None
        }
        start, end = values.get("start_date"), values.get("end_date")
        if start and end and not faults.keys() & {"start_date", "end_date"} and end < start:
            faults["end_date"] = f"{end} is before start_date, {start}"
        return faults

    def header_faults(self, header: Sequence[str]) -> list[tuple[str, str]]:
        """What is wrong with a header line: columns unknown, twice or missing."""
        unknown = [name for name in dict.fromkeys(header) if name not in self.names]
        return [
            *((shown(name), "is not a column of this file") for name in unknown),
            *((name, "stands twice") for name in self.names if header.count(name) > 1),
            *((name, "is missing") for name in self.names if name not in header),
        ]


def _words(column: str) -> tuple[str, ...] | None:
    vocabulary = _VOCABULARIES.get(column)
    return None if vocabulary is None else tuple(str(word) for word in vocabulary)


def _field(column: Column[object], table: str) -> Field:
    reference = next(iter(column.foreign_keys), None)
    return Field(
        name=column.name,
        required=not column.nullable,
        unique=bool(column.unique),
        is_key=column.primary_key,
        is_date=isinstance(column.type, Date),
        is_email=column.name in ("email", "contact_email"),
        refers_to=None if reference is None else reference.column.table.name,
        vocabulary=_words(f"{table}.{column.name}"),
    )


def _sheet(table: Table) -> Sheet:
    return Sheet(table.name, tuple(_field(column, table.name) for column in table.columns))


SHEETS: Mapping[str, Sheet] = {
    table.name: _sheet(table)
    for table in (
        tables.clients,
        tables.vendors,
        tables.users,
        tables.products,
        tables.components,
        tables.subscriptions,
    )
}
"""By table; each after those that it refers to."""


def place(file: str, row: int) -> str:
    """``line 17`` of a CSV file, ``row 17`` of a JSON array."""
    return f"{'row' if file.endswith('.json') else 'line'} {row}"


def _is_date(value: str) -> bool:
    try:
        return bool(_DATE.fullmatch(value)) and bool(date.fromisoformat(value))
    except ValueError:
        return False


def shown(value: str) -> str:
    """A value, cut short and printable, wherever it came from."""
    if len(value) > _LONGEST_QUOTE:
        value = f"{value[:_LONGEST_QUOTE]}…"
    return value if value.isprintable() else value.encode("unicode_escape").decode()
