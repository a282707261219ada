"""Decide: one verdict for each message of a batch, in the order they came."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, assert_never

from models.outcomes import Identity, Outcome, halt_body
from policy.halts import Halt, Reason
from policy.procedures import REPORT_INCIDENT
from tasks.claim import Claim, Standing
from tasks.decisions import Decision, Done, Wait
from tasks.facts import NO_INCIDENT, Facts, Reported
from tasks.procedures import DECIDE
from tasks.requests import Refused

_CONFLICT = Halt(
    Reason.IDEMPOTENCY_CONFLICT,
    "Another request with this source and id, but with other content, came before.",
)


class Verdict(NamedTuple):
    """What becomes of one message.

    Attributes:
        decision: None where nothing is decided: a duplicate, a redelivery, or not ours any more.
        outcome: what is published; None while the request waits.
        halt_id: the number of its halt.
    """

    claim: Claim
    decision: Decision | None
    outcome: Outcome | None = None
    halt_id: int | None = None

    @property
    def is_new(self) -> bool:
        """Whether this delivery is dealt with for the first time, and so recorded and counted."""
        if self.claim.message.delivery.waiting and isinstance(self.decision, Wait):
            return False
        return self.claim.standing not in (Standing.REDELIVERED, Standing.ELSEWHERE)


def decide(claims: Sequence[Claim], facts: Facts) -> list[Verdict]:
    """Decide each message; what one does, the next one sees."""
    verdicts = []
    for claim in claims:
        decision = _decide(claim, facts)
        if isinstance(decision, Done):
            facts.apply(decision.rows)
        _remember_report(claim, decision, facts)
        verdicts.append(Verdict(claim, decision, claim.outcome))
    return verdicts


def _decide(claim: Claim, facts: Facts) -> Decision | None:
    message = claim.message
    match claim.standing:
        case Standing.FRESH | Standing.REPLAY:
            if isinstance(message, Refused):
                return message.halt
            return DECIDE[message.procedure.name](message, facts)
        case Standing.CONFLICT:
            return message.halt if isinstance(message, Refused) else _CONFLICT
        case Standing.DUPLICATE | Standing.REDELIVERED | Standing.ELSEWHERE:
            return None
        case _:
            assert_never(claim.standing)


def _remember_report(claim: Claim, decision: Decision | None, facts: Facts) -> None:
    """So that the rest of the batch can refer to it."""
    identity = claim.message.identity
    if identity is None or claim.standing is Standing.CONFLICT:
        return
    if isinstance(decision, Done) and claim.message.procedure is REPORT_INCIDENT:
        facts.reports[identity] = Reported(int(decision.result["incident_id"]))
    elif isinstance(decision, (Done, Halt)):
        facts.reports[identity] = NO_INCIDENT


def halted(verdicts: Iterable[Verdict]) -> int:
    """How many halts the verdicts need numbers for."""
    return sum(isinstance(verdict.decision, Halt) for verdict in verdicts)


def conclude(
    verdicts: Sequence[Verdict], halt_ids: Iterable[int], *, now: datetime
) -> list[Verdict]:
    """Give every verdict its outcome, and every halt its number."""
    numbers = iter(halt_ids)
    concluded: list[Verdict] = []
    for verdict in verdicts:
        match verdict.decision:
            case Done(result=result):
                outcome = _outcome(verdict, halted=False, body=result, now=now)
                verdict = Verdict(verdict.claim, verdict.decision, outcome)
            case Halt() as halt:
                number = next(numbers)
                outcome = _outcome(verdict, halted=True, body=halt_body(number, halt), now=now)
                verdict = Verdict(verdict.claim, halt, outcome, number)
            case None if verdict.claim.first is not None:
                verdict = verdict._replace(outcome=concluded[verdict.claim.first].outcome)
            case Wait() | None:
                pass
        concluded.append(verdict)
    return concluded


def _outcome(verdict: Verdict, *, halted: bool, body: Mapping[str, Any], now: datetime) -> Outcome:
    message = verdict.claim.message
    identity: Identity | None = message.identity
    return Outcome(
        identity=identity,
        entry=message.delivery.entry,
        procedure=message.procedure.name if message.procedure else None,
        halted=halted,
        body=body,
        decided_at=now,
    )
