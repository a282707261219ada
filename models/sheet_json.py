"""Reading a directory file in JSON: an array of objects, with the columns as names."""

import json
from collections.abc import Iterator

from models.sheet_rows import Row, SheetFile, checked_row
from models.sheets import Fault, Field, shown


class _Object(list[tuple[str, object]]):
    """A JSON object as its pairs, so that a name that stands twice shows."""


class _Integer(str):
    """A JSON integer as its digits."""

    __slots__ = ()


def json_rows(file: SheetFile) -> Iterator[Row | Fault]:
    """The rows, each after its faults; a column left out of an object is empty there."""
    text = file.path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    try:
        rows = json.loads(text, object_pairs_hook=_Object, parse_int=_Integer)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        yield Fault(file.name, None, None, f"is not JSON: {error.msg}, at {where}")
        return
    except RecursionError:
        yield Fault(file.name, None, None, "is nested too deeply")
        return
    if not isinstance(rows, list) or isinstance(rows, _Object):
        yield Fault(file.name, None, None, "must hold a JSON array of objects")
        return
    for number, row in enumerate(rows, 1):
        if isinstance(row, _Object):
            yield from _row(file, number, row)
        else:
            yield Fault(file.name, number, None, "is not a JSON object")


def _row(file: SheetFile, number: int, row: _Object) -> Iterator[Row | Fault]:
    fields = {field.name: field for field in file.sheet.fields}
    given: dict[str, str | None] = {}
    faulty: set[str] = set()
    for name, value in row:
        if name not in fields:
            yield Fault(file.name, number, shown(name), "is not a column of this file")
        elif name in given:
            faulty.add(name)
            yield Fault(file.name, number, name, "stands twice")
        elif not _is_text(fields[name], value):
            faulty.add(name)
            given[name] = None
            yield Fault(file.name, number, name, "must be text or null")
        else:
            given[name] = None if value is None else str(value)
    yield from checked_row(file, number, given, faulty)


def _is_text(field: Field, value: object) -> bool:
    if isinstance(value, _Integer):
        return field.is_id
    return value is None or isinstance(value, str)
