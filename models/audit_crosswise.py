"""The audit compared with what else is stored, both ways.

The chains show that no record was changed; here it is asked whether every record still has what it
speaks of, and whether everything that is stored has its record:

- a request that is done or halted, and its row in the ledger; one that waits, and its row;
- a halt, and what operators did about it;
- incidents, escalations and communications, and the request that opened each;
- entries known as duplicates;
- the tallies and the number of halts, and how many records there are of each outcome.

A request and its record are written in one transaction, so they are compared in parts, each in one
statement: nothing that the worker writes meanwhile can come in between. What was forgotten after
its retention (``models.retentions``), and what was recorded in months that have been dropped, is
not asked for.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Lock

from sqlalchemy import Connection, Engine

from models.audit_partitions import month_of, partition_names
from models.audit_verify import Inspection, Progress, Walk
from models.sql import execute, fetch
from models.tables import Forgotten, HaltState

_AT_ONCE = 10_000
NAMED = 5
"""Of what does not fit in one way, so many are named."""


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Something stored that the audit does not fit, or the other way round.

    Attributes:
        what: ``chain 7's record 3``, ``request monitor/r1``, ``halt 5``, ``incident 17``, …
    """

    what: str
    message: str


_FORGOTTEN = f"(SELECT forgotten_before FROM retentions WHERE kind = '{Forgotten.IDENTITIES}')"

