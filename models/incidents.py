"""Which incidents a batch needs to know, besides those that its requests name by number."""

from collections.abc import Collection

from sqlalchemy import Connection

from models.dedup import DedupKey
from models.sql import fetch, fetch_column

_INCIDENTS_OF = """
    SELECT incident_id FROM escalations WHERE escalation_id = ANY(%(escalations)s::bigint[])
    UNION SELECT incident_id FROM communications
    WHERE communication_id = ANY(%(communications)s::bigint[])
"""
_DEDUP_KEYS_OF = """
    SELECT source, dedup_key FROM incidents
    WHERE incident_id = ANY(%(ids)s::bigint[]) AND dedup_key IS NOT NULL
"""


def incidents_of(
    connection: Connection, *, escalations: Collection[int], communications: Collection[int]
) -> set[int]:
    """The numbers of the incidents that these escalations and communications belong to."""
    if not escalations and not communications:
        return set()
    wanted = {"escalations": list(escalations), "communications": list(communications)}
    return set(fetch_column(connection, _INCIDENTS_OF, wanted))


def dedup_keys_of(connection: Connection, incident_ids: Collection[int]) -> set[DedupKey]:
    """The dedup keys that these incidents were reported under."""
    if not incident_ids:
        return set()
    found = fetch(connection, _DEDUP_KEYS_OF, {"ids": list(incident_ids)})
    return {DedupKey(source, key) for source, key in found}
