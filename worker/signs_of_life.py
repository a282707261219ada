"""Signs of life: what each long-running process says of itself, for `andon health`.

Each has one small file in a private directory, which it writes over in place and keeps locked for
as long as it lives. So a process that was killed is told from one that hangs, whatever number the
next process gets. The moments are those of the machine's monotonic clock, which nobody can put
back. A directory that cannot be used, or a full disk, stops nothing: there are no signs then.
"""

import atexit
import fcntl
import os
import stat
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson
import structlog

logger = structlog.get_logger(__name__)

TURNS_WITHIN = 60.0
"""Seconds for which a main loop may stand still: a silent broker takes half of it."""
_SIZE = 1024
_SUFFIX = ".signs"
_LONGEST_CAUSE = 120
_READINGS = 5


class Kind(StrEnum):
    """What a process is."""

    WORKER = "worker"
    POOL = "pool"
    SCHEDULES = "schedules"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Signs:
    """What one process last said of itself; moments are in seconds of ``time.monotonic``.

    Attributes:
        of: the main process that it belongs to, itself included.
        hangs_after: seconds that one piece of work of a pool process may take.
        turns_within: seconds for which a main loop may stand still.
        turned_at: when its main loop last turned; of a pool process, when it last wrote.
        work: what it does now, or did last.
        began_at: when that began; None if nothing was done yet.
        ended_at: when a piece of work last ended; before *began_at* while one is under way.
        unbegun_since: since when a main process waits for one of its pool to begin what it sent.
        braked_since: since when an outage keeps it from working.
        cause: what kind of outage.
    """

    kind: Kind
    pid: int
    of: int
    hangs_after: float
    turns_within: float
    turned_at: float
    work: str = ""
    began_at: float | None = None
    ended_at: float | None = None
    unbegun_since: float | None = None
    braked_since: float | None = None
    cause: str | None = None

    @property
    def busy_since(self) -> float | None:
        """Since when a piece of work is under way; None if none is."""
        began, ended = self.began_at, self.ended_at
        return began if began is not None and (ended is None or ended < began) else None


class SignsOfLife:
    """The signs of the process that opened it."""

    def __init__(
        self,
        directory: Path,
        kind: Kind,
        *,
        hangs_after: float,
        turns_within: float = 0.0,
        of: int = 0,
    ) -> None:
        """Open the file of this process.

        Args:
            directory: made if it is missing; it must be this user's own.
            kind: what the process is.
            hangs_after: seconds that one piece of work may take.
            turns_within: seconds for which its main loop may stand still, if not a minute.
            of: the main process that it belongs to; itself if not given.
        """
        pid = os.getpid()
        self._said: dict[str, Any] = asdict(
            Signs(
                kind,
                pid,
                of or pid,
                hangs_after,
                turns_within or TURNS_WITHIN,
                turned_at=time.monotonic(),
            )
        )
        self._pid = pid
        self._path = directory / f"{kind}-{pid}{_SUFFIX}"
        self._file: int | None = None
        try:
            self._file = _open_own(directory, self._path)
            self._write()
        except OSError as error:
            logger.warning("no_signs_of_life", directory=str(directory), why=error.strerror)
        atexit.register(self.close)

    def turned(self, *, unbegun_since: float | None = None) -> None:
        """The main loop has turned.

        Args:
            unbegun_since: since when no pool process begins what was sent to one.
        """
        self._say(unbegun_since=unbegun_since)

    def began(self, work: str) -> None:
        """A piece of work begins."""
        self._say(work=work, began_at=time.monotonic())

    def ended(self) -> None:
        """It has ended, well or not."""
        self._say(ended_at=time.monotonic())

    def braked(self, cause: str) -> None:
        """An outage keeps this process from working."""
        since = self._said["braked_since"] or time.monotonic()
        legible = "".join(filter(str.isprintable, cause))
        self._say(braked_since=since, cause=legible[:_LONGEST_CAUSE])

    def released(self) -> None:
        """The outage is over, if there was one."""
        if self._said["braked_since"] is not None:
            self._say(braked_since=None, cause=None)

    def silent_for(self) -> float:
        """Seconds since the work under way began, or last got something done; 0 if none is."""
        began, ended = self._said["began_at"], self._said["ended_at"]
        if began is None or (ended is not None and ended >= began):
            return 0.0
        return time.monotonic() - float(self._said["turned_at"])

    def close(self) -> None:
        """The process ends in good order. A child that inherited this changes nothing by it."""
        if self._file is not None and self._pid == os.getpid():
            with suppress(OSError):
                self._path.unlink()
            os.close(self._file)
            self._file = None

    def _say(self, **news: object) -> None:
        self._said.update(news, turned_at=time.monotonic())
        if self._file is not None:
            with suppress(OSError):  # a full disk, which must not stop the work
                self._write()

    def _write(self) -> None:
        assert self._file is not None
        os.pwrite(self._file, orjson.dumps(self._said).ljust(_SIZE)[:_SIZE], 0)


def read_signs(directory: Path) -> list[Signs]:
    """What the living processes say; files that dead ones left are removed.

    Raises:
        OSError: the directory belongs to somebody else.
    """
    if not directory.exists():
        return []
    _check_own(directory)
    found = []
    for path in sorted(directory.glob(f"*{_SUFFIX}")):
        with suppress(FileNotFoundError):
            signs = _read_one(path)
            if signs is not None:
                found.append(signs)
    return found


def _read_one(path: Path) -> Signs | None:
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if _is_abandoned(file):
            path.unlink()
            return None
        for _ in range(_READINGS):  # it may be written just now
            with suppress(ValueError, TypeError):
                return _as_signs(orjson.loads(os.pread(file, _SIZE, 0)))
        return None
    finally:
        os.close(file)


def _as_signs(said: dict[str, Any]) -> Signs:
    named = {field.name: said[field.name] for field in fields(Signs) if field.name in said}
    return Signs(**{**named, "kind": Kind(named["kind"])})


def _is_abandoned(file: int) -> bool:
    """Whether no living process holds the file; such a lock ends with its process alone."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _open_own(directory: Path, path: Path) -> int:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_own(directory)
    read_signs(directory)  # which removes what killed processes left
    new = path.with_suffix(".new")
    with suppress(FileNotFoundError):
        new.unlink()
    file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new.rename(path)  # locked already, so nobody takes it for abandoned
    except BaseException:
        os.close(file)
        raise
    return file


def _check_own(directory: Path) -> None:
    found = directory.lstat()
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != os.geteuid()
        or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        raise PermissionError(1, "it belongs to another user, or others can write to it")
