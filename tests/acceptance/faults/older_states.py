"""Copies of what a server has on its disk, to be put back later, as from a backup."""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Loss:
    """What may be lost since a copy was put back.

    Attributes:
        since: when the copy was made, in milliseconds since 1970.
        until: when it was put back.
        undecided: the entries that were on the intake when the copy was made.
    """

    since: int
    until: int
    undecided: frozenset[str] = frozenset()

    def may_have(self, entry: str) -> bool:
        """Whether an entry of Redis may be among it; its number begins with a time."""
        milliseconds = entry.rpartition("/")[2].partition("-")[0]
        return entry in self.undecided or self.since <= int(milliseconds) <= self.until


class OlderState:
    """A copy of one server's directory; the server may not run while it is made or put back.

    Args:
        live: what the server works on.
        kept: where the copy is.
    """

    def __init__(self, live: Path, kept: Path) -> None:
        self._live = live
        self._kept = kept
        self._made = 0
        self._undecided: frozenset[str] = frozenset()

    def make(self, undecided: frozenset[str] = frozenset()) -> None:
        """Make the copy, instead of any made before."""
        shutil.rmtree(self._kept, ignore_errors=True)
        _copy(self._live, self._kept)
        self._undecided = undecided

    def begin(self) -> None:
        """Note the time: from now on the server may do what the copy does not have."""
        self._made = _now()

    def put_back(self) -> Loss:
        """Put the copy in the place of what is there; what may be lost by that."""
        shutil.rmtree(self._live)
        _copy(self._kept, self._live)
        return Loss(self._made, _now(), self._undecided)


def _copy(source: Path, target: Path) -> None:
    """With owners and rights, since PostgreSQL's files may be another user's."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def _now() -> int:
    return time.time_ns() // 1_000_000
