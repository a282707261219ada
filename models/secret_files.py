"""Reading TOML files that hold secrets: only their owner may write them, others not even read."""

import os
import stat
from pathlib import Path

from models.whole_files import NotWhole, WholeFile, read_whole


class SecretFileFault(Exception):
    """The file cannot be used; the message names it and says why."""


def read_secret_toml(path: Path) -> WholeFile:
    """What the file at *path* says.

    Raises:
        SecretFileFault: it is missing, open to others, another user's, not TOML, or cut off.
    """
    try:
        with path.open(encoding="utf-8") as file:
            found = os.fstat(file.fileno())
            text = file.read()
    except OSError as error:
        raise SecretFileFault(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretFileFault(f"{path} is not TOML: not UTF-8") from None
    _check_access(path, found)
    try:
        return read_whole(text)
    except NotWhole as fault:
        raise SecretFileFault(f"{path} {fault}") from None


def _check_access(path: Path, found: os.stat_result) -> None:
    """The owner of a file may change it, whatever its mode: so it is ours, or the system's.

    A group may read it: so containers get it from their host.
    """
    if found.st_uid not in (os.geteuid(), 0):
        raise SecretFileFault(
            f"{path} belongs to another user (uid {found.st_uid}), who could change it. If it is"
            f" to be used: chown {os.geteuid()} {path}, or chown root"
        )
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO) & ~stat.S_IRGRP:
        raise SecretFileFault(
            f"{path} holds secrets and is open to others (mode {found.st_mode & 0o777:o}):"
            f" chmod 600 {path}"
        )
