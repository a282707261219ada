"""Dedup keys: which incident each source opened last under a key of its own.

A key also remembers the latest update that found nothing open under it, for a report that was
signed earlier.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from models.outcomes import Identity
from models.rows import EarlyUpdate
from models.sql import as_json, execute, fetch, in_json
from policy.vocabulary import IncidentStatus

DedupKey = Identity
"""``(source, dedup_key)``."""


class KeyState(NamedTuple):
    """What is known of a key: the incident that it names, and an update that found none open."""

    incident_id: int | None
    early_update: EarlyUpdate | None


_LOCK = f"""
    INSERT INTO dedup_keys (source, dedup_key)
    SELECT source, dedup_key FROM {in_json("source", "dedup_key")}
    ORDER BY source, dedup_key
    ON CONFLICT (source, dedup_key) DO UPDATE SET incident_id = dedup_keys.incident_id
    RETURNING source, dedup_key, incident_id, early_update
"""


_READ = f"""
    SELECT source, dedup_key, d.incident_id, d.early_update
    FROM {in_json("source", "dedup_key")} LEFT JOIN dedup_keys AS d USING (source, dedup_key)
"""


def read_dedup_keys(connection: Connection, keys: Collection[DedupKey]) -> dict[DedupKey, KeyState]:
    """Read *keys* as they are now; a key not seen before has no incident."""
    if not keys:
        return {}
    return dict(map(_state, fetch(connection, _READ, _lists(keys))))


def lock_dedup_keys(connection: Connection, keys: Collection[DedupKey]) -> dict[DedupKey, KeyState]:
    """Lock *keys* and read them, in one sorted statement; a key not seen before has no incident.

    What is locked stays so until the transaction ends: two reports under one new key, in two
    transactions, are decided one after the other.
    """
    if not keys:
        return {}
    return dict(map(_state, fetch(connection, _LOCK, _lists(sorted(set(keys))))))


def _state(row: tuple[Any, ...]) -> tuple[DedupKey, KeyState]:
    source, key, incident_id, early = row
    return DedupKey(source, key), KeyState(incident_id, _read(early) if early else None)


def _read(early: dict[str, Any]) -> EarlyUpdate:
    resolved = early["resolution_timestamp"]
    return EarlyUpdate(
        source=early["source"],
        dedup_key=early["dedup_key"],
        request_id=early["request_id"],
        time=datetime.fromisoformat(early["time"]),
        now=datetime.fromisoformat(early["now"]),
        updated_by_user=early["updated_by_user"],
        status=IncidentStatus(early["status"]),
        resolution_timestamp=None if resolved is None else datetime.fromisoformat(resolved),
    )


def _lists(keys: Collection[DedupKey]) -> dict[str, str]:
    return {
        "source": as_json([key.source for key in keys]),
        "dedup_key": as_json([key.id for key in keys]),
    }


_POINT = f"""
    UPDATE dedup_keys AS d SET incident_id = wanted.incident_id::bigint
    FROM {in_json("source", "dedup_key", "incident_id")}
    WHERE (d.source, d.dedup_key) = (wanted.source, wanted.dedup_key)
"""

_DROP_UNUSED = f"""
    DELETE FROM dedup_keys AS d USING {in_json("source", "dedup_key")}
    WHERE (d.source, d.dedup_key) = (wanted.source, wanted.dedup_key)
      AND d.incident_id IS NULL AND d.early_update IS NULL
"""

_KEEP = """
    UPDATE dedup_keys AS d
    SET early_update = early, early_update_time = (early ->> 'time')::timestamptz
    FROM jsonb_array_elements(%(early_updates)s::jsonb) AS early
    WHERE (d.source, d.dedup_key) = (early ->> 'source', early ->> 'dedup_key')
"""

# By the partial index dedup_keys_early_update_time_idx, which holds only keys without an incident.
_FORGET = text("""
    DELETE FROM dedup_keys WHERE (source, dedup_key) IN (
        SELECT source, dedup_key FROM dedup_keys
        WHERE early_update_time < :before AND incident_id IS NULL
        ORDER BY early_update_time LIMIT :at_once FOR UPDATE SKIP LOCKED)
""")


def point_dedup_keys(
    connection: Connection, changed: Mapping[DedupKey, int], unused: Collection[DedupKey]
) -> None:
    """Let the *changed* keys name their new incident; forget keys that opened none after all."""
    if changed:
        execute(
            connection,
            _POINT,
            _lists(changed) | {"incident_id": as_json(list(changed.values()))},
        )
    if unused:
        execute(connection, _DROP_UNUSED, _lists(unused))


def keep_early_updates(connection: Connection, early_updates: Sequence[EarlyUpdate]) -> None:
    """Note with their keys, which are locked, what these updates ask for."""
    if early_updates:
        parameter = as_json([early._asdict() for early in early_updates])
        execute(connection, _KEEP, {"early_updates": parameter})


def forget_early_updates(connection: Connection, *, before: datetime, at_once: int) -> int:
    """Forget keys under which nothing was ever opened, and of which nothing was heard since.

    Returns:
        How many, *at_once* at most.
    """
    return connection.execute(_FORGET, {"before": before, "at_once": at_once}).rowcount
