"""Which user a server runs as, and whether that user can reach a file."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from console.embedded.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group that a process of root's is run as."""

    uid: int
    gid: int

    @classmethod
    def unprivileged(cls) -> Self:
        """The system's user for what shall have no rights.

        Raises:
            Unavailable: the system has no such user.
        """
        try:
            entry = pwd.getpwnam("nobody")
        except KeyError:
            raise Unavailable(
                "PostgreSQL does not run as root, and this system has no user 'nobody': "
                "run andon as an ordinary user"
            ) from None
        return cls(entry.pw_uid, entry.pw_gid)

    @classmethod
    def owning(cls, path: Path) -> Self:
        """The owner of this file or directory."""
        status = path.stat()
        return cls(status.st_uid, status.st_gid)

    def own(self, path: Path) -> None:
        """Give this one file or directory to the account."""
        os.chown(path, self.uid, self.gid)


def open_to_all(path: Path) -> bool:
    """Whether every user may come down to this directory and read it."""
    resolved = path.resolve()
    readable = stat.S_IXOTH | stat.S_IROTH
    return resolved.stat().st_mode & readable == readable and all(
        above.stat().st_mode & stat.S_IXOTH for above in resolved.parents
    )
