"""What can go wrong with the embedded servers."""

from pathlib import Path


class EmbeddedError(Exception):
    """An embedded server cannot be had; the message says why and what to do."""


class AlreadyRunning(EmbeddedError):
    """Another live process holds this directory."""

    def __init__(self, directory: Path, pid: int | None) -> None:
        self.directory = directory
        self.pid = pid
        holder = "another process" if pid is None else f"process {pid}"
        super().__init__(f"{directory} is in use by {holder}")


class Unavailable(EmbeddedError):
    """This machine has no server binary that could be run, or it may not be run here."""


class StartFailed(EmbeddedError):
    """The server ended, or did not answer, while it was started; the message ends with its log."""
