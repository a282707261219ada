"""The spool: signed events on the local disk that the intake could not take yet, in their order.

It holds the events and their signatures, never a key. ``docs/spool.md`` says what it promises.
"""

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from models.outcomes import Identity
from models.streams import Lane
from producers.faults import SpoolFull, SpoolUnusable
from producers.signed import SignedEvent

SPOOL_LIMIT = 256 * 1024 * 1024

_PAGE = 4096
_APPLICATION, _VERSION = 0x416E646E, 1
_BUSY = 30.0
"""Seconds that a write waits for those of other processes."""
_LONGEST_TURN = 30.0
"""Longer than one round trip to the intake takes, its timeouts included."""

# AUTOINCREMENT: a number is never given twice, so that whoever removes up to one removes nothing
# that was appended since.
_TABLE = """
CREATE TABLE spooled (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    lane TEXT NOT NULL,
    source TEXT,
    id TEXT,
    event BLOB NOT NULL,
    key_id TEXT NOT NULL,
    signature TEXT NOT NULL
)
"""
_APPEND = """
INSERT INTO spooled (lane, source, id, event, key_id, signature) VALUES (?, ?, ?, ?, ?, ?)
"""
_HEAD = """
SELECT number, lane, source, id, event, key_id, signature FROM spooled ORDER BY number LIMIT ?
"""

# Closing any descriptor of a file drops this process's locks on it, those of SQLite too. So a file
# is made, and its descriptor closed, only while nobody in this process opens it.
_opening = threading.Lock()


@dataclass(frozen=True, slots=True)
class Spooled:
    """An event in its place in the spool."""

    number: int
    lane: Lane
    event: SignedEvent


class Spool:
    """A first-in-first-out store of signed events in one SQLite file.

    Several processes may use one file, each through a Spool of its own that it made after it was
    forked. Threads may share one. An append is on the disk when it returns.

    Args:
        path: the file, on a local disk; made with mode 0600 if it is missing. SQLite's ``-wal`` and
            ``-shm``, and the lock ``-turn``, stand beside it.
        limit: bytes that the file may grow to.

    Raises:
        SpoolUnusable: the file cannot be opened, is damaged, or is something else.
    """

    def __init__(self, path: Path, *, limit: int = SPOOL_LIMIT) -> None:
        self.path = path.absolute()
        self._limit = limit
        self._lock = threading.Lock()
        self._process = os.getpid()
        with self._faults_told():
            self._connection = self._open()
            self._file = self._identity()

    def append(self, events: Sequence[SignedEvent], lane: Lane) -> None:
        """Put *events* at the end: all of them, or none.

        Raises:
            SpoolFull: they have no room, or the disk has none.
            SpoolUnusable: the spool cannot be written.
        """
        with self._writing() as connection:
            if self._identity() != self._file:
                raise SpoolUnusable(f"The spool {self.path} was removed while it was in use.")
            connection.executemany(
                _APPEND,
                (
                    (lane, *(e.identity or (None, None)), e.event, e.key_id, e.signature)
                    for e in events
                ),
            )

    def head(self, count: int) -> list[Spooled]:
        """The oldest events, up to *count* and all of one lane; they stay where they are."""
        with self._using() as connection:
            rows = connection.execute(_HEAD, (count,)).fetchall()
        return [_spooled(row) for row in takewhile(lambda row: row[1] == rows[0][1], rows)]

    def remove(self, head: Sequence[Spooled]) -> None:
        """Remove *head*, or as much of it as somebody else has not removed already."""
        if head:
            with self._writing() as connection:
                connection.execute("DELETE FROM spooled WHERE number <= ?", (head[-1].number,))

    def is_empty(self) -> bool:
        """Whether nothing is spooled, by whichever process."""
        with self._using() as connection:
            return connection.execute("SELECT 1 FROM spooled LIMIT 1").fetchone() is None

    def __len__(self) -> int:
        with self._using() as connection:
            (count,) = connection.execute("SELECT count(*) FROM spooled").fetchone()
        return int(count)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Forward the head alone, so that it is not published by each process.

        The order does not rest on this: only the head is ever published, so everything before
        it has been confirmed. Somebody who keeps the turn too long is therefore not waited for.
        """
        with self._faults_told():
            descriptor = os.open(f"{self.path}-turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, within=_LONGEST_TURN)
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a forked child may hold a copy of it
            os.close(descriptor)

    def close(self) -> None:
        """Close the file; what is in it stays."""
        if os.getpid() == self._process:
            with self._lock:
                self._connection.close()

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        if os.getpid() != self._process:
            raise RuntimeError("A spool cannot be used in a forked process: open it there anew.")
        with self._lock, self._faults_told():
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._using() as connection, _transaction(connection):
            yield connection

    @contextmanager
    def _faults_told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # What Python's own module raises, such as for a closed connection, has no code.
            match getattr(error, "sqlite_errorcode", 0) & 0xFF:
                case sqlite3.SQLITE_FULL:
                    raise SpoolFull(
                        f"The spool {self.path} is full: it may have {self._limit:,} bytes,"
                        " or its disk has no room."
                    ) from error
                case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
                    raise SpoolUnusable(
                        f"The spool {self.path} is damaged ({error}). Move it away with its -wal"
                        " file; `sqlite3 FILE .recover` reads what is left in it."
                    ) from error
                case _:
                    raise self._unusable(error) from error
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> SpoolUnusable:
        return SpoolUnusable(f"The spool {self.path} cannot be used ({error}).")

    def _identity(self) -> tuple[int, int] | None:
        """Which file it is, whatever its name."""
        with suppress(FileNotFoundError):
            found = self.path.stat()
            return found.st_dev, found.st_ino
        return None

    def _open(self) -> sqlite3.Connection:
        with _opening:
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            self.path.chmod(0o600)
            connection = sqlite3.connect(
                self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False
            )
        try:
            connection.execute(f"PRAGMA page_size = {_PAGE}")
            self._make_table(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute(f"PRAGMA max_page_count = {max(1, self._limit // _PAGE)}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_table(self, connection: sqlite3.Connection) -> None:
        if _is_spool(connection):
            return
        with self.turn():  # changing the journal's mode waits for nobody by itself
            if _is_spool(connection):
                return
            if connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                raise SpoolUnusable(f"{self.path} is a database, but no spool of this version.")
            connection.execute("PRAGMA journal_mode = WAL")
            with _transaction(connection):
                connection.execute(_TABLE)
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")


def _is_spool(connection: sqlite3.Connection) -> bool:
    found = [
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("application_id", "user_version")
    ]
    return found == [_APPLICATION, _VERSION]


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _spooled(row: tuple[int, str, str | None, str | None, bytes, str, str]) -> Spooled:
    number, lane, source, id_, event, key_id, signature = row
    identity = None if source is None or id_ is None else Identity(source, id_)
    return Spooled(number, Lane(lane), SignedEvent(identity, event, key_id, signature))


def _lock(descriptor: int, *, within: float) -> None:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.02)
