"""What an alert tells people, as the note of its incident."""

from producers.gateway.alerts import Alert

_TOLD = frozenset({"summary", "description", "message", "runbook_url", "runbook"})
"""Annotations that are told otherwise: as title, description and links."""


def note_of(alert: Alert) -> str:
    """Description, further annotations and links of *alert*, a line each; empty if it has none."""
    further = [
        f"{name}: {value}"
        for name, value in alert.annotations.items()
        if value and name not in _TOLD and not name.startswith("__")
    ]
    links = [f"{link.name}: {link.url}" for link in alert.links]
    return "\n".join(part for part in (alert.description, *further, *links) if part)


def shortened(text: str, length: int) -> str:
    """*text*, cut visibly where it is longer than *length* characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
