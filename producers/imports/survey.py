"""A first look through a file: how many rows it has, and which of them have one key."""

from collections.abc import Callable
from dataclasses import dataclass

from models.sheets import shown
from producers.imports.mapping import ReportMapping
from producers.imports.requests import RequestMaker
from producers.imports.rows import FileFault, ReportFile

_COLUMNS_NAMED = 30


@dataclass(frozen=True, slots=True)
class Survey:
    """What a first look found.

    Attributes:
        rows: how many there are.
        twice: by the id of their request, the rows that have one key.
    """

    rows: int
    twice: dict[str, list[int]]


def survey(
    file: ReportFile, maker: RequestMaker, progress: Callable[[int], None] = lambda _rows: None
) -> Survey:
    """Look through *file*; of each row, two numbers are remembered.

    Raises:
        FileFault: it cannot be read, lacks columns that the mapping reads, or holds no row.
    """
    _check_columns(file, maker.mapping)
    first: dict[int, int] = {}
    twice: dict[str, list[int]] = {}
    count = 0
    for row in file.rows():
        count += 1
        progress(count)
        name = maker.name_of(row)
        if name is None:
            continue
        earlier = first.setdefault(hash(name), row.number)
        if earlier != row.number:
            twice.setdefault(name, [earlier]).append(row.number)
    if not count:
        raise FileFault("holds no row")
    return Survey(count, twice)


def _check_columns(file: ReportFile, mapping: ReportMapping) -> None:
    columns = file.columns()
    if columns is None:
        return
    if missing := sorted(mapping.columns - set(columns)):
        has = ", ".join(map(shown, columns[:_COLUMNS_NAMED]))
        alone = " alone, as with a wrong `delimiter`" if len(columns) == 1 else ""
        raise FileFault(
            f"lacks columns that the mapping reads: {', '.join(missing)}; it has {has}{alone}"
        )
