"""Which registry is in force, as the audit has it: what changed in it, and never a secret.

One row holds the names of the sources and key ids that were recorded last, each with a fingerprint
of what stands under it. A process that puts another registry into force first writes what is
different into the audit, in the transaction that changes the row. So a change is recorded once,
however many processes take it up, and a key that is put back is another change.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from models.audit import AuditEntry, AuditKey, write_audit
from models.canonical import canonical_json
from models.operator import who_acts
from models.registry import Registry, Source
from models.signatures import mac_of
from policy.vocabulary import AuditAction

_DOMAIN = b"andon registry 1\0"
_FINGERPRINT_BYTES = 8

_READ = text("SELECT key_id, sources FROM registry_in_force")
_MAKE = text("""
    INSERT INTO registry_in_force (key_id, sources, recorded_at) VALUES ('', '{}', now())
    ON CONFLICT DO NOTHING
""")
_LOCK = text("SELECT key_id, sources, now() AS now FROM registry_in_force FOR UPDATE")
_CHANGE = text("""
    UPDATE registry_in_force
    SET key_id = :key_id, sources = CAST(:sources AS jsonb), recorded_at = now()
""")


class _Recorded(NamedTuple):
    """What is recorded: by source, ``{"rights": fingerprint, "keys": {key id: fingerprint}}``.

    Attributes:
        key_id: the audit key that the fingerprints were made with.
    """

    key_id: str
    sources: Mapping[str, Any]


def recorded_sources(connection: Connection) -> frozenset[str]:
    """The sources of the registry that was recorded last."""
    row = connection.execute(_READ).one_or_none()
    return frozenset() if row is None else frozenset(row.sources)


def record_registry(connection: Connection, key: AuditKey, registry: Registry) -> list[str]:
    """Record *registry*, which is being put into force, if it is another than the one recorded.

    Args:
        connection: its transaction is committed by the caller, at once.
        key: of the audit.
        registry: a sound one.

    Returns:
        The sources that were recorded, that it lacks, and that it does not name as withdrawn. Then
        it is not recorded: its file is cut off, or older than another machine's.

    Raises:
        AuditError: the audit cannot be continued.
    """
    found = _Recorded(key.key_id, _fingerprints(key, registry))
    row = connection.execute(_READ).one_or_none()
    if row is not None and _Recorded(row.key_id, row.sources) == found:
        return []
    connection.execute(_MAKE)
    row = connection.execute(_LOCK).one()
    before = _Recorded(row.key_id, row.sources)
    if before == found:
        return []
    if gone := registry.lacking(before.sources):
        return gone
    connection.execute(
        _CHANGE, {"key_id": key.key_id, "sources": canonical_json(found.sources).decode()}
    )
    if changes := _changes(before, found):
        entry = AuditEntry(
            at=row.now,
            action=AuditAction.CREATE if before.key_id == "" else AuditAction.UPDATE,
            outcome="done",
            subject=f"registry:{_fingerprint(key, found.sources)}",
            context={**changes, **who_acts()},
        )
        write_audit(connection, key, [entry])
    return []


def _fingerprints(key: AuditKey, registry: Registry) -> dict[str, Any]:
    return {name: _of_source(key, source) for name, source in registry.sources.items()}


def _of_source(key: AuditKey, source: Source) -> dict[str, Any]:
    rights = [
        source.procedures if isinstance(source.procedures, str) else sorted(source.procedures),
        source.users if isinstance(source.users, str) else sorted(source.users),
        source.require_severity_flags,
    ]
    return {
        "rights": _fingerprint(key, rights),
        "keys": {
            each.id: _fingerprint(key, [each.id, each.secret.get_secret_value().hex()])
            for each in source.keys
        },
    }


def _fingerprint(key: AuditKey, what: object) -> str:
    """A keyed hash: who reads the database cannot try secrets against it."""
    said = canonical_json(what)
    return mac_of(key.secret, said, domain=_DOMAIN).hexdigest()[: 2 * _FINGERPRINT_BYTES]


def _changes(before: _Recorded, after: _Recorded) -> dict[str, list[str]]:
    """Which names were added, removed, or have another fingerprint.

    Fingerprints of another audit key tell nothing: then what has stayed counts as unchanged.
    """
    comparable = before.key_id == after.key_id
    rights = _compared(
        {name: each["rights"] for name, each in before.sources.items()},
        {name: each["rights"] for name, each in after.sources.items()},
        "sources",
        comparable=comparable,
    )
    return rights | _compared(_keys(before), _keys(after), "keys", comparable=comparable)


def _keys(recorded: _Recorded) -> dict[str, Any]:
    return {
        key_id: [name, fingerprint]
        for name, each in recorded.sources.items()
        for key_id, fingerprint in each["keys"].items()
    }


def _compared(
    before: Mapping[str, Any], after: Mapping[str, Any], what: str, *, comparable: bool
) -> dict[str, list[str]]:
    found = {
        f"{what}_added": sorted(after.keys() - before.keys()),
        f"{what}_removed": sorted(before.keys() - after.keys()),
        f"{what}_changed": sorted(
            name for name in before.keys() & after.keys() if before[name] != after[name]
        )
        if comparable
        else [],
    }
    return {name: names for name, names in found.items() if names}
