"""What came from outside is shown, and cannot steer the terminal it is shown on."""

import unicodedata
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from console.output import listing, print_document, print_lines, screen, table, visible


@given(st.text())
def test_nothing_but_printable_characters_is_shown(text: str) -> None:
    """No control character, no line end, no change of direction."""
    assert visible(text).isprintable()


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S"])))
def test_what_can_be_shown_is_shown_as_it_is(text: str) -> None:
    """Every letter of every script."""
    assert visible(text) == text


def test_values_are_shown_plainly() -> None:
    """Moments in UTC, lists with commas, truth as in JSON, nothing for None."""
    moment = datetime(2025, 9, 25, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    assert visible(moment) == visible(moment.astimezone(UTC)) == "2025-09-25 12:00:00 UTC"
    assert visible(["a", "b\n"]) == r"a, b\n"
    assert visible(None) == ""
    assert visible(17) == "17"
    assert (visible(True), visible(False)) == ("true", "false")


def test_markup_in_a_value_stays_text() -> None:
    """A title in brackets is a title in brackets."""
    screen = Console(file=StringIO(), width=80)
    screen.print(table("", ("title",), [["[bold]loud[/bold] \x1b[31m"]]))
    assert isinstance(screen.file, StringIO)
    assert r"[bold]loud[/bold] \x1b[31m" in screen.file.getvalue()


def test_a_table_on_a_narrow_screen_leaves_nothing_out() -> None:
    """An id is folded, not cut: somebody may want to copy it."""
    screen = Console(file=StringIO(), width=30)
    screen.print(table("", ("id", "title"), [["x" * 50, "y" * 50]]))
    assert isinstance(screen.file, StringIO)
    shown = screen.file.getvalue()
    assert (shown.count("x"), shown.count("y")) == (50, 50)


HALTS = {"#id": "id", "reason": "reason", "halted": "at", "message": "message"}
HALT = {
    "id": "17",
    "reason": "vendor_association",
    "at": datetime(2025, 9, 25, 12, tzinfo=UTC),
    "message": "The vendor is not the one of the product that the component belongs to.",
}


def listed(width: int, *lines: dict[str, object]) -> str:
    """What a listing of halts looks like on a screen of this width."""
    screen = Console(file=StringIO(), width=width)
    screen.print(listing("Halts", HALTS, lines))
    assert isinstance(screen.file, StringIO)
    return screen.file.getvalue()


@given(width=st.integers(40, 200))
def test_no_short_word_of_a_listing_is_folded_however_narrow_the_screen(width: int) -> None:
    """Codes, ids and times are whole; nothing is wider than the screen."""
    shown = listed(width, HALT, HALT | {"reason": "communication_not_found", "message": ""})
    for word in ("17", "vendor_association", "communication_not_found", "2025-09-25 12:00:00"):
        assert word in shown
    assert "UTC" in shown
    assert max(map(len, shown.splitlines())) <= width


def test_a_listing_is_a_table_where_there_is_room_and_else_one_block_a_row() -> None:
    """The zone stands once in the table's header, and after each time of a block."""
    assert "│ halted (UTC)" in listed(90, HALT).replace("┃", "│")
    assert "12:00:00 UTC" not in listed(90, HALT)
    narrow = listed(60, HALT)
    assert "│" not in narrow
    assert "halted   2025-09-25 12:00:00 UTC" in narrow


def test_a_listing_of_nothing_says_so() -> None:
    """In words, without a frame."""
    assert listed(80) == "Halts: none.\n"


def test_what_is_not_a_terminal_is_as_wide_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """By COLUMNS; and has room for a table without."""
    monkeypatch.setenv("COLUMNS", "60")
    assert screen().width == 60
    monkeypatch.delenv("COLUMNS")
    assert 100 <= screen().width <= 140


@pytest.mark.parametrize("printing", [print_document, lambda value: print_lines([value])])
@given(text=st.text(st.characters(codec="utf-8")))
def test_json_means_the_same_and_cannot_steer_the_terminal(
    printing: Callable[[object], None], text: str
) -> None:
    """Control characters, C1 too, and changes of direction are escaped; every letter stays."""
    written = StringIO()
    value = {"title": text, text: ["\x7f\x9b31m\u202e\u2066\x1b[31m é 漢"]}
    with redirect_stdout(written):
        printing(value)
    shown = written.getvalue()
    assert orjson.loads(shown) == value
    assert not {unicodedata.category(each) for each in shown.replace("\n", "")} & {"Cc"}
    assert not set(shown) & set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2069")
    assert "é 漢" in shown
