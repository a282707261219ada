"""Reading TOML files that hold secrets, and that others must not be able to read."""

import stat
import tomllib
from pathlib import Path
from typing import Any


class SecretFileFault(Exception):
    """The file cannot be used; the message names it and says why."""


def read_secret_toml(path: Path) -> dict[str, Any]:
    """What the file at *path* says.

    Raises:
        SecretFileFault: it is missing, open to others, or not TOML.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SecretFileFault(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretFileFault(f"{path} is not TOML: not UTF-8") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO) & ~stat.S_IRGRP:
        raise SecretFileFault(
            f"{path} holds secrets and is open to others (mode {mode & 0o777:o}): chmod 600 {path}"
        )
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SecretFileFault(f"{path} is not TOML: {error}") from None
