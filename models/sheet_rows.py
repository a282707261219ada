"""A directory file, and its rows on their way into the database."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from models.sheets import Fault, Sheet


@dataclass(frozen=True, slots=True)
class SheetFile:
    """One file of the directory."""

    path: Path
    sheet: Sheet

    @property
    def name(self) -> str:
        """What faults call it."""
        return self.path.name


class Row(NamedTuple):
    """A row as it is to be stored, in the order of its sheet's columns; faulty values are None."""

    number: int
    values: tuple[str | None, ...]


def checked_row(
    file: SheetFile, number: int, given: Mapping[str, str | None], known: Collection[str] = ()
) -> Iterator[Row | Fault]:
    """A row after its faults; columns in *known* are reported already, or need not be."""
    values = {name: _blank_is_none(given.get(name)) for name in file.sheet.names}
    faults = file.sheet.faults_of(values)
    for column, message in faults.items():
        if column not in known:
            yield Fault(file.name, number, column, message)
    sound = (None if name in faults else value for name, value in values.items())
    yield Row(number, tuple(sound))


def _blank_is_none(value: str | None) -> str | None:
    return None if value is None or not value.strip() else value
