"""Faults of a TOML file that people write, each by the key that it is about.

pydantic places a fault below the member of a union that it tried, by the name of a Python type. A
reader of the file knows but keys, and the several things that a value may be.
"""

from itertools import pairwise

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from models.errors import json_path, wording
from policy.halts import InputError

_IN_TOML = {
    "must be a JSON object": "must be a table",
    "is not an input of this procedure": "is not known here",
}
_MUST_BE = "must be "

Keys = tuple[str | int, ...]


def file_errors(error: ValidationError, document: object) -> list[InputError]:
    """What is wrong with *document*, which was validated; values left out."""
    found: dict[Keys, list[str]] = {}
    for fault in error.errors(include_url=False):
        told = wording(fault)
        found.setdefault(_keys(document, fault), []).append(_IN_TOML.get(told, told))
    places = sorted(found, key=_order)
    has_deeper = {upper for upper, lower in pairwise(places) if lower[: len(upper)] == upper}
    return [
        InputError(_path(keys), _joined(found[keys])) for keys in found if keys not in has_deeper
    ]


def _keys(document: object, fault: ErrorDetails) -> Keys:
    """Where the fault is: what of its location the document has, and a key that is missing."""
    keys: list[str | int] = []
    for key in fault["loc"]:
        match document:
            case dict() if key in document:
                document = document[key]
            case list() if isinstance(key, int):
                document = document[key]
            case _:
                continue
        keys.append(key)
    return (*keys, fault["loc"][-1]) if fault["type"] == "missing" else tuple(keys)


def _order(keys: Keys) -> list[tuple[str, int]]:
    """A place stands before those within it."""
    return [("", key) if isinstance(key, int) else (key, -1) for key in keys]


def _path(keys: Keys) -> str:
    path = "$"
    for key in keys:
        path = json_path(path, key, quoting=True)
    return path


def _joined(messages: list[str]) -> str:
    """What a value may be, of all that it is not."""
    options = [told.removeprefix(_MUST_BE) for told in messages]
    if len(messages) == 1 or not all(told.startswith(_MUST_BE) for told in messages):
        return messages[0]
    return f"{_MUST_BE}{', '.join(options[:-1])} or {options[-1]}"
