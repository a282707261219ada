"""What a row's request is called: REPORT/KEY, and REPORT/KEY~2, ~3 … when it is tried again.

The name follows from what the row says of itself, never from the file, so that it is the same in
every copy and every correction of a report.
"""

import re

_SET_APART = re.compile("[%/~]")
"""What would make two keys look like one: the separators, and the character that escapes them."""

_LONGEST_KEYED = 255 - len("~999999")
"""Of the 255 characters that an id may have (DESIGN 5)."""


def request_id(report: str, parts: list[str]) -> str:
    """The id of the row of *report* whose key columns hold *parts*.

    Raises:
        ValueError: it would be no id, with the end of a sentence.
    """
    keys = (_SET_APART.sub(lambda found: f"%{ord(found[0]):02X}", part) for part in parts)
    name = f"{report}/{'/'.join(keys)}"
    if "\0" in name:
        raise ValueError("holds U+0000")
    if len(name) > _LONGEST_KEYED:
        raise ValueError(f"has {len(name)} characters as an id; {_LONGEST_KEYED} are taken")
    return name


def attempt(name: str, number: int) -> str:
    """What the request of the row *name* is called the *number*-th time."""
    return name if number == 1 else f"{name}~{number}"
