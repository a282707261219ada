"""Reading a mapping file: TOML, every fault of it at once.

::

    [defaults]                       # for every rule that does not say otherwise
    reporter_user_id = "monitoring"
    updated_by_user = "monitoring"
    category = "monitoring"

    [[rules]]                        # in this order; the first one that fits counts
    name = "disks"
    match = { alertname = "DiskFull", severity = ["warning", "critical"], host = { regex = "d.*" } }
    client_id = { from = "tenant", map = { a = "acme" }, default = "globex" }
    component_id = "{component}"
    title = "{alertname} on {host|an unknown host}"
    impact_level = "high"
    urgency_level = "high"
    severity = { from = "severity", map = { critical = "P1", warning = "P3" } }

It may say where it ends (`models.whole_files`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard, TypeVar

from pydantic import TypeAdapter, ValidationError

from models.errors import input_errors
from models.inputs import (
    DirectoryId,
    LongText,
    Name,
    SeverityFlags,
    ShortText,
    Title,
)
from models.whole_files import NotWhole, read_whole
from policy.vocabulary import Level, Severity
from producers.gateway.mapping import (
    NEEDED,
    AlertMapping,
    MappingFaults,
    Matcher,
    Rule,
    whole_text,
)
from producers.gateway.mapping_values import (
    BadValue,
    Constant,
    Flags,
    Reference,
    Table,
    Template,
    Value,
)

T = TypeVar("T")

LARGEST_FILE = 1024 * 1024
MOST_RULES = 1_000
LONGEST_PATTERN = 1_000
"""Characters of a regular expression."""

_CHECKS: Mapping[str, TypeAdapter[object]] = {
    "client_id": TypeAdapter(DirectoryId),
    "component_id": TypeAdapter(DirectoryId),
    "reporter_user_id": TypeAdapter(DirectoryId),
    "updated_by_user": TypeAdapter(DirectoryId),
    "assigned_to_user_id": TypeAdapter(DirectoryId),
    "category": TypeAdapter(ShortText),
    "impact_level": TypeAdapter(Level),
    "urgency_level": TypeAdapter(Level),
    "severity": TypeAdapter(Severity),
    "title": TypeAdapter(Title),
    "note": TypeAdapter(LongText),
    "dedup_key": TypeAdapter(Name),
}
"""What a value that is the same for every alert has to be; others are checked by the worker."""
_FLAGS = "severity_flags"
_INPUTS = (*_CHECKS, _FLAGS)


def load_mapping(path: Path) -> AlertMapping:
    """Read a mapping file.

    Raises:
        MappingFaults: it cannot be read, or is at fault; naming every fault.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise MappingFaults(path, (f"is larger than {LARGEST_FILE:,} bytes",))
        return read_mapping(path.read_text(encoding="utf-8"), path=path)
    except OSError as error:
        raise MappingFaults(path, (str(error.strerror),)) from None
    except UnicodeDecodeError:
        raise MappingFaults(path, ("is not TOML: not UTF-8",)) from None


def read_mapping(text: str, *, path: Path) -> AlertMapping:
    """Read the text of a mapping file.

    Args:
        text: TOML.
        path: what faults call it.

    Raises:
        MappingFaults: naming every fault.
    """
    try:
        document = read_whole(text).document
    except NotWhole as fault:
        raise MappingFaults(path, (str(fault),)) from None
    if "requests" in document and "rules" not in document:
        what = "has [requests] and no [[rules]]: it maps a vendor's report, for `andon import`"
        raise MappingFaults(path, (what,))
    reading = _Reading()
    mapping = reading.mapping(document)
    if reading.faults:
        raise MappingFaults(path, tuple(reading.faults))
    return mapping


