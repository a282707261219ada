"""The mapping from a vendor's columns and values to inputs, as an organisation writes it (TOML).

Everything that can be wrong with it is looked for before a row is read, and told at once. How it
is written, docs/vendor-reports.md says.
"""

import codecs
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.file_errors import file_errors
from models.inputs import INPUTS
from models.whole_files import NotWhole, read_whole
from producers.imports.input_shapes import InputShape, Sort, input_shapes
from producers.imports.values import (
    Read,
    ReadTime,
    Rule,
    RuleFault,
    ValueTable,
    make_reader,
    make_time_reader,
)

INCIDENT_REQUEST = "incident_request"
_LARGEST = 1024 * 1024
"""Bytes."""


class MappingError(Exception):
    """The mapping cannot be used; the message names the file and every fault."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class FileOptions(_Section):
    """How the vendor writes files.

    Attributes:
        encoding: of CSV.
        delimiter: of CSV; a comma, or a tab in .tsv, if None.
        sheet: of a spreadsheet; the first if None.
    """

    encoding: str = "utf-8-sig"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    sheet: str | None = None

    def delimiter_of(self, path: Path) -> str:
        """What separates the fields of the CSV file at *path*."""
        return self.delimiter or ("\t" if path.suffix.lower() == ".tsv" else ",")


class KindRule(_Section):
    """Which kind of request a row is.

    Attributes:
        values: from what stands in the column to the name of the kind.
        ignore: what stands there in rows that are passed over.
    """

    column: Annotated[str, Field(min_length=1)]
    values: Mapping[str, str]
    ignore: frozenset[str] = frozenset()


class _KeyConstant(_Section):
    value: str


_Key = Annotated[tuple[str | _KeyConstant, ...], Field(min_length=1)]


class _KeyRule(_Section):
    key: _Key


class _Kind(_Section):
    procedure: str
    key: _Key | None = None
    time: Rule | None = None
    inputs: Mapping[str, Any]


class _Document(_Section):
    file: FileOptions = FileOptions()
    key: _Key | None = None
    kind: KindRule | None = None
    values: Mapping[str, ValueTable] = Field(default_factory=dict)
    requests: Annotated[Mapping[str, Any], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class KeyPart:
    """A part of a key: what stands in a column, or a constant."""

    column: str | None
    value: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request.

    Attributes:
        key: what tells its rows apart.
        time: reads when the vendor made the row; None where the report's own time counts.
        inputs: reads each input; those of an object by its name.
        reference: the key of the row whose incident is meant.
        columns: by JSON path in ``data``, the column that an input comes from.
    """

    name: str
    procedure: str
    key: tuple[KeyPart, ...]
    time: ReadTime | None
    inputs: Mapping[str, Read]
    objects: Mapping[str, Mapping[str, Read]]
    reference: tuple[KeyPart, ...] | None
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ReportMapping:
    """A mapping that can be used.

    Attributes:
        rule: None where there is one kind only.
        columns: all that it reads.
    """

    options: FileOptions
    kinds: Mapping[str, Kind]
    rule: KindRule | None
    columns: frozenset[str]

    @property
    def needs_time(self) -> list[str]:
        """The kinds whose rows state no time."""
        return [kind.name for kind in self.kinds.values() if kind.time is None]


