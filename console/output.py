"""What commands print: tables for people, JSON for programs, and progress while they work.

Text that came from outside is shown with its control characters escaped, so that no title and no
message can steer the reader's terminal.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from console.failures import wrong_usage

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
AsJsonLines = Annotated[
    bool,
    typer.Option("--json", help="Print JSON lines, for programs: no line if there is nothing."),
]
Limit = Annotated[
    int,
    typer.Option(
        "--limit", metavar="N", min=1, max=100_000, help="How many at most, newest first."
    ),
]

LAST_NUMBER = 2**63 - 1
"""The largest number that a record can have."""

_SIZE_OF_A_FILE = (132, 24)
"""Columns and lines; a listing with an id, a reason and a subject still is a table there."""
_SHORT = 24
"""Characters that a listing does not fold: a time, a reason code."""
_FOLDED = 14
"""How narrow a listing makes a longer text."""


def examples(*lines: str) -> str:
    """The epilog of a command's help: how to call it, one example a line."""
    return "\n".join(["Examples:", "```text", *lines, "```"])


def screen() -> Console:
    """Standard output; what is not a terminal is as wide as COLUMNS says, or gets some room."""
    width = None if sys.stdout.isatty() else shutil.get_terminal_size(_SIZE_OF_A_FILE).columns
    return Console(width=width, highlight=False)


def notices() -> Console:
    """Standard error, for what is not the command's result."""
    return Console(stderr=True, highlight=False)


def visible(value: object) -> str:
    """*value* on one line: nothing for None, moments in UTC, control characters escaped.

    What is true or false is called as JSON does.
    """
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return f"{_without_zone(value)} UTC"
        case list() | tuple():
            return ", ".join(map(visible, value))
        case _:
            return "".join(map(_printable, str(value)))


def _printable(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _without_zone(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table of *rows*; a column whose title begins with ``#`` holds numbers.

    The title of a column of moments says that they are in UTC.
    """
    rows = list(rows)
    made = Table(title=title or None, title_justify="left", title_style="bold")
    for position, column in enumerate(columns):
        number = column.startswith("#")
        justify: Literal["right", "left"] = "right" if number else "left"
        zone = " (UTC)" if any(isinstance(row[position], datetime) for row in rows) else ""
        made.add_column(f"{column.removeprefix('#')}{zone}", justify=justify, overflow="fold")
    for row in rows:
        made.add_row(*map(_cell, row))
    return made


def _cell(value: object) -> Text:
    match value:
        case Text():
            return value
        case datetime():
            return Text(_without_zone(value))
        case _:
            return Text(visible(value))


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows as a table where there is room for one, and one below the other where there is not.

    Attributes:
        columns: titles, as of a `table`.
        nothing: what is said when there are no rows.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    nothing: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What it is on a screen of this width."""
        if not self.rows:
            yield Text(self.nothing)
            return
        made = table(self.title, self.columns, self.rows)
        if _fit(made, options.max_width):
            yield made
            return
        yield Text(self.title, "bold")
        for row in self.rows:
            yield Text()
            yield self._block(row)

    def _block(self, row: Sequence[object]) -> Table:
        """One row: its columns below each other, without those that are empty."""
        block = Table.grid(padding=(0, 2, 0, 0))
        block.add_column(style="dim", no_wrap=True)
        block.add_column(overflow="fold")
        for column, value in zip(self.columns, row, strict=True):
            if shown := value if isinstance(value, Text) else Text(visible(value)):
                block.add_row(column.removeprefix("#"), shown)
        return block


def _fit(made: Table, width: int) -> bool:
    """Whether a table can be shown in *width* with no short word folded; then none will be."""
    needed = 3 * len(made.columns) + 1
    for column in made.columns:
        texts = [Text(str(column.header)), *column.cells]
        longest = max(text.cell_len for text in texts if isinstance(text, Text))
        column.no_wrap = longest <= _SHORT
        needed += longest if column.no_wrap else _FOLDED
    return needed <= width


def listing(
    title: str,
    columns: Mapping[str, str],
    lines: Iterable[Mapping[str, object]],
    *,
    nothing: str | None = None,
) -> Listing:
    """A listing of *lines*; *columns* are titles (see `table`) with the keys that go below them."""
    rows = [[line[key] for key in columns.values()] for line in lines]
    return Listing(title, list(columns), rows, nothing or f"{title}: none.")


def tell_rest(shown: int, *, more: bool) -> None:
    """Say on stderr that there are more lines than a listing has; nobody counts them for that."""
    if more:
        notices().print(f"The newest {shown:,}; there are more, and --limit shows them.")


def check_writable(path: Path) -> None:
    """See that a file can be written at *path*, before the work is done that it is for.

    Raises:
        Failure: it cannot.
    """
    if path.is_dir():
        raise wrong_usage(f"{path} is a directory: name a file.")
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise wrong_usage(f"{path} cannot be written: its folder is missing, or not yours.")


def print_document(value: object) -> None:
    """Print one JSON document."""
    _print_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2 | _JSON, default=_plain))


def print_lines(values: Iterable[Any]) -> None:
    """Print one JSON document a line."""
    for value in values:
        _print_bytes(orjson.dumps(value, option=_JSON, default=_plain))


_JSON = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(type(value).__name__)


_STEERING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters that JSON lets stand as they are: DEL, C1, and what turns the direction."""


def _print_bytes(line: bytes) -> None:
    """Print JSON; it means the same with any character of its strings escaped."""
    sys.stdout.write(_STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", line.decode()))
