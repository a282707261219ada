"""A lock on a directory that ends with the process that holds it, however it ends."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from console.embedded.errors import AlreadyRunning


class DirectoryLock:
    """At most one live process holds the lock of one directory.

    The kernel drops the lock with its holder, so one that was killed leaves nothing to clean up.
    The file itself stays: removing it would let two processes lock two files of the same name.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock and write this process's id into its file.

        Raises:
            AlreadyRunning: it is held, by another process or through another object of this one.
        """
        descriptor = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).strip()
            os.close(descriptor)
            raise AlreadyRunning(
                self._directory, int(holder) if holder.isdigit() else None
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; nothing happens where it is not held."""
        if self._descriptor is None:
            return
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None
