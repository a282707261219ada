"""Nested JSON as flat labels: ``{"disk": {"free": 3}}`` becomes ``disk.free = 3``.

A small payload could become very many labels, each with a very long path, so that how many there
are has a limit. Nothing is dropped: what has no room stays JSON, in one label.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from producers.gateway.formats.reading import clean

_DEEPEST = 8
"""Levels; what lies deeper stays JSON, in one label."""
MOST_VALUES = 2_000
MOST_CHARACTERS = 256 * 1024
"""Of all paths together."""
_INDEX_LENGTH = 6


@dataclass(slots=True)
class _Room:
    """How much more may be taken apart."""

    values: int = MOST_VALUES
    characters: int = MOST_CHARACTERS

    def takes(self, path: str, value: dict[str, Any] | list[Any]) -> bool:
        """Whether there is room for what is below *path*; then it is used up."""
        values = len(value)
        names = sum(map(len, value)) if isinstance(value, dict) else _INDEX_LENGTH * values
        characters = (len(path) + 1) * values + names
        if values > self.values or characters > self.characters:
            return False
        self.values -= values
        self.characters -= characters
        return True


def flatten(prefix: str, value: object) -> dict[str, str]:
    """Every value below *value* by its path; null and empty text are no labels.

    Args:
        prefix: the path of *value* itself, with which every other one begins.
        value: JSON.
    """
    return dict(_flat(clean(prefix), value, _DEEPEST, _Room()))


def _flat(path: str, value: object, levels: int, room: _Room) -> Iterator[tuple[str, str]]:
    match value:
        case None | "":
            return
        case dict() if levels > 0 and room.takes(path, value):
            for key, below in value.items():
                yield from _flat(_below(path, clean(key)), below, levels - 1, room)
        case list() if levels > 0 and room.takes(path, value):
            for index, below in enumerate(value):
                yield from _flat(_below(path, str(index)), below, levels - 1, room)
        case str():
            yield path, clean(value)
        case _:
            yield path, clean(orjson.dumps(value).decode())


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
