"""Files of JSON lines, from whoever: a line at a time, none of them longer than is bearable."""

import codecs
from collections.abc import Iterator
from typing import IO

import orjson

from models.sheets import shown

LONGEST_LINE = 1024 * 1024
"""Bytes; an event itself may have 256 KiB."""


class NotJson(Exception):
    """A line that cannot be read; the message says why, as the end of a sentence."""


def numbered_lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers; too long a line is cut."""
    number = 0
    while text := file.readline(LONGEST_LINE + 2):
        number += 1
        cut = text
        while cut and not cut.endswith(b"\n"):
            cut = file.readline(LONGEST_LINE)
        if number == 1:
            text = text.removeprefix(codecs.BOM_UTF8)
        if text := text.strip():
            yield number, text


def read_object(text: bytes) -> dict[str, object]:
    """What a line says.

    Raises:
        NotJson: it is not a JSON object, with the column, counted in characters, and what stands
            there.
    """
    if len(text) > LONGEST_LINE:
        raise NotJson(f"is longer than {LONGEST_LINE:,} bytes")
    value = _read(text)
    if not isinstance(value, dict):
        raise NotJson(f"is {kind_of(value)}, not a JSON object")
    return value


def _read(text: bytes) -> object:
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        raise NotJson(
            f"is not UTF-8: byte {error.start + 1} is 0x{text[error.start]:02x}"
        ) from None
    try:
        return orjson.loads(decoded)
    except orjson.JSONDecodeError as error:
        found = shown(decoded[error.pos :])
        where = f", at {found!r}" if found.strip() else ""
        raise NotJson(f"column {error.colno}: is not JSON: {error.msg}{where}") from None


def kind_of(value: object) -> str:
    """What a JSON value is, for people."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"
