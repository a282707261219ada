"""TOML files that say where they end, so that a half-written file is not taken for a whole one.

A file that begins with ``closed = true`` ends with the line ``[end]``. Whatever is cut off, by a
full disk or because somebody is just saving it, that line is missing then. Files without the two
are taken as they are: of them nobody can tell.
"""

import tomllib
from typing import Any, NamedTuple

CLOSED = "closed = true"
"""The line at the top."""
END = "[end]"
"""The last line."""


class NotWhole(Exception):
    """The file is not TOML, or its end is missing; the message says which."""


class WholeFile(NamedTuple):
    """What a file says, and whether it said where it ends."""

    document: dict[str, Any]
    is_closed: bool


def read_whole(text: str) -> WholeFile:
    """Read the text of a file.

    Raises:
        NotWhole: it is not TOML, or not all of it is there.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise NotWhole(f"is not TOML: {error}") from None
    closed, end = document.pop("closed", None), document.pop("end", None)
    if closed is None and end is None:
        return WholeFile(document, is_closed=False)
    if closed is not True:
        raise NotWhole(f"has {END}, and does not say {CLOSED} at its top")
    if last_line(text) != END:
        raise NotWhole(
            f"is not whole: it says {CLOSED}, and its last line is not {END}. It is being written"
            " just now, or the disk is full, or something was added after that line"
        )
    if end != {}:
        raise NotWhole(f"has something in {END}, which only says that the file ends there")
    return WholeFile(document, is_closed=True)


def last_line(text: str) -> str:
    """The last line that is neither blank nor a comment."""
    lines = (line.strip() for line in reversed(text.splitlines()))
    return next((line for line in lines if line and not line.startswith("#")), "")