# The records of a page, each with what it speaks of: look-ups by primary keys. OFFSET 0 has each
# subject taken apart once, not wherever it is named; a key that is NULL is not looked up at all.
_RECORDS = f"""
    SELECT r.sequence, CASE
        WHEN r.decided AND NOT COALESCE(
                l.entry = r.entry AND l.decided_at = r.at
                AND l.halted = (r.outcome = 'halted')
                AND l.procedure IS NOT DISTINCT FROM r.procedure
                AND l.halt_id IS NOT DISTINCT FROM CASE WHEN r.kind = 'halt' THEN r.number END
                AND CASE
                    WHEN r.kind = 'halt' THEN l.body ->> 'reason' = r.reason
                    WHEN r.kind IS NULL THEN true
                    ELSE l.body ->> (r.kind || '_id') = r.number::text END, false)
            AND NOT (
                COALESCE(l.decided_at > r.at, true) AND COALESCE(
                    r.at < {_FORGOTTEN}
                    OR r.outcome = 'halted' AND h.state = '{HaltState.REPLAYED}', false))
            THEN CASE WHEN l.source IS NULL
                THEN 'is about a request that is not in the ledger'
                ELSE 'is about a request of which the ledger says something else' END
        WHEN r.outcome = 'halted' AND r.entry IS NOT NULL AND NOT COALESCE(
                h.entry = r.entry AND h.reason = r.reason AND h.halted_at = r.at
                AND h.source IS NOT DISTINCT FROM r.source
                AND h.request_id IS NOT DISTINCT FROM r.request_id, false)
            THEN 'is about a halt that is not kept as it was'
        WHEN r.entry IS NULL AND r.kind = 'halt' AND NOT COALESCE(CASE
                WHEN r.action = 'reject' THEN h.state = '{HaltState.DISCARDED}'
                WHEN r.outcome = '{HaltState.REPLAYED}' THEN h.state = '{HaltState.REPLAYED}'
                ELSE h.state <> '{HaltState.OPEN}' END, false)
            THEN 'says what an operator did about a halt, which does not show it'
        WHEN r.replay_of IS NOT NULL AND r.outcome <> 'waiting'
                AND p.state IS DISTINCT FROM '{HaltState.REPLAYED}'
            THEN 'says that a halt was replayed, which does not show it'
        WHEN r.outcome = 'waiting' AND w.source IS NULL AND l.source IS NULL
                AND NOT COALESCE(r.at < {_FORGOTTEN}, false)
                AND NOT EXISTS (SELECT FROM halts WHERE halts.entry = r.entry)
            THEN 'is about a request that neither waits nor is in the ledger'
        WHEN r.outcome = 'done' AND r.entry IS NOT NULL AND NOT COALESCE(CASE r.kind
                WHEN 'incident' THEN i.incident_id IS NOT NULL AND (r.action <> 'create'
                    OR (i.source, i.request_id) = (r.source, r.request_id))
                WHEN 'escalation' THEN e.escalation_id IS NOT NULL AND (r.action <> 'create'
                    OR (e.source, e.request_id) = (r.source, r.request_id))
                WHEN 'communication' THEN c.communication_id IS NOT NULL AND (r.action <> 'create'
                    OR (c.source, c.request_id) = (r.source, r.request_id))
                ELSE true END, false)
            THEN 'is about something that is not stored, or belongs to another request'
        END AS wrong
    FROM (
        SELECT *,
            entry IS NOT NULL AND source IS NOT NULL AND outcome IN ('done', 'halted')
                AND NOT context ? 'conflict' AS decided,
            CASE WHEN subject ~ '^[a-z]+:[0-9]{{1,18}}$' THEN split_part(subject, ':', 1) END
                AS kind,
            CASE WHEN subject ~ '^[a-z]+:[0-9]{{1,18}}$'
                THEN split_part(subject, ':', 2)::bigint END AS number,
            CASE WHEN context ->> 'replay_of' ~ '^[0-9]{{1,18}}$'
                THEN (context ->> 'replay_of')::bigint END AS replay_of
        FROM audit_records
        WHERE chain = %(chain)s AND sequence > %(after)s AND sequence <= %(upto)s
        OFFSET 0
    ) AS r
    LEFT JOIN requests AS l ON (l.source, l.request_id) = (r.source, r.request_id)
    LEFT JOIN waiting AS w ON w.request_id = r.request_id
        AND w.source = CASE WHEN r.outcome = 'waiting' THEN r.source END
    LEFT JOIN halts AS h ON h.halt_id = CASE WHEN r.kind = 'halt' THEN r.number END
    LEFT JOIN halts AS p ON p.halt_id = r.replay_of
    LEFT JOIN incidents AS i
        ON i.incident_id = CASE WHEN r.kind = 'incident' THEN r.number END
    LEFT JOIN escalations AS e
        ON e.escalation_id = CASE WHEN r.kind = 'escalation' THEN r.number END
    LEFT JOIN communications AS c
        ON c.communication_id = CASE WHEN r.kind = 'communication' THEN r.number END
"""
_WRONG_RECORDS = f"""
    SELECT sequence, wrong FROM ({_RECORDS}) AS compared WHERE wrong IS NOT NULL
    ORDER BY sequence LIMIT {NAMED}
"""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A table of which each row has its record in the audit.

    Attributes:
        what: a row's name, in SQL.
        key: of the index in whose order it is read, a part at a time.
        asked: the rows that must have a record.
        recorded: what the record is found by, any of these. ``{span}`` is that it was written in
            the time of the part.
        by_index: whether a record is looked up by an index, or all of the part's time are read.
    """

    table: str
    what: str
    key: str
    sort: str
    asked: str
    recorded: tuple[str, ...]
    message: str
    by_index: bool = True

    def unmatched(self, *, first: bool) -> str:
        """The statement that finds the rows of a part that have no record."""
        key = f"s.{self.key}"
        after, upto = f"%(after)s::{self.sort}", f"%(upto)s::{self.sort}"
        lacking = " ".join(
            "AND NOT EXISTS (SELECT FROM "
            + found.replace("{span}", f"r.at >= {after} AND r.at <= {upto}")
            + ")"
            for found in self.recorded
        )
        return f"""
            SELECT {self.what} FROM {self.table} AS s
            WHERE {key} {">=" if first else ">"} {after} AND {key} <= {upto}
              AND {self.asked} {lacking}
            ORDER BY {key} LIMIT {NAMED}
        """

    def part(self, *, first: bool) -> str:
        """The statement that finds where a part ends, and how many rows it has."""
        return f"""
            SELECT max({self.key})::text, count(*) FROM (
                SELECT {self.key} FROM {self.table}
                WHERE {self.key} {">=" if first else ">"} %(after)s::{self.sort}
                ORDER BY {self.key} LIMIT {_AT_ONCE}) AS part
        """


_BEGINNINGS = {"timestamptz": "-infinity", "bigint": str(-(2**63))}


def _effect(kind: str) -> _Stored:
    """A table of incidents or what belongs to them; each row names the request that opened it.

    Where the ledger has forgotten that, the record is found by its subject.
    """
    key = f"{kind}_id"
    return _Stored(
        table=f"{kind}s",
        what=f"'{kind} ' || s.{key}",
        key=key,
        sort="bigint",
        asked="true",
        recorded=(
            f"""requests AS l
                WHERE (l.source, l.request_id) = (s.source, s.request_id)
                  AND NOT l.halted AND l.body ->> '{key}' = s.{key}::text""",
            f"""audit_records AS r
                WHERE r.subject = '{kind}:' || s.{key} AND r.action = 'create'
                  AND (r.source, r.request_id) = (s.source, s.request_id)""",
        ),
        message="has no record of the request that opened it",
    )


_STORED = (
    _Stored(
        table="requests",
        what="'request ' || s.source || '/' || s.request_id",
        key="decided_at",
        sort="timestamptz",
        asked="s.decided_at >= %(since)s::timestamptz",
        recorded=(
            """audit_records AS r
                WHERE {span} AND r.at = s.decided_at AND r.entry = s.entry
                  AND r.source = s.source AND r.request_id = s.request_id
                  AND r.outcome = CASE WHEN s.halted THEN 'halted' ELSE 'done' END""",
        ),
        message="is in the ledger without its record",
        by_index=False,
    ),
    _Stored(
        table="duplicates",
        what="'duplicate ' || s.entry",
        key="at",
        sort="timestamptz",
        asked="s.at >= %(since)s::timestamptz",
        recorded=(
            """audit_records AS r
                WHERE {span} AND r.at = s.at AND r.entry = s.entry AND r.outcome = 'duplicate'""",
        ),
        message="is known without its record",
        by_index=False,
    ),
    _Stored(
        table="halts",
        what="'halt ' || s.halt_id",
        key="halt_id",
        sort="bigint",
        asked="s.halted_at >= %(since)s::timestamptz",
        recorded=(
            """audit_records AS r
                WHERE r.subject = 'halt:' || s.halt_id AND r.at = s.halted_at
                  AND r.outcome = 'halted' AND r.entry = s.entry""",
        ),
        message="is kept without its record",
    ),
    _Stored(
        table="halts",
        what="'halt ' || s.halt_id",
        key="halt_id",
        sort="bigint",
        asked=f"""s.state <> '{HaltState.OPEN}'
            AND COALESCE(s.settled_at, 'infinity') >= %(since)s::timestamptz""",
        recorded=(
            f"""audit_records AS r
                WHERE r.subject = 'halt:' || s.halt_id
                  AND r.action = CASE s.state WHEN '{HaltState.DISCARDED}' THEN 'reject'
                    ELSE 'approve' END
                  AND (s.state = '{HaltState.REPLAYING}' OR r.at = s.settled_at)""",
            f"""audit_records AS r
                WHERE s.state = '{HaltState.REPLAYED}' AND r.source = s.source
                  AND r.at = s.settled_at AND r.context ->> 'replay_of' = s.halt_id::text""",
        ),
        message="was settled or published again without a record of that",
    ),
    _effect("incident"),
    _effect("escalation"),
    _effect("communication"),
)

_SUMS = """
    SELECT outcome.name, outcome.counted, outcome.recorded FROM (
        SELECT (SELECT COALESCE(sum(done), 0) FROM tallies) AS tallied_done,
               (SELECT COALESCE(sum(halted), 0) FROM tallies) AS tallied_halted,
               (SELECT COALESCE(sum(duplicates), 0) FROM tallies) AS tallied_duplicates,
               (SELECT count(*) FROM halts) AS halts,
               COALESCE(sum(a.done), 0) AS dropped_done,
               COALESCE(sum(a.halted), 0) AS dropped_halted,
               COALESCE(sum(a.duplicates), 0) AS dropped_duplicates
        FROM audit_anchors AS a
    ) AS stored, (
        SELECT count(*) FILTER (WHERE outcome = 'done') AS done,
               count(*) FILTER (WHERE outcome = 'halted') AS halted,
               count(*) FILTER (WHERE outcome = 'duplicate') AS duplicates
        FROM audit_records WHERE entry IS NOT NULL
    ) AS record, LATERAL (VALUES
        ('tally of what is done', tallied_done, dropped_done + done),
        ('tally of what is halted', tallied_halted, dropped_halted + halted),
        ('tally of duplicates', tallied_duplicates, dropped_duplicates + duplicates),
        ('number of halts', halts, dropped_halted + halted)
    ) AS outcome (name, counted, recorded)
    WHERE outcome.counted <> outcome.recorded
