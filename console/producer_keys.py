"""Changing the producer registry: a new source or key, or taking one out.

The file keeps its comments, its owner and its mode, and is replaced whole or not at all: written
beside, then renamed. Nobody else changes it meanwhile: a lock file beside it is held. From the
first change on it says where it ends (`models.whole_files`).
"""

import fcntl
import os
import re
import secrets
import tomllib
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tomlkit

from console.failures import wrong_usage
from models.registry import RegistryError, load_registry
from models.whole_files import CLOSED, END, last_line

_SECRET_BYTES = 32
_OUTSIDE_KEY_IDS = re.compile(r"[^A-Za-z0-9._:-]+")
_LONGEST_STEM = 50

Allowed = Literal["any"] | Sequence[str]


@dataclass(frozen=True, slots=True)
class Rights:
    """What a new source may do: nothing that is not named."""

    procedures: Allowed
    users: Allowed
    require_severity_flags: bool = False


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just registered; the secret is in the registry and nowhere else."""

    source: str
    key_id: str
    secret: str = field(repr=False)
    """In hex."""
    source_is_new: bool


def add_key(path: Path, source: str, rights: Rights | None) -> NewKey:
    """Register a key: the first of a new source, or a further one, to change over to.

    Args:
        path: the registry; made, for its owner's eyes only, if it is missing.
        source: the source's name.
        rights: of a source that is new; None for one that is there, which keeps its own.

    Raises:
        Failure: rights are missing for a new source, or given for one that is there.
        RegistryError: the file is at fault, or would be.
    """
    with _changing(path) as change:
        values = tomllib.loads(change.text)
        is_new = source not in values.get("sources", {})
        if not is_new and source in values.get("withdrawn", []):
            raise wrong_usage(
                f"The source {source} stands in {path}, but also in its withdrawn, which counts:"
                " take its name out there, and it is back with the keys that it has."
            )
        if is_new:
            rights = _sufficient(rights, source)
        elif rights is not None:
            raise wrong_usage(
                f"The source {source} is there already, and what it may do stands in {path}."
                " To give it a further key, name no procedures, users or other rights."
            )
        key = _new_key(source, is_new)
        change.make(lambda document: _enter(document, key, rights))
    return key


def remove_source(path: Path, source: str) -> None:
    """Take a source out, with all its keys; its name stays in the file as withdrawn.

    Raises:
        Failure: there is no such source.
        RegistryError: the file is at fault, or cannot be changed.
    """
    with _changing(path) as change:
        _known(path, source)
        change.make(lambda document: _withdraw(document, source))


def remove_key(path: Path, source: str, key_id: str) -> None:
    """Take one key of a source out.

    Raises:
        Failure: there is no such source, or it has no such key.
        RegistryError: the file is at fault, or cannot be changed.
    """
    with _changing(path) as change:
        if key_id not in _known(path, source):
            raise wrong_usage(f"The source {source} has no key {key_id} in {path}.")
        change.make(lambda document: _drop_key(document, source, key_id))


def _sufficient(rights: Rights | None, source: str) -> Rights:
    if rights is None or not rights.procedures or not rights.users:
        raise wrong_usage(
            f"There is no source {source} yet. Say what it may do: --procedure NAME or"
            " --any-procedure, and --user ID or --any-user."
        )
    return rights


def _new_key(source: str, is_new: bool) -> NewKey:
    stem = _OUTSIDE_KEY_IDS.sub("-", source).strip("-")[:_LONGEST_STEM] or "key"
    key_id = f"{stem}-{secrets.token_hex(4)}"
    return NewKey(source, key_id, secrets.token_hex(_SECRET_BYTES), is_new)


def _known(path: Path, source: str) -> list[str]:
    """The key ids of a source that is there."""
    known = load_registry(path).sources.get(source) if path.exists() else None
    if known is None:
        raise wrong_usage(f"There is no source {source} in {path}.")
    return [key.id for key in known.keys]


Document = MutableMapping[str, Any]


@dataclass(slots=True)
class _Change:
    """One change of the registry at *path*, whose text nobody else changes meanwhile."""

    path: Path
    text: str

    def make(self, edit: Callable[[Document], None]) -> None:
        """Replace the file by one with the edit, and with nothing else changed.

        tomlkit keeps the text as it is written, but misplaces a table among dotted keys; so its
        work is held against the same edit of the bare values.
        """
        text = _opened(self.text)
        written, values = tomlkit.parse(text), tomllib.loads(text)
        for document in (written, values):
            edit(document)
        changed = tomlkit.dumps(written)
        if tomllib.loads(changed) != values:
            raise RegistryError(
                f"{self.path} is written so that it cannot be changed without harm (with dotted"
                " keys, for example): write each source as a table, [sources.NAME]"
            )
        _replace(self.path, f"{changed.rstrip()}\n\n{END}\n")


def _opened(text: str) -> str:
    """The text without its last line, [end], and with what stands at the top of every registry."""
    values = tomllib.loads(text)
    if "closed" in values and last_line(text) == END:
        before, _, after = text.rpartition(END)
        text = f"{before.rstrip()}\n{after.lstrip()}"
    missing = [line for line in (CLOSED, "withdrawn = []") if line.split()[0] not in values]
    return "".join(f"{line}\n" for line in missing) + ("\n" if missing else "") + text


def _enter(document: Document, key: NewKey, rights: Rights | None) -> None:
    sources = document.setdefault("sources", {})
    if rights is not None:
        sources[key.source] = {
            "procedures": _allowed(rights.procedures),
            "users": _allowed(rights.users),
            **({"require_severity_flags": True} if rights.require_severity_flags else {}),
        }
        while key.source in document["withdrawn"]:
            document["withdrawn"].remove(key.source)
    sources[key.source].setdefault("keys", []).append({"id": key.key_id, "secret": key.secret})


def _withdraw(document: Document, source: str) -> None:
    del document["sources"][source]
    if not document["sources"]:
        del document["sources"]
    if source not in document["withdrawn"]:
        document["withdrawn"].append(source)


def _drop_key(document: Document, source: str, key_id: str) -> None:
    keys = document["sources"][source]["keys"]
    (place,) = (place for place, key in enumerate(keys) if key["id"] == key_id)
    del keys[place]


def _allowed(allowed: Allowed) -> str | list[str]:
    return allowed if isinstance(allowed, str) else list(allowed)


@contextmanager
def _changing(path: Path) -> Iterator[_Change]:
    path = path.resolve()
    with _locked(path):
        yield _Change(path, _read(path))


def _read(path: Path) -> str:
    if not path.exists():
        return ""
    load_registry(path)  # nothing is built on a file that is at fault
    return path.read_text()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise RegistryError(f"{path} cannot be changed: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _replace(path: Path, text: str) -> None:
    """Put a sound registry in the place of the one that is there."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            if path.exists():
                before = path.stat()
                with suppress(PermissionError):  # only root gives files away
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fchmod(file.fileno(), before.st_mode & 0o777)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _check(draft, path)
        draft.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise RegistryError(f"{path} cannot be changed: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)


def _check(draft: Path, path: Path) -> None:
    try:
        load_registry(draft)
    except RegistryError as error:
        raise RegistryError(str(error).replace(str(draft), str(path))) from None


def _sync(directory: Path) -> None:
    """A file's new name outlives a power cut only when its directory is on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
