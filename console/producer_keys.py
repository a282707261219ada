"""Changing the producer registry: a new source, or a further key of one that is there.

The file keeps its comments, its owner and its mode, and is replaced whole or not at all. Nobody
else changes it meanwhile: a lock file beside it is held.
"""

import fcntl
import os
import re
import secrets
import tomllib
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tomlkit

from console.failures import wrong_usage
from models.registry import RegistryError, load_registry

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
    path = path.resolve()
    with _locked(path):
        text = _read(path)
        sources = tomllib.loads(text).get("sources", {})
        is_new = source not in sources
        if is_new:
            rights = _sufficient(rights, source)
        elif rights is not None:
            raise wrong_usage(
                f"The source {source} is there already, and what it may do stands in {path}."
                " To give it a further key, name no procedures, users or other rights."
            )
        key = _new_key(source, is_new)
        _replace(path, _with_key(path, text, key, rights))
    return key


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


def _with_key(path: Path, text: str, key: NewKey, rights: Rights | None) -> str:
    """The registry's text with the key, and with nothing else changed.

    tomlkit keeps the text as it is written, but misplaces a table among dotted keys; so its work
    is held against the same change to the bare values.
    """
    written, values = tomlkit.parse(text), tomllib.loads(text)
    for document in (written, values):
        _enter(document, key, rights)
    changed = tomlkit.dumps(written)
    if tomllib.loads(changed) != values:
        raise RegistryError(
            f"{path} is written so that nothing can be added without harm (with dotted keys, for"
            " example): write each source as a table, [sources.NAME]"
        )
    return changed


def _enter(document: MutableMapping[str, Any], key: NewKey, rights: Rights | None) -> None:
    sources = document.setdefault("sources", {})
    if rights is not None:
        sources[key.source] = {
            "procedures": _allowed(rights.procedures),
            "users": _allowed(rights.users),
            **({"require_severity_flags": True} if rights.require_severity_flags else {}),
        }
    sources[key.source].setdefault("keys", []).append({"id": key.key_id, "secret": key.secret})


def _allowed(allowed: Allowed) -> str | list[str]:
    return allowed if isinstance(allowed, str) else list(allowed)


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
