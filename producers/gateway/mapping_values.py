"""Values of a mapping: texts with places to fill in, and tables by what the alert says.

A value is evaluated for one alert. What the alert lacks for it is named, never raised: an alert
must not get lost because somebody expected another one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from producers.gateway.alerts import Alert
from producers.gateway.notes import shortened

T = TypeVar("T")

_LONGEST_TOLD = 120
_PLACE = re.compile(r"\{\{|\}\}|\{([^{}|]+)(?:\|([^{}]*))?\}|[{}]")


class BadValue(ValueError):
    """A text of the mapping file cannot be a value; the message says why."""


@dataclass(frozen=True, slots=True)
class Missing:
    """An alert lacks what a value needs; says what."""

    why: str


@dataclass(frozen=True, slots=True)
class Reference:
    """What a name in braces, in ``from`` or in ``match`` stands for: one text of the alert.

    ``alert.title`` and its like are the alert's own; ``labels.NAME`` and ``annotations.NAME`` say
    whose they are, and any other name is a label's. A text that is empty counts as missing.
    """

    kind: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read a name.

        Raises:
            BadValue: it begins with ``alert.``, and an alert has no such text.
        """
        kind, dot, name = text.partition(".")
        if dot and kind == "alert":
            if name not in _OWN:
                raise BadValue(f"{text} is not among {', '.join(f'alert.{own}' for own in _OWN)}")
            return cls("alert", name)
        if dot and name and kind in ("labels", "annotations"):
            return cls(kind, name)
        if not text:
            raise BadValue("is empty")
        return cls("labels", text)

    def read(self, alert: Alert) -> str | None:
        """The text; None if the alert has none."""
        match self.kind:
            case "labels":
                found = alert.labels.get(self.name)
            case "annotations":
                found = alert.annotations.get(self.name)
            case _:
                found = _own(alert, self.name)
        return found or None

    def __str__(self) -> str:
        match self.kind:
            case "labels":
                return f"the label {self.name}"
            case "annotations":
                return f"the annotation {self.name}"
            case _:
                return f"alert.{self.name}"


_OWN = ("title", "description", "key", "format", "receiver", "started_at")


def _own(alert: Alert, name: str) -> str:
    match name:
        case "title":
            return alert.title
        case "description":
            return alert.description
        case "key":
            return alert.key
        case "format":
            return alert.format
        case "receiver":
            return alert.receiver
        case _:
            return alert.started_at.isoformat()


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a template: what fills it, and what does where the alert lacks that."""

    reference: Reference
    otherwise: str | None


@dataclass(frozen=True, slots=True)
class Template:
    """A text with places: ``{alertname} on {instance|an unknown host}``; ``{{`` is a brace."""

    parts: tuple[str | Place, ...]

    @classmethod
    def parse(cls, text: str) -> "Template":
        """Read a template.

        Raises:
            BadValue: it has a brace without its partner, or a place that nothing can fill.
        """
        parts: list[str | Place] = []
        end = 0
        for found in _PLACE.finditer(text):
            parts.append(text[end : found.start()])
            end = found.end()
            if found[0] in ("{{", "}}"):
                parts.append(found[0][0])
            elif found[1] is None:
                raise BadValue(f"has a lone {found[0]!r}; a brace itself is written twice")
            else:
                parts.append(Place(Reference.parse(found[1].strip()), found[2]))
        return cls(tuple(part for part in (*parts, text[end:]) if part != ""))

    @property
    def constant(self) -> str | None:
        """The text itself, if it has no places."""
        if any(isinstance(part, Place) for part in self.parts):
            return None
        return "".join(part for part in self.parts if isinstance(part, str))

    def of(self, alert: Alert) -> str | Missing:
        """The text for *alert*."""
        filled: list[str] = []
        missing: list[str] = []
        for part in self.parts:
            match part:
                case str():
                    filled.append(part)
                case Place(reference, otherwise):
                    found = reference.read(alert)
                    if found is None and otherwise is None:
                        missing.append(str(reference))
                    filled.append(found or otherwise or "")
        if missing:
            return Missing(f"needs {' and '.join(missing)}, which the alert lacks")
        return "".join(filled)


@dataclass(frozen=True, slots=True)
class Constant(Generic[T]):
    """The same for every alert."""

    value: T

    def of(self, alert: Alert) -> T | Missing:  # noqa: ARG002  # as the other values
        """The value."""
        return self.value


@dataclass(frozen=True, slots=True)
class Table(Generic[T]):
    """A value by what one text of the alert says; ``default`` for what it has no line for."""

    source: Reference
    lines: Mapping[str, T]
    default: T | None = None

    def of(self, alert: Alert) -> T | Missing:
        """The value for *alert*."""
        found = self.source.read(alert)
        value = self.default if found is None else self.lines.get(found, self.default)
        if value is not None:
            return value
        if found is None:
            return Missing(f"depends on {self.source}, which the alert lacks")
        return Missing(f'has no line for {self.source} "{shortened(found, _LONGEST_TOLD)}"')


Value = Template | Table[str]
"""What one input is made of."""
Flags = Constant[tuple[str, ...]] | Table[tuple[str, ...]]
"""What the severity flags are made of."""
