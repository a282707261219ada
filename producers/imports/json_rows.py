"""Reading a vendor's file of JSON lines: an object a line, whose members are the columns."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.json_lines import NotJson, kind_of, numbered_lines, read_object
from models.sheets import shown
from producers.imports.rows import MOST_COLUMNS, BrokenRow, Cell, Row, text_or_nothing


@dataclass(frozen=True, slots=True)
class JsonLinesFile:
    """Implements ``ReportFile``."""

    path: Path

    def columns(self) -> None:
        """Each line names its own."""

    def rows(self) -> Iterator[Row | BrokenRow]:
        """A row a line."""
        with self.path.open("rb") as stream:
            for number, text in numbered_lines(stream):
                yield _row(number, text)


def _row(number: int, text: bytes) -> Row | BrokenRow:
    try:
        members = read_object(text)
        if len(members) > MOST_COLUMNS:
            raise NotJson(f"has {len(members):,} members; {MOST_COLUMNS:,} are read")
        return Row(number, {name: _cell(name, value) for name, value in members.items()})
    except NotJson as fault:
        return BrokenRow(number, str(fault))


def _cell(name: str, value: object) -> Cell:
    match value:
        case str():
            return text_or_nothing(value)
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case _:
            raise NotJson(f"{shown(name)} is {kind_of(value)}, and a column holds one value")
