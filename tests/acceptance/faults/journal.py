"""A producer's own journal: what it was about to publish, and what was confirmed to it.

Every line is on the disk before the producer goes on, so that the journal knows at least as much
as anybody who received something. The account is drawn up from nothing else.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from tests.acceptance.faults.planning import Nature, Planned


@dataclass(slots=True)
class Journalled:
    """One message, as the journal knows it.

    Attributes:
        planned: what it asks for, and what must come of it.
        event: its bytes.
        attempts: how often it may have been published.
        entries: where it arrived for certain; fewer than attempts where a reply got lost.
    """

    planned: Planned
    event: bytes
    attempts: int = 0
    entries: list[str] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        """Of its bytes, in hex."""
        return hashlib.sha256(self.event).hexdigest()

    @property
    def in_doubt(self) -> int:
        """How many attempts may or may not have arrived."""
        return self.attempts - len(self.entries)


class Journal:
    """Writes one journal file."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("ab", buffering=0)

    def plan(self, planned: Planned, event: bytes) -> None:
        """Note a message before it is published for the first time."""
        self._write({"planned": asdict(planned), "event": event.decode()}, sync=False)

    def about_to_publish(self, keys: Sequence[str]) -> None:
        """Note an attempt to publish these messages, in order, before it is made."""
        self._write({"attempt": keys}, sync=True)

    def confirmed(self, keys: Iterable[str], entries: Iterable[str]) -> None:
        """Note where they arrived."""
        self._write({"confirmed": list(zip(keys, entries, strict=True))}, sync=False)

    def reissued(self, entry: str) -> None:
        """Note that another message had this entry before."""
        self._write({"reissued": entry}, sync=False)

    def finished(self) -> None:
        """Note that everything planned was published and confirmed."""
        self._write({"finished": True}, sync=True)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: dict[str, Any], *, sync: bool) -> None:
        self._file.write(orjson.dumps(line) + b"\n")
        if sync:
            os.fsync(self._file.fileno())


@dataclass(frozen=True, slots=True)
class ReadJournal:
    """What a journal file says: *messages* by their keys, and which entries two messages had."""

    messages: dict[str, Journalled]
    finished: bool
    reissued: frozenset[str] = frozenset()


def read_journal(path: Path) -> ReadJournal:
    """Read one journal file."""
    messages: dict[str, Journalled] = {}
    finished, reissued = False, set()
    for text in path.read_bytes().splitlines():
        match orjson.loads(text):
            case {"planned": planned, "event": event}:
                nature = Nature(planned.pop("nature"))
                message = Journalled(Planned(**planned, nature=nature), event.encode())
                messages[message.planned.key] = message
            case {"attempt": keys}:
                for key in keys:
                    messages[key].attempts += 1
            case {"confirmed": pairs}:
                for key, entry in pairs:
                    messages[key].entries.append(entry)
            case {"reissued": entry}:
                reissued.add(entry)
            case {"finished": True}:
                finished = True
            case line:
                raise ValueError(f"{path}: not a line of a journal: {line}")
    return ReadJournal(messages, finished, frozenset(reissued))
