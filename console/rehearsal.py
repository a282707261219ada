"""Dry runs: what would be decided, with the sentence of the policy behind it, and no effect."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Generic, TypeVar, assert_never

from console.database import database
from models.chunks import chunks
from models.deliveries import Delivery
from models.registry import Registry
from models.tables import Door
from policy.explanations import EXPLANATIONS
from policy.halts import Halt
from producers.signed import SignedEvent
from tasks.decisions import Done, Wait
from tasks.rehearse import Rehearsal, last_look
from tasks.verdicts import Verdict
from worker.settings import Settings

_AT_ONCE = 300

_Subject = TypeVar("_Subject")

_REPEATED = (
    "Design, section 5: \"with the same hash it is a duplicate and gets the first one's outcome,"
    ' published again."'
)


@dataclass(slots=True)
class DryRun(Generic[_Subject]):
    """Rehearses signed events, each for a subject of the caller's."""

    rehearsal: Rehearsal
    _entries: Iterator[int] = field(default_factory=count, init=False)
    _waiting: list[tuple[_Subject, Delivery]] = field(default_factory=list, init=False)

    def decisions(
        self, events: Iterable[tuple[_Subject, SignedEvent]]
    ) -> Iterator[tuple[_Subject, dict[str, Any]]]:
        """What would be decided about each: in order, but those that would wait come last.

        A decision is ``done`` with its result, ``halted`` with its halt, or ``duplicate``, each
        with the ``policy`` it rests on.
        """
        rest = ((subject, self._delivery(event)) for subject, event in events)
        for batch in chunks(rest, _AT_ONCE):
            yield from self._decide(batch, final=False)
        waiting = ((subject, last_look(delivery)) for subject, delivery in self._waiting)
        for batch in chunks(waiting, _AT_ONCE):
            yield from self._decide(batch, final=True)

    def _decide(
        self, batch: list[tuple[_Subject, Delivery]], *, final: bool
    ) -> Iterator[tuple[_Subject, dict[str, Any]]]:
        deliveries = [delivery for _, delivery in batch]
        verdicts = self.rehearsal.rehearse(deliveries, now=datetime.now(UTC))
        for (subject, delivery), verdict in zip(batch, verdicts, strict=True):
            if isinstance(verdict.decision, Wait):
                self._waiting.append((subject, delivery))
            else:
                waited = {"waited": True} if final else {}
                yield subject, decision_of(verdict) | waited

    def _delivery(self, event: SignedEvent) -> Delivery:
        return Delivery(
            entry=f"dry-run/{next(self._entries)}",
            door=Door.INTAKE,
            event=event.event,
            key_id=event.key_id,
            signature=event.signature,
            received_at=datetime.now(UTC),
        )


def decision_of(verdict: Verdict) -> dict[str, Any]:
    """What would be decided, as it is printed."""
    message = verdict.claim.message
    told: dict[str, Any] = {
        "request": message.identity._asdict() if message.identity else None,
        "procedure": message.procedure.name if message.procedure else None,
    }
    match verdict.decision:
        case Done(result=result):
            assert message.procedure is not None
            told |= {"decision": "done", "result": {k: _new(v) for k, v in result.items()}}
            told["policy"] = message.procedure.grounds
        case Halt() as halt:
            errors = [{"path": one.path, "message": one.message} for one in halt.errors]
            told |= {"decision": "halted"}
            told["halt"] = {"reason": halt.reason, "message": halt.message, "errors": errors}
            told["policy"] = EXPLANATIONS[halt.reason].policy
        case None:
            first = verdict.outcome
            told |= {"decision": "duplicate", "policy": _REPEATED}
            if first is not None:
                told |= {"of": first.data}
        case Wait():
            raise AssertionError("those that wait are looked at again")
        case _:
            assert_never(verdict.decision)
    return told


def _new(value: object) -> object:
    """The number that a new row has in a dry run, as what it is: no number yet."""
    if isinstance(value, str) and value.startswith("-") and value[1:].isdigit():
        return f"new{value}"
    return value


@contextmanager
def rehearsing(settings: Settings, registry: Registry) -> Iterator[Rehearsal]:
    """A rehearsal by the worker's rules, on its database, with no more than its rights to read.

    Raises:
        Failure: PostgreSQL does not answer, or the database is not set up.
    """
    with database(settings.database_url.get_secret_value()) as engine:
        yield Rehearsal(engine, registry, settings.rules)