def load_mapping(path: Path) -> ReportMapping:
    """Read the mapping at *path*.

    Raises:
        MappingError: it cannot be read, or is at fault (every fault is named).
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise MappingError(f"{path} is larger than {_LARGEST:,} bytes.")
        document = read_whole(text.decode()).document
    except OSError as error:
        raise MappingError(f"{path}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise MappingError(f"{path} is not TOML: {error}.") from None
    except NotWhole as fault:
        raise MappingError(f"{path} {fault}.") from None
    if "rules" in document and "requests" not in document:
        raise MappingError(
            f"{path} has [[rules]] and no [requests]: it maps alerts, for `andon gateway`."
        )
    compiler = _Compiler()
    mapping = compiler.mapping(document)
    if compiler.faults or mapping is None:
        raise MappingError("\n".join([f"{path} is at fault:", *compiler.faults]))
    return mapping


_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(slots=True)
class _Compiler:
    """Makes a mapping of a document, and collects what is wrong with it.

    Attributes:
        read: the columns that are read, so far.
    """

    faults: list[str] = field(default_factory=list)
    read: set[str] = field(default_factory=set)

    def mapping(self, document: Mapping[str, Any]) -> ReportMapping | None:
        """The mapping; None where it holds no requests."""
        outline = self._outline(_Document, document, "")
        if outline is None:
            return None
        kinds = {
            name: kind
            for name, section in outline.requests.items()
            if (kind := self._kind(name, section, outline.values, outline.key)) is not None
        }
        self._check_encoding(outline.file.encoding)
        if outline.kind is not None:
            self.read.add(outline.kind.column)
        if outline.kind is not None or "kind" not in document:
            self._check_rule(outline.kind, outline.requests)
        return ReportMapping(outline.file, kinds, outline.kind, frozenset(self.read))

    def _outline(self, model: type[_Model], section: object, place: str) -> _Model | None:
        """*section* without those of its keys that are at fault, so that these hide no others.

        None where it cannot do without them.
        """
        try:
            return model.model_validate(section)
        except ValidationError as error:
            self._tell(error, section, place)
            if not isinstance(section, Mapping):
                return None
            faulty = {fault["loc"][:1] for fault in error.errors()}
        try:
            return model.model_validate({k: v for k, v in section.items() if (k,) not in faulty})
        except ValidationError:
            return None

    def _section(self, model: type[_Model], section: object, place: str) -> _Model | None:
        try:
            return model.model_validate(section)
        except ValidationError as error:
            self._tell(error, section, place)
            return None

    def _tell(self, error: ValidationError, section: object, place: str) -> None:
        for fault in file_errors(error, section):
            where = f"{place}{fault.path.removeprefix('$')}".removeprefix(".")
            self._fault(where, fault.message)

    def _fault(self, place: str, message: str) -> None:
        self.faults.append(f"  {place} {message}" if place else f"  {message}")

    def _check_encoding(self, encoding: str) -> None:
        try:
            codecs.lookup(encoding)
        except LookupError:
            self._fault("file.encoding", f"names no encoding {encoding!r}")

    def _check_rule(self, rule: KindRule | None, kinds: Mapping[str, Any]) -> None:
        if rule is None:
            if len(kinds) > 1:
                self._fault("kind", f"is required to tell apart {', '.join(kinds)}")
            return
        for text, name in rule.values.items():
            if name not in kinds:
                self._fault(f"kind.values.{text}", f"is {name!r}, which [requests] does not have")
        for name in kinds.keys() - set(rule.values.values()):
            self._fault(f"requests.{name}", "is no row: kind.values does not name it")

    def _kind(
        self, name: str, section: object, tables: Mapping[str, ValueTable], default_key: _Key | None
    ) -> Kind | None:
        place = f"requests.{name}"
        raw = self._outline(_Kind, section, place)
        if raw is None:
            return None
        if raw.procedure not in INPUTS:
            self._fault(f"{place}.procedure", f"is none of {', '.join(INPUTS)}")
            return None
        key = raw.key or default_key or ()
        if not key and not (isinstance(section, Mapping) and "key" in section):
            self._fault(f"{place}.key", "is required: the columns that tell the rows apart")
        time = None if raw.time is None else self._time(f"{place}.time", raw.time)
        reader = _Inputs(self, f"{place}.inputs", tables)
        reader.read(raw.inputs, input_shapes(raw.procedure, raw.inputs))
        return Kind(
            name=name,
            procedure=raw.procedure,
            key=self.key_parts(key),
            time=time,
            inputs=reader.inputs,
            objects=reader.objects,
            reference=reader.reference,
            columns=reader.columns,
        )

    def key_parts(self, key: Iterable[str | _KeyConstant]) -> tuple[KeyPart, ...]:
        """A key as it is read from rows."""
        parts = tuple(
            KeyPart(part) if isinstance(part, str) else KeyPart(None, part.value) for part in key
        )
        self.read.update(part.column for part in parts if part.column is not None)
        return parts

    def _time(self, place: str, rule: Rule) -> ReadTime | None:
        if rule.column is not None:
            self.read.add(rule.column)
        try:
            return make_time_reader(rule)
        except RuleFault as fault:
            self._fault(place, str(fault))
            return None

    def _reader(
        self, place: str, rule: Rule, shape: InputShape, tables: Mapping[str, ValueTable]
    ) -> Read | None:
        if rule.column is not None:
            self.read.add(rule.column)
        try:
            return make_reader(rule, shape, tables)
        except RuleFault as fault:
            self._fault(place, str(fault))
            return None


@dataclass(slots=True)
class _Inputs:
    """The inputs of one kind."""

    compiler: _Compiler
    place: str
    tables: Mapping[str, ValueTable]
    inputs: dict[str, Read] = field(default_factory=dict)
    objects: dict[str, dict[str, Read]] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    reference: tuple[KeyPart, ...] | None = None

    def read(self, given: Mapping[str, Any], shapes: Mapping[str, InputShape]) -> None:
        """Make a reader of each input that is *given*, and say which are missing."""
        for name, raw in given.items():
            shape = shapes.get(name)
            if shape is None:
                self.compiler._fault(f"{self.place}.{name}", "is not an input of this procedure")
            elif name == INCIDENT_REQUEST and isinstance(raw, Mapping) and "key" in raw:
                self._refer(raw)
            elif shape.sort is Sort.OBJECT and isinstance(raw, Mapping):
                self.objects[name] = dict(self._members(name, raw, shape))
            else:
                self.inputs.update(self._one(name, raw, shape))
        for name, shape in shapes.items():
            if shape.required and name not in given:
                self.compiler._fault(f"{self.place}.{name}", "is required")

    def _refer(self, raw: Mapping[str, Any]) -> None:
        rule = self.compiler._section(_KeyRule, raw, f"{self.place}.{INCIDENT_REQUEST}")
        if rule is not None:
            self.reference = self.compiler.key_parts(rule.key)
            column = next((part.column for part in self.reference if part.column), None)
            if column is not None:
                self.columns[f"$.data.{INCIDENT_REQUEST}"] = column

    def _members(
        self, name: str, raw: Mapping[str, Any], shape: InputShape
    ) -> Iterator[tuple[str, Read]]:
        for member, below in raw.items():
            if member not in shape.members:
                self.compiler._fault(f"{self.place}.{name}.{member}", "is not an input")
            else:
                for _, reader in self._one(f"{name}.{member}", below, shape.members[member]):
                    yield member, reader

    def _one(self, name: str, raw: object, shape: InputShape) -> Iterator[tuple[str, Read]]:
        """A rule, or the name of the column that is taken as it is."""
        place = f"{self.place}.{name}"
        section = {"column": raw} if isinstance(raw, str) else raw
        rule = self.compiler._section(Rule, section, place)
        if rule is None:
            return
        if rule.column is not None:
            self.columns[f"$.data.{name}"] = rule.column
        reader = self.compiler._reader(place, rule, shape, self.tables)
        if reader is not None:
            yield name, reader
