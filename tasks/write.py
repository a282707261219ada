"""Write: everything a batch decided, table by table, in the order of the locks (DESIGN 7)."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from models.attempts import end_alone
from models.dedup import keep_early_updates, point_dedup_keys
from models.duplicates import record_duplicates
from models.halts import NewHalt, settle_replayed, write_halts
from models.ledger import NewLedgerRow, forget_halted, write_ledger
from models.outbox import write_outbox
from models.outcomes import Identity
from models.row_tables import (
    COMMUNICATIONS,
    ESCALATIONS,
    INCIDENTS,
    R,
    RowTable,
    insert_history,
)
from models.tables import Door
from models.tallies import Tally, write_tally
from models.waiting import NewWaiting, delete_waiting, write_waiting
from policy.halts import Halt
from tasks.claim import Standing
from tasks.decisions import Done, Wait
from tasks.facts import Facts, Rows
from tasks.verdicts import Verdict


def write_effects(connection: Connection, facts: Facts) -> None:
    """Store what the decisions made of the incidents and what belongs to them."""
    _store(connection, INCIDENTS, facts.incidents)
    _store(connection, ESCALATIONS, facts.escalations)
    _store(connection, COMMUNICATIONS, facts.communications)
    insert_history(connection, facts.history)
    keep_early_updates(connection, [facts.early_updates[key] for key in facts.remembering])
    changed = {key: facts.newest[key] for key in facts.repointed}
    point_dedup_keys(
        connection,
        {key: number for key, number in changed.items() if number is not None},
        [key for key, number in facts.newest.items() if number is None],
    )


def _store(connection: Connection, table: RowTable[R], rows: Rows[R]) -> None:
    table.insert(connection, [rows[number] for number in sorted(rows.opened)])
    table.update(connection, [rows[number] for number in sorted(rows.changed)])


def write_verdicts(connection: Connection, verdicts: Sequence[Verdict], *, now: datetime) -> None:
    """Store what became of each request.

    Waiting, halts, outbox, tallies, duplicates and, last, the ledger.
    """
    new = [verdict for verdict in verdicts if verdict.is_new]
    write_waiting(connection, [_waiting(verdict, now) for verdict in _with(new, Wait)])
    delete_waiting(
        connection, [v.claim.message.delivery.entry for v in verdicts if _has_waited_enough(v)]
    )
    write_halts(connection, [_halt(verdict, now) for verdict in _with(new, Halt)])
    replayed = [v.claim.known for v in new if v.claim.known is not None and _is_replayed(v)]
    settle_replayed(
        connection, [row.halt_id for row in replayed if row.halt_id is not None], now=now
    )
    write_outbox(
        connection,
        (v.outcome for v in new if v.claim.message.delivery.waiting and v.outcome is not None),
    )
    end_alone(
        connection, [v.claim.message.delivery.entry for v in verdicts if _may_have_run_alone(v)]
    )
    for door, tally in tallies(new).items():
        write_tally(connection, door, tally)
    record_duplicates(
        connection,
        [
            verdict.claim.message.delivery.entry
            for verdict in new
            if verdict.claim.standing is Standing.DUPLICATE
        ],
        now=now,
    )
    forget_halted(connection, replayed)
    write_ledger(connection, [_ledger_row(v) for v in new if _claims_identity(v)])


def tallies(verdicts: Sequence[Verdict]) -> dict[Door, Tally]:
    """By door, how many deliveries are done, halted and duplicates; those that wait are none."""
    found: defaultdict[Door, Counter[str]] = defaultdict(Counter)
    for verdict in verdicts:
        of_door = found[verdict.claim.message.delivery.door]
        if isinstance(verdict.decision, Done):
            of_door["done"] += 1
        elif isinstance(verdict.decision, Halt):
            of_door["halted"] += 1
        elif verdict.claim.standing is Standing.DUPLICATE:
            of_door["duplicates"] += 1
    return {door: Tally(**counts) for door, counts in found.items() if counts}


def _with(verdicts: Sequence[Verdict], kind: type) -> list[Verdict]:
    return [verdict for verdict in verdicts if isinstance(verdict.decision, kind)]


def _has_waited_enough(verdict: Verdict) -> bool:
    """Whether a request that waited is decided, now or by another delivery of its entry."""
    return (
        verdict.claim.message.delivery.waiting
        and verdict.claim.standing is not Standing.ELSEWHERE
        and not isinstance(verdict.decision, Wait)
    )


def _is_replayed(verdict: Verdict) -> bool:
    """Whether an operator's replay has come to its end; one that waits has not."""
    return verdict.claim.standing is Standing.REPLAY and not isinstance(verdict.decision, Wait)


def _may_have_run_alone(verdict: Verdict) -> bool:
    return verdict.claim.message.delivery.deliveries > 1


def _claims_identity(verdict: Verdict) -> bool:
    return (
        verdict.claim.standing in (Standing.FRESH, Standing.REPLAY)
        and verdict.claim.message.identity is not None
        and isinstance(verdict.decision, (Done, Halt))
    )


def _identity(verdict: Verdict) -> Identity:
    identity = verdict.claim.message.identity
    assert identity is not None
    return identity


def _waiting(verdict: Verdict, now: datetime) -> NewWaiting:
    message = verdict.claim.message
    assert isinstance(verdict.decision, Wait)
    assert message.body_hash is not None
    assert message.received_at is not None
    return NewWaiting(
        _identity(verdict),
        message.body_hash,
        message.delivery,
        message.received_at,
        now,
        verdict.decision.report,
    )


def _halt(verdict: Verdict, now: datetime) -> NewHalt:
    message = verdict.claim.message
    assert isinstance(verdict.decision, Halt)
    assert verdict.halt_id is not None
    return NewHalt(
        halt_id=verdict.halt_id,
        halt=verdict.decision,
        identity=message.identity,
        procedure=message.procedure.name if message.procedure else None,
        delivery=message.delivery,
        halted_at=now,
    )


def _ledger_row(verdict: Verdict) -> NewLedgerRow:
    message = verdict.claim.message
    assert message.body_hash is not None
    assert message.received_at is not None
    assert verdict.outcome is not None
    return NewLedgerRow(
        identity=_identity(verdict),
        body_hash=message.body_hash,
        outcome=verdict.outcome,
        halt_id=verdict.halt_id,
        event_time=message.event_time,
        received_at=message.received_at,
    )
