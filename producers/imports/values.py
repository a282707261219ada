"""From what stands in a vendor's column to the value of an input."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum, auto
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from models.inputs import parse_timestamp
from models.sheets import shown
from producers.imports.input_shapes import InputShape, Sort
from producers.imports.rows import Cell

Scalar = StrictStr | StrictBool | StrictInt | StrictFloat | datetime
ValueTable = Mapping[str, Scalar]

_MOMENTS_REMEMBERED = 10_000
_WORDS_NAMED = 12
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Absent(Enum):
    """Stands for an input that a row says nothing of; it is left out of the request."""

    ABSENT = auto()


class CellFault(Exception):
    """A value that no input can be made of."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column
        self.message = message


class RuleFault(Exception):
    """A rule that cannot work on any row; the message says why."""


Read = Callable[[Mapping[str, Cell]], object]
"""The value of an input for one row, or ``Absent.ABSENT``; raises CellFault."""


class Rule(BaseModel):
    """How one input is made: from a column, or of a constant.

    Attributes:
        value: the constant.
        values: a table from what stands in the column to the value, or the name of a table.
        default: the value where the column holds nothing.
        format: how a moment is written, as for ``strptime``; ISO 8601 if None.
        zone: the time zone of moments that state none; UTC if None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    column: Annotated[str, Field(min_length=1)] | None = None
    value: Scalar | None = None
    values: str | ValueTable | None = None
    default: Scalar | None = None
    format: Annotated[str, Field(min_length=1)] | None = None
    zone: str | None = None


ReadTime = Callable[[Mapping[str, Cell]], datetime | None]
"""The time of one row, None where it states none; raises CellFault."""


def make_time_reader(rule: Rule) -> ReadTime:
    """What reads the time of rows, in UTC.

    Raises:
        RuleFault: it cannot be read like that.
    """
    column = rule.column
    if column is None or rule.value or rule.values or rule.default:
        raise RuleFault("needs a column, and takes but format and zone besides")
    convert = moment_reader(rule.format, rule.zone)

    def read(cells: Mapping[str, Cell]) -> datetime | None:
        cell = cells.get(column)
        try:
            return None if cell is None else convert(cell)
        except ValueError as error:
            raise CellFault(column, str(error)) from None

    return read


def make_reader(rule: Rule, shape: InputShape, tables: Mapping[str, ValueTable]) -> Read:
    """What reads the input that *rule* makes.

    Raises:
        RuleFault: it cannot be made like that.
    """
    if (rule.column is None) == (rule.value is None):
        raise RuleFault("needs either a column or a value")
    if shape.sort is Sort.OBJECT:
        raise RuleFault(f"is an object: give {', '.join(shape.members)} below it")
    if shape.sort is not Sort.MOMENT and (rule.format is not None or rule.zone is not None):
        raise RuleFault("is no moment, and so has neither format nor zone")
    if rule.column is None:
        return _constant(rule, shape)
    return _from_column(rule, rule.column, shape, tables)


def _constant(rule: Rule, shape: InputShape) -> Read:
    if rule.values is not None or rule.default is not None or rule.format is not None:
        raise RuleFault("has a constant value, and so no values, default or format")
    value = _literal(rule.value, shape)
    return lambda _cells: value


def _from_column(
    rule: Rule, column: str, shape: InputShape, tables: Mapping[str, ValueTable]
) -> Read:
    default = Absent.ABSENT if rule.default is None else _literal(rule.default, shape)
    convert = _by_table(rule, shape, tables) or _CONVERSIONS[shape.sort](rule)

    def read(cells: Mapping[str, Cell]) -> object:
        cell = cells.get(column)
        if cell is None:
            return default
        try:
            return convert(cell)
        except ValueError as error:
            raise CellFault(column, str(error)) from None

    return read


def _literal(value: object, shape: InputShape) -> object:
    """A value that the mapping itself gives."""
    match shape.sort, value:
        case (Sort.MOMENT, datetime()):
            return written(value if value.tzinfo else value.replace(tzinfo=UTC))
        case (Sort.MOMENT, str()):
            try:
                return written(parse_timestamp(value))
            except ValueError:
                pass
        case (Sort.INTEGER, int()) | (Sort.BOOLEAN, bool()):
            if isinstance(value, bool) == (shape.sort is Sort.BOOLEAN):
                return value
        case (Sort.TEXT, str()):
            if shape.words is not None and value not in shape.words:
                raise RuleFault(f"{shown(value)!r} is none of {', '.join(shape.words)}")
            return value
        case (Sort.TEXT, int()) if shape.words is None and not isinstance(value, bool):
            return str(value)
        case _:
            pass
    raise RuleFault(f"takes {shape.sort}, which {shown(str(value))!r} is not")


Convert = Callable[[str | datetime], object]
"""The value for what stands in a cell; raises ValueError with the end of a sentence."""


def _by_table(rule: Rule, shape: InputShape, tables: Mapping[str, ValueTable]) -> Convert | None:
    if rule.values is None:
        return None
    given = tables.get(rule.values) if isinstance(rule.values, str) else rule.values
    if given is None:
        raise RuleFault(f"names a table {rule.values!r} that [values] does not have")
    if rule.format is not None or rule.zone is not None:
        raise RuleFault("has a table of values, and so neither format nor zone")
    table = {text: _literal(value, shape) for text, value in given.items()}
    names = ", ".join(list(table)[:_WORDS_NAMED]) + (", …" if len(table) > _WORDS_NAMED else "")

    def look_up(cell: str | datetime) -> object:
        try:
            return table[_as_text(cell)]
        except KeyError:
            raise ValueError(f"{shown(_as_text(cell))!r} is none of {names}") from None

    return look_up


def _text(_rule: Rule) -> Convert:
    return _as_text


def _as_text(cell: str | datetime) -> str:
    return cell if isinstance(cell, str) else cell.isoformat(" ")


def _integer(_rule: Rule) -> Convert:
    def read(cell: str | datetime) -> int:
        text = _as_text(cell)
        if text.isascii() and text.isdigit() and len(text) < 20:
            return int(text)
        raise ValueError(f"{shown(text)!r} is not a whole number")

    return read


def _boolean(_rule: Rule) -> Convert:
    def read(cell: str | datetime) -> bool:
        text = _as_text(cell)
        try:
            return _BOOLEANS[text.lower()]
        except KeyError:
            words = ", ".join(_BOOLEANS)
            raise ValueError(
                f"{shown(text)!r} is none of {words}: give the rule a table of values"
            ) from None

    return read


def _moment(rule: Rule) -> Convert:
    moment = moment_reader(rule.format, rule.zone)
    return lambda cell: written(moment(cell))


_CONVERSIONS: Mapping[Sort, Callable[[Rule], Convert]] = {
    Sort.TEXT: _text,
    Sort.INTEGER: _integer,
    Sort.BOOLEAN: _boolean,
    Sort.MOMENT: _moment,
}


@lru_cache(maxsize=256)
def moment_reader(format: str | None, zone: str | None) -> Callable[[str | datetime], datetime]:
    """What reads moments that are written so; they come out in UTC.

    Raises:
        RuleFault: there is no such zone.
    """
    try:
        where = ZoneInfo(zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise RuleFault(f"names no time zone {shown(zone or '')!r}, such as Europe/Oslo") from None

    @lru_cache(maxsize=_MOMENTS_REMEMBERED)  # a row often says one moment in several places
    def read(cell: str | datetime) -> datetime:
        moment = cell if isinstance(cell, datetime) else _parse(cell, format)
        try:
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
            utc = moment.replace(tzinfo=where).astimezone(UTC)
            if utc.astimezone(where).replace(tzinfo=None) != moment:
                raise ValueError(f"{moment} does not exist in {where}: the clocks went forward")
        except OverflowError:
            raise ValueError(f"{moment} cannot be told in UTC") from None
        return utc

    return read


def _parse(text: str, format: str | None) -> datetime:
    try:
        return datetime.fromisoformat(text) if format is None else datetime.strptime(text, format)  # noqa: DTZ007  # the zone is the mapping's
    except ValueError:
        how = format or "2025-09-25T16:40:00+02:00"
        raise ValueError(f"{shown(text)!r} is not a moment written as {how}") from None


def written(moment: datetime) -> str:
    """A moment as inputs write it: RFC 3339, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
