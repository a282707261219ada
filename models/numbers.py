"""The numbers that PostgreSQL gives out, and those that were told in outcomes.

A database that was put back from a backup gives out numbers again that somebody knows already: a
follow-up on the old incident 2 would change the new one. So what was told is compared with what
was given out, and `andon restored` sets every sequence beyond.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, text

from models.tables import metadata

INCIDENT, ESCALATION, COMMUNICATION, HALT = "incident", "escalation", "communication", "halt"
SEQUENCES: Mapping[str, str] = {
    f"{table.name}_{column.name}_seq": f"SELECT max({column.name}) FROM {table.name}"
    for table in metadata.tables.values()
    for column in table.columns
    if column.identity is not None
}
"""Every sequence, with the statement that finds the highest number in use."""
_OF_KIND = {
    INCIDENT: "incidents_incident_id_seq",
    ESCALATION: "escalations_escalation_id_seq",
    COMMUNICATION: "communications_communication_id_seq",
    HALT: "halts_halt_id_seq",
}
GIVEN = """
    SELECT sequencename, COALESCE(last_value, 0) FROM pg_sequences
    WHERE schemaname = current_schema()
"""
LARGEST = 2**62
"""Numbers from here on were never given out, whatever an outcome says."""


def told_numbers(outcomes: Iterable[bytes | Mapping[str, Any]]) -> dict[str, int]:
    """The highest number that outcomes name, by sequence.

    Args:
        outcomes: outcome events as they stand on the stream, or their ``data``. What is none of
            Andon's is passed over.
    """
    highest: Counter[str] = Counter()
    for outcome in outcomes:
        for kind, number in _numbers_in(outcome):
            sequence = _OF_KIND[kind]
            highest[sequence] = max(highest[sequence], number)
    return dict(highest)


def _numbers_in(outcome: bytes | Mapping[str, Any]) -> Iterable[tuple[str, int]]:
    try:
        data = orjson.loads(outcome)["data"] if isinstance(outcome, bytes) else outcome
        result, halt = data.get("result") or {}, data.get("halt") or {}
        named = {kind: result.get(f"{kind}_id") for kind in (INCIDENT, ESCALATION, COMMUNICATION)}
        named[HALT] = halt.get("id")
    except (ValueError, TypeError, KeyError, AttributeError):
        return []
    return [
        (kind, int(number))
        for kind, number in named.items()
        if isinstance(number, str) and number.isdecimal() and int(number[:20]) < LARGEST
    ]


def behind(told: Mapping[str, int], given: Mapping[str, int]) -> list[str]:
    """The sequences that will give out numbers that were told already."""
    return [sequence for sequence, number in told.items() if number > given.get(sequence, 0)]


def read_given(connection: Connection) -> dict[str, int]:
    """The last number that each sequence gave out; 0 if none."""
    return {name: int(last) for name, last in connection.execute(text(GIVEN))}


def read_highest(connection: Connection) -> dict[str, int]:
    """The last number that each sequence gave out, or the highest that is in use if that is more.

    It needs the owner's rights.
    """
    given = read_given(connection)
    return {
        sequence: max(given.get(sequence, 0), connection.execute(text(highest)).scalar_one() or 0)
        for sequence, highest in SEQUENCES.items()
    }


def move_beyond(connection: Connection, numbers: Mapping[str, int]) -> None:
    """Let each sequence go on behind its number; it needs the owner's rights."""
    for sequence, number in numbers.items():
        connection.execute(
            text("SELECT setval(CAST(:sequence AS regclass), :number)"),
            {"sequence": sequence, "number": number},
        )
