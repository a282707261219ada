"""What the worker's main process asks of an intake engine: to be told when entries wait."""

from typing import Protocol


class Doorbell(Protocol):
    """Rings once after each :meth:`listen` as soon as entries wait, and reads none."""

    def open(self) -> None:
        """Connect, and create what the engine needs and does not have yet."""

    def close(self) -> None:
        """Stop listening."""

    def listen(self) -> None:
        """Ring as soon as entries wait; while listening already, this changes nothing."""

    def check(self) -> None:
        """Notice that the engine has fallen silent."""

    def release_entries_of_dead(self) -> bool:
        """Let others have at once what a dead pool process of this worker holds, if it does."""
