"""What a server needs again at its next start: passwords and port, in a file of its owner's."""

import json
import os
from collections.abc import Mapping
from pathlib import Path


def recall(path: Path) -> dict[str, str]:
    """What was remembered in this file; nothing where there is none."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    return {str(name): str(value) for name, value in json.loads(text).items()}


def remember(path: Path, values: Mapping[str, str]) -> None:
    """Replace what the file holds."""
    write_private(path, json.dumps(dict(values), indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)
