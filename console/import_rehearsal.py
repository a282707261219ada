"""The dry run of an import: what would become of each row, with nothing published or written."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from console.rehearsal import DryRun
from policy.explanations import EXPLANATIONS
from policy.halts import Reason
from producers.client import Client
from producers.imports.importing import sign
from producers.imports.planning import Planner, Publication, faults_of
from producers.imports.results import Results, RowOutcome, RowResult
from producers.imports.rows import BrokenRow, Row, row_chunks
from producers.signed import SignedEvent
from tasks.rehearse import Rehearsal


def rehearse_rows(
    rows: Iterable[Row | BrokenRow],
    planner: Planner,
    client: Client,
    ledger: Connection,
    rehearsal: Rehearsal,
    results: Results,
) -> Iterator[int]:
    """Note in *results* what would become of each row; yields how many more are noted."""

    def to_publish() -> Iterator[tuple[Publication, SignedEvent]]:
        for chunk in row_chunks(rows):
            for planned in planner.plan(ledger, chunk):
                signed = planned if isinstance(planned, RowResult) else sign(client, planned)
                if isinstance(signed, RowResult):
                    results.add(_with_policy(signed))
                elif isinstance(planned, Publication):
                    yield planned, signed

    noted = 0
    for planned, decision in DryRun[Publication](rehearsal).decisions(to_publish()):
        results.add(_result(planned, decision))
        yield len(results) - noted
        noted = len(results)
    yield len(results) - noted


def _result(planned: Publication, decision: Mapping[str, Any]) -> RowResult:
    request = planned.request
    ended = RowResult(
        request.row,
        request.kind.name,
        planned.id,
        RowOutcome(decision["decision"]),
        result=decision.get("result", {}),
        policy=decision["policy"],
    )
    if (halt := decision.get("halt")) is None:
        return ended
    return replace(
        ended,
        reason=halt["reason"],
        message=halt["message"],
        faults=faults_of(request.kind, halt["errors"]),
    )


def _with_policy(result: RowResult) -> RowResult:
    """What is known already of a row, with what that rests on."""
    if result.reason not in set(Reason):
        return result
    return replace(result, policy=EXPLANATIONS[Reason(result.reason)].policy)