"""
_WAITING = f"""
    SELECT 'request ' || s.source || '/' || s.request_id FROM waiting AS s
    WHERE s.received_at >= %(since)s::timestamptz AND NOT EXISTS (
        SELECT FROM audit_records AS r
        WHERE r.outcome = 'waiting' AND r.source = s.source AND r.entry = s.entry
          AND r.request_id = s.request_id)
    ORDER BY s.source, s.request_id LIMIT {NAMED}
"""
_HOW_MANY = "SELECT " + " + ".join(f"(SELECT count(*) FROM {each.table})" for each in _STORED)
_LOOK_UP = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off"
# A merge would pair by the moment alone, which all that one batch wrote has in common.
_READ_ALL = "SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off"


def compare_stores(
    engine: Engine,
    inspected: Inspection,
    progress: Progress = lambda _done, _total: None,
    *,
    connections: int = 1,
) -> tuple[Unmatched, ...]:
    """What does not fit, of the records that do and of all that is stored.

    Args:
        engine: connects with the worker's rights, or more.
        inspected: up to where the records of each chain fit.
        progress: called with how many records and rows have been compared, and how many there are;
            by one thread at a time.
        connections: how many of the engine's are used side by side; it must have as many.
    """
    walks = [inspected.walks[chain] for chain in sorted(inspected.walks)]
    with engine.connect() as connection:
        ((rows,),) = fetch(connection, _HOW_MANY, {})
        since = _since(connection, walks)
        found = [
            Unmatched(f"the {name}", f"is {counted:,}, and there are {recorded:,} records of that")
            for name, counted, recorded in fetch(connection, _SUMS, {})
        ]
        found += [
            Unmatched(what, "waits without its record")
            for (what,) in fetch(connection, _WAITING, {"since": since})
        ]
    total = rows + sum(walk.last - walk.head.before for walk in walks)
    comparing = _Comparing(engine, progress, total)
    with ThreadPoolExecutor(connections) as threads:
        # What takes longest begins first; what does not fit is named in the order of the records.
        stored = [threads.submit(comparing.stored, each, since) for each in _STORED]
        records = [threads.submit(comparing.records, walk) for walk in walks]
        try:
            for part in (*records, *stored):
                found += part.result()
        except BaseException:  # of which one is Ctrl-C
            comparing.stopped.set()
            raise
    return tuple(found)


def _since(connection: Connection, walks: list[Walk]) -> str:
    """From when on everything has its record: before that, months have been dropped."""
    if all(walk.head.anchor is None for walk in walks):
        return "-infinity"
    months = [month for name in partition_names(connection) if (month := month_of(name))]
    return min(months).isoformat() if months else "infinity"


@dataclass(slots=True)
class _Comparing:
    """Goes through what is compared, in threads that wait for PostgreSQL most of the time.

    Attributes:
        done: how many records and rows have been compared, of the *total*.
        stopped: whether the threads are to end where they are.
    """

    engine: Engine
    progress: Progress
    total: int
    done: int = 0
    stopped: Event = field(default_factory=Event)
    _counting: Lock = field(default_factory=Lock)

    def records(self, walk: Walk) -> list[Unmatched]:
        """Those of a chain that do not fit what they speak of."""
        chain = walk.head.chain
        found: list[Unmatched] = []
        for after in range(walk.head.before, walk.last, _AT_ONCE):
            if len(found) >= NAMED or self.stopped.is_set():
                break
            upto = min(after + _AT_ONCE, walk.last)
            values = {"chain": chain, "after": after, "upto": upto}
            with self.engine.connect() as connection:
                execute(connection, _LOOK_UP, {})
                wrong = fetch(connection, _WRONG_RECORDS, values)
            found += [
                Unmatched(f"chain {chain}'s record {sequence}", message)
                for sequence, message in wrong
            ]
            self._went_on(upto - after)
        return found

    def stored(self, stored: _Stored, since: str) -> list[Unmatched]:
        """The rows of a table that have no record."""
        found: list[Unmatched] = []
        first, after = True, _BEGINNINGS[stored.sort]
        while len(found) < NAMED and not self.stopped.is_set():
            with self.engine.connect() as connection:
                ((upto, rows),) = fetch(connection, stored.part(first=first), {"after": after})
                if not rows:
                    break
                execute(connection, _LOOK_UP if stored.by_index else _READ_ALL, {})
                values = {"after": after, "upto": upto, "since": since}
                wrong = fetch(connection, stored.unmatched(first=first), values)
            found += [Unmatched(what, stored.message) for (what,) in wrong]
            self._went_on(rows)
            first, after = False, upto
        return found

    def _went_on(self, rows: int) -> None:
        with self._counting:
            self.done += rows
            self.progress(min(self.done, self.total), self.total)
