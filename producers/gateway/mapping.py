"""A mapping: the organisation's rules by which alerts become requests.

How they are written down is in ``mapping_file``, what is made of them in ``translate``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic_core import SchemaError, SchemaValidator, core_schema

from producers.gateway.alerts import Alert
from producers.gateway.mapping_values import (
    BadValue,
    Flags,
    Reference,
    Table,
    Template,
    Value,
)

USERS = ("reporter_user_id", "updated_by_user")
"""The inputs that name on whose authority something is done."""
NEEDED = ("client_id", "component_id", "category", "impact_level", "urgency_level", *USERS)
"""What every rule gives, itself or by the defaults."""
IDS = ("client_id", "component_id", "assigned_to_user_id", *USERS)
"""The inputs that name a row of the directory."""


class MappingFaults(Exception):
    """A mapping file cannot be used.

    Attributes:
        faults: every one of them, each with the rule and the key it is about.
    """

    def __init__(self, path: Path, faults: tuple[str, ...]) -> None:
        self.path = path
        self.faults = faults
        noun = "fault" if len(faults) == 1 else "faults"
        lines = "".join(f"\n  {fault}" for fault in faults)
        super().__init__(f"{path} is no mapping: {len(faults):,} {noun}.{lines}")


@dataclass(frozen=True, slots=True)
class Matcher:
    """A condition on one text of the alert: it is one of *texts*, or fits a pattern as a whole.

    The pattern is matched in linear time, whatever the alert says (Rust's regular expressions).
    """

    source: Reference
    texts: frozenset[str] = frozenset()
    pattern: SchemaValidator | None = None

    def fits(self, alert: Alert) -> bool:
        """Whether it holds for *alert*; it does not for a text that the alert lacks."""
        found = self.source.read(alert)
        if found is None:
            return False
        if self.pattern is not None:
            return self.pattern.isinstance_python(found)
        return found in self.texts


def whole_text(pattern: str) -> SchemaValidator:
    """What tells whether a text fits *pattern* from its beginning to its end.

    Raises:
        BadValue: it is no regular expression, or too large a one.
    """
    try:
        _compiled(pattern)  # by itself, so that no parenthesis of it closes ours
        return _compiled(rf"^(?:{pattern})\z")
    except SchemaError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise BadValue(f"is not a regular expression: {reason.removeprefix('error: ')}") from None


def _compiled(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of the alerts that fit.

    Attributes:
        number: which rule of the file it is, from 1.
        values: by the name of an input; the rule's own, or the defaults'.
    """

    number: int
    name: str | None
    match: tuple[Matcher, ...]
    values: Mapping[str, Value]
    severity_flags: Flags | None = None

    @property
    def title(self) -> str:
        """How people are told of it."""
        return f"rule {self.number}" + (f" ({self.name})" if self.name else "")

    def fits(self, alert: Alert) -> bool:
        """Whether the rule is for *alert*."""
        return all(matcher.fits(alert) for matcher in self.match)


@dataclass(frozen=True, slots=True)
class AlertMapping:
    """The rules, in their order: the first one that fits counts.

    Attributes:
        defaults: also what PagerDuty's acknowledgements and resolutions go by, which carry nothing
            that a rule could match.
    """

    rules: tuple[Rule, ...]
    defaults: Mapping[str, Value] = field(default_factory=dict)

    def rule_for(self, alert: Alert) -> Rule | None:
        """The rule that is for *alert*, if any is."""
        return next((rule for rule in self.rules if rule.fits(alert)), None)

    def named_ids(self) -> Iterator[tuple[str, str]]:
        """Every row of the directory that the file names: the input that names it, and its id."""
        seen = {
            (name, id_)
            for values in (self.defaults, *(rule.values for rule in self.rules))
            for name in IDS
            if name in values
            for id_ in _ids(values[name])
        }
        yield from sorted(seen)


def _ids(value: Value) -> Iterator[str]:
    match value:
        case Template():
            if value.constant is not None:
                yield value.constant
        case Table(lines=lines, default=default):
            yield from lines.values()
            if default is not None:
                yield default
