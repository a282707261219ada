"""When a message was accepted, as its broker or its client says it."""

from datetime import UTC, datetime

UNTOLD = datetime.max.replace(tzinfo=UTC)
"""In place of a time that nobody tells, or that cannot be one."""


def moment_told(milliseconds: int) -> datetime:
    """The moment so many milliseconds since 1970; :data:`UNTOLD` where that is no time at all."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return UNTOLD
