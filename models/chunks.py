"""Cutting what comes into parts that are dealt with together."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def chunks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """*values* in lists of *size*, the last one shorter; taken only as they are needed."""
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk
