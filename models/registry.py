"""The producer registry: who may publish, signed with which keys, and what they may ask for.

A TOML file, one table a source::

    closed = true                                         # so this file ends with [end]
    withdrawn = ["old-monitor"]                           # sources that were taken out

    [sources.alertmanager-prod]
    procedures = ["report_incident", "update_incident"]   # or "any"
    users = ["17", "23"]                                  # or "any": whom it may act for
    require_severity_flags = true                         # a stated severity is not enough

    [[sources.alertmanager-prod.keys]]
    id = "alertmanager-2026-11"
    secret = "…64 hex digits or more…"

    [end]

Several keys let a key be rotated without a pause: add the new one, switch the producer, remove
the old one. A key id belongs to one source only.

A file that was emptied or cut off must not look like one from which sources were taken out. So a
source is taken out by its name in ``withdrawn``, whatever stands of it below, and
`models.whole_files` says what ``closed`` and ``[end]`` are for.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretBytes,
    ValidationError,
    field_validator,
    model_validator,
)

from models.file_errors import file_errors
from models.inputs import DirectoryId, Name
from models.secret_files import SecretFileFault, read_secret_toml
from policy.procedures import PROCEDURES

KeyId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}\z")]
_KEY_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")
_SHORTEST_SECRET = 16


def may_be_key_id(text: str) -> bool:
    """Whether a registry can have a key of this id."""
    return _KEY_ID.match(text) is not None


class RegistryError(Exception):
    """The registry file cannot be used; the message names the file and every fault."""


class Key(BaseModel):
    """One signing key; the secret is written in hex, 16 bytes at least."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: KeyId
    secret: SecretBytes

    @field_validator("secret", mode="before")
    @classmethod
    def _from_hex(cls, value: object) -> bytes:
        if isinstance(value, bytes):
            return value
        try:
            secret = bytes.fromhex(value) if isinstance(value, str) else b""
        except ValueError:
            secret = b""
        if len(secret) < _SHORTEST_SECRET:
            raise ValueError(f"must be at least {_SHORTEST_SECRET} bytes written in hex")
        return secret


class Source(BaseModel):
    """What one source may do. Everything is refused that is not named here."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    procedures: Literal["any"] | frozenset[str]
    users: Literal["any"] | frozenset[DirectoryId]
    require_severity_flags: bool = False
    keys: tuple[Key, ...] = ()

    @field_validator("procedures")
    @classmethod
    def _known(cls, value: str | frozenset[str]) -> str | frozenset[str]:
        if not isinstance(value, str) and (unknown := value - PROCEDURES.keys()):
            raise ValueError(f"names what is no procedure: {', '.join(sorted(unknown))}")
        return value

    def may_ask_for(self, procedure: str) -> bool:
        """Whether the source may ask for *procedure*."""
        return self.procedures == "any" or procedure in self.procedures

    def may_act_for(self, user_id: str) -> bool:
        """Whether the source may act on the authority of this user."""
        return self.users == "any" or user_id in self.users


class Registry(BaseModel):
    """All sources, by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    withdrawn: frozenset[Name] = frozenset()
    """Sources that were taken out; none of `sources`."""
    sources: Mapping[Name, Source] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _key_ids_are_unique(self) -> "Registry":
        seen: set[str] = set()
        for source in self.sources.values():
            for key in source.keys:
                if key.id in seen:
                    raise ValueError(f"key id {key.id} stands twice")
                seen.add(key.id)
        return self

    @cached_property
    def _by_key(self) -> dict[str, tuple[str, bytes]]:
        return {
            key.id: (name, key.secret.get_secret_value())
            for name, source in self.sources.items()
            for key in source.keys
        }

    def owner_of(self, key_id: str) -> tuple[str, bytes] | None:
        """The source that *key_id* belongs to, and its secret; None for an unknown key."""
        return self._by_key.get(key_id)

    def unknown_keys(self, key_ids: Set[str]) -> Set[str]:
        """Those of *key_ids* that belong to no source."""
        return key_ids - self._by_key.keys()

    def lacking(self, known: Iterable[str]) -> list[str]:
        """Those of the sources *known* that are gone, and were not taken out on purpose."""
        return sorted(set(known) - self.sources.keys() - self.withdrawn)


def load_registry(path: Path) -> Registry:
    """Read the registry.

    Raises:
        RegistryError: the file is missing, cut off, without any source, another user's, readable by
            others, or at fault (every fault named).
    """
    try:
        document, is_closed = read_secret_toml(path)
    except SecretFileFault as fault:
        raise RegistryError(str(fault)) from None
    try:
        registry = Registry.model_validate(_without_withdrawn(document))
    except ValidationError as error:
        faults = [f"{fault.path} {fault.message}" for fault in file_errors(error, document)]
        raise RegistryError(f"{path}: {'; '.join(faults)}") from None
    if not registry.sources and not (is_closed and registry.withdrawn):
        raise RegistryError(
            f"{path} has no sources, as when it is being written just now, or the disk is full"
        )
    return registry


def _without_withdrawn(document: dict[str, Any]) -> dict[str, Any]:
    """The document without the sources that are withdrawn: nothing of them counts."""
    withdrawn, sources = document.get("withdrawn"), document.get("sources")
    if not isinstance(withdrawn, list) or not isinstance(sources, dict):
        return document
    return {
        **document,
        "sources": {name: each for name, each in sources.items() if name not in withdrawn},
    }


def registry_fault(path: Path, known: Iterable[str] = ()) -> str | None:
    """What is wrong with the registry file now; None if nothing is.

    Args:
        path: the file.
        known: the sources that there were.
    """
    try:
        gone = load_registry(path).lacking(known)
    except RegistryError as error:
        return str(error)
    return fault_of_lacking(path, gone) if gone else None


KEPT_IN_FORCE = (
    "Workers that run keep the last good registry in force: a key that was taken out since still"
    " acts."
)


def fault_of_lacking(path: Path, gone: Sequence[str]) -> str:
    """What is wrong with a file that lacks the sources *gone*, which were there."""
    names = ", ".join(gone)
    return (
        f"{path} lacks what was there: {names}. If it was taken out on purpose, say so:"
        " `andon producers remove NAME`, or its name in withdrawn, at the top of the file"
    )


@dataclass(slots=True)
class RegistryFile:
    """The registry as the file has it now: read again whenever the file has changed.

    A file that has become faulty, or lacks a source without saying that it was taken out, keeps the
    last good registry in force, so that a slip of an editor or a full disk stops no producer. It is
    told to *on_fault*: a key taken out may still be good.

    Attributes:
        on_fault: called with the fault when one begins or becomes another one, and with None when
            it is over.
    """

    path: Path
    on_fault: Callable[[str | None], None] = lambda _fault: None
    fault: str | None = None
    _stamp: tuple[int, ...] | None = None
    _registry: Registry | None = None

    def current(self) -> Registry:
        """The registry in force, after a look at the file.

        Raises:
            RegistryError: the file has never been readable.
        """
        stamp = self._look()
        if self._registry is None or stamp != self._stamp:
            try:
                self._registry = self._load()
                self._note(None)
            except RegistryError as error:
                self._note(str(error))
                if self._registry is None:
                    raise
            self._stamp = stamp
        return self._registry

    def in_force(self) -> Registry:
        """The registry as the last look found it.

        Raises:
            RegistryError: the file has never been readable.
        """
        return self.current() if self._registry is None else self._registry

    def doubt(self, gone: Sequence[str]) -> None:
        """Note that the file, though sound, lacks sources that were there before this process."""
        self._note(fault_of_lacking(self.path, gone))

    def _load(self) -> Registry:
        registry = load_registry(self.path)
        if self._registry is not None and (gone := registry.lacking(self._registry.sources)):
            raise RegistryError(fault_of_lacking(self.path, gone))
        return registry

    def _note(self, fault: str | None) -> None:
        if fault != self.fault:
            self.fault = fault
            self.on_fault(fault)

    def _look(self) -> tuple[int, ...] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino  # ctime: chmod