def _is_table(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


@dataclass(slots=True)
class _Reading:
    """One file being read; goes on after a fault, so that all are found."""

    faults: list[str] = field(default_factory=list)

    def fault(self, where: str, what: str) -> None:
        self.faults.append(f"{where}: {what}")

    def table(self, value: object, where: str, known: tuple[str, ...]) -> dict[str, object]:
        """*value* as a table of known keys only."""
        if not _is_table(value):
            self.fault(where, "must be a table")
            return {}
        for key in value:
            if key not in known:
                self.fault(where, f"unknown key {key!r}; there are {', '.join(known)}")
        return {key: each for key, each in value.items() if key in known}

    def mapping(self, document: dict[str, object]) -> AlertMapping:
        top = self.table(document, "the file", ("defaults", "rules"))
        given = self.table(top.get("defaults", {}), "[defaults]", _INPUTS)
        defaults = self.values(given, "[defaults]")
        flags = self.flags(given, "[defaults]")
        listed = top.get("rules", [])
        if not isinstance(listed, list) or not listed:
            self.fault("the file", "needs at least one rule, [[rules]]")
            listed = []
        if len(listed) > MOST_RULES:
            self.fault("the file", f"has {len(listed):,} rules; it may have {MOST_RULES:,}")
            listed = []
        rules = tuple(
            self.rule(number, each, defaults, flags) for number, each in enumerate(listed, 1)
        )
        self.check_reach(rules, listed)
        return AlertMapping(rules, defaults)

    def rule(
        self, number: int, value: object, defaults: Mapping[str, Value], flags: Flags | None
    ) -> Rule:
        name = self.name(number, value)
        title = Rule(number, name, (), {}).title
        given = self.table(value, title, ("name", "match", *_INPUTS))
        values = {**defaults, **self.values(given, title)}
        own_flags = self.flags(given, title) or flags
        rule = Rule(number, name, self.match(given, title), values, own_flags)
        self.check_complete(rule, given)
        return rule

    def name(self, number: int, value: object) -> str | None:
        name = value.get("name") if _is_table(value) else None
        if name is None or (isinstance(name, str) and name and name.isprintable()):
            return name
        self.fault(f"rule {number}, name", "must be text on one line")
        return None

    def check_reach(self, rules: tuple[Rule, ...], listed: list[object]) -> None:
        """A rule for every alert leaves none for those below it."""
        for rule, given in zip(rules[:-1], listed, strict=False):
            if _is_table(given) and given.get("match") == {}:
                below = ", ".join(each.title for each in rules[rule.number :])
                self.fault(rule.title, f"match: fits every alert, so none reaches {below}")
                return

    def check_complete(self, rule: Rule, given: Mapping[str, object]) -> None:
        for name in NEEDED:
            if name not in rule.values and name not in given:
                self.fault(rule.title, f"needs {name}, here or in [defaults]")
        if not ({"severity", _FLAGS} & given.keys() or "severity" in rule.values) and (
            rule.severity_flags is None
        ):
            self.fault(rule.title, f"needs severity or {_FLAGS}, here or in [defaults]")

    def match(self, given: Mapping[str, object], title: str) -> tuple[Matcher, ...]:
        conditions = given.get("match")
        if not _is_table(conditions):
            self.fault(title, "needs match, a table of conditions; match = {} fits every alert")
            return ()
        found = [
            self.matcher(name, condition, f"{title}, match {name}")
            for name, condition in conditions.items()
        ]
        return tuple(matcher for matcher in found if matcher is not None)

    def matcher(self, name: str, condition: object, where: str) -> Matcher | None:
        try:
            source = Reference.parse(name)
            match condition:
                case str() if condition:
                    return Matcher(source, texts=frozenset((condition,)))
                case [*texts] if texts and all(isinstance(text, str) and text for text in texts):
                    return Matcher(source, texts=frozenset(map(str, texts)))
                case {"regex": str(pattern), **further} if not further:
                    if len(pattern) > LONGEST_PATTERN:
                        raise BadValue(f"is longer than {LONGEST_PATTERN:,} characters")
                    return Matcher(source, pattern=whole_text(pattern))
                case _:
                    raise BadValue('must be text, a list of texts, or { regex = "…" }')
        except BadValue as error:
            self.fault(where, str(error))
            return None

    def values(self, given: Mapping[str, object], title: str) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for name in _CHECKS:
            if name in given:
                value = self.value(name, given[name], f"{title}, {name}")
                if value is not None:
                    found[name] = value
        return found

    def value(self, name: str, given: object, where: str) -> Value | None:
        if _is_table(given):
            return self.choice(given, where, lambda text, at: self.constant(name, text, at))
        text = str(given) if type(given) is int else given
        if not isinstance(text, str):
            self.fault(where, "must be text, or { from = …, map = {…} }")
            return None
        try:
            template = Template.parse(text)
        except BadValue as error:
            self.fault(where, str(error))
            return None
        if template.constant is not None:
            self.constant(name, template.constant, where)
        return template

    def constant(self, name: str, text: object, where: str) -> str | None:
        """A value that is the same for every alert, and so can be checked now."""
        text = str(text) if type(text) is int else text
        try:
            _CHECKS[name].validate_python(text)
        except ValidationError as error:
            for fault in input_errors(error, "$"):
                self.fault(where, fault.message)
            return None
        return text if isinstance(text, str) else None

    def choice(
        self, given: dict[str, object], where: str, read: Callable[[object, str], T | None]
    ) -> Table[T] | None:
        """A table by what the alert says."""
        parts = self.table(given, where, ("from", "map", "default"))
        source, lines = parts.get("from"), parts.get("map")
        if not isinstance(source, str) or not _is_table(lines) or not lines:
            self.fault(where, 'needs from = "a label" and map = { "its text" = … }')
            return None
        read_lines = {text: read(each, f"{where}.map.{text}") for text, each in lines.items()}
        default = read(parts["default"], f"{where}.default") if "default" in parts else None
        try:
            reference = Reference.parse(source)
        except BadValue as error:
            self.fault(f"{where}.from", str(error))
            return None
        sound = {text: each for text, each in read_lines.items() if each is not None}
        return Table(reference, sound, default)

    def flags(self, given: Mapping[str, object], title: str) -> Flags | None:
        if _FLAGS not in given:
            return None
        value, where = given[_FLAGS], f"{title}, {_FLAGS}"
        if _is_table(value):
            return self.choice(value, where, self.names_of_flags)
        names = self.names_of_flags(value, where)
        return None if names is None else Constant(names)

    def names_of_flags(self, value: object, where: str) -> tuple[str, ...] | None:
        if not isinstance(value, list) or not value:
            self.fault(where, "must be a list of flags, at least one")
            return None
        known = SeverityFlags.model_fields
        for name in value:
            if name not in known:
                self.fault(where, f"{name!r} is no flag; there are {', '.join(known)}")
        return tuple(str(name) for name in value)
