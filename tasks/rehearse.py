"""Rehearse: what would be decided about requests, with nothing written, locked or published.

The same steps as in ``tasks.pipeline.run``, up to the decisions, in transactions that may only
read: PostgreSQL itself refuses anything else. What the rehearsed requests would have done is
remembered, so that a later one sees it, as if it had been.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import TypeVar

from sqlalchemy import Engine

from models.deliveries import Delivery
from models.outcomes import Identity
from models.registry import Registry
from tasks.claim import Claim, Standing, claim, is_to_decide
from tasks.decisions import Wait
from tasks.decode import Gate, decode
from tasks.facts import Facts
from tasks.gather import gather
from tasks.requests import Request
from tasks.rules import Rules
from tasks.verdicts import Verdict, decide

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(slots=True)
class Rehearsal:
    """Rehearses requests, a batch at a time and in order.

    New rows get numbers below zero, the first one -1.
    """

    engine: Engine
    registry: Registry
    rules: Rules
    _facts: Facts = field(init=False)
    _decided: dict[Identity, bytes | None] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._facts = Facts(self.rules, ids=defaultdict(lambda: count(-1, -1)))

    def rehearse(self, deliveries: Sequence[Delivery], *, now: datetime) -> list[Verdict]:
        """What would be decided about *deliveries*, after those of earlier calls.

        A request that refers to a report which is not known yet would wait; it may be rehearsed
        again when all others have been, with its delivery's ``last_look`` set.
        """
        gate = Gate(self.registry, now)
        messages = [decode(delivery, gate) for delivery in deliveries]
        with self.engine.connect() as connection:
            connection.execution_options(postgresql_readonly=True)
            claims, reports = claim(connection, messages)
            claims = [self._as_rehearsed(each) for each in claims]
            requests = [
                each.message
                for each in claims
                if is_to_decide(each) and isinstance(each.message, Request)
            ]
            self._learn(gather(connection, requests, reports, self.rules, to_write=False))
        verdicts = decide(claims, self._facts)
        for verdict in verdicts:
            self._note(verdict)
        self._forget()
        return verdicts

    def _as_rehearsed(self, found: Claim) -> Claim:
        """How a message stands when what was rehearsed before has happened."""
        identity = found.message.identity
        if identity not in self._decided or found.standing is not Standing.FRESH:
            return found
        same = self._decided[identity] == found.message.body_hash
        return found._replace(standing=Standing.DUPLICATE if same else Standing.CONFLICT)

    def _learn(self, gathered: Facts) -> None:
        """Take in what the database knows, but where a rehearsed request has changed it since."""
        facts = self._facts
        known = facts.users
        actors = {early.updated_by_user for early in facts.early_updates.values()}
        facts.users = {
            **{actor: known[actor] for actor in actors & known.keys()},
            **gathered.users,
        }
        facts.clients = gathered.clients
        facts.components = {**facts.components, **gathered.components}
        _add(gathered.reports, facts.reports)
        _add(gathered.newest, facts.newest)
        _add(gathered.early_updates, facts.early_updates)
        _add(gathered.incidents, facts.incidents)
        _add(gathered.escalations, facts.escalations)
        _add(gathered.communications, facts.communications)

    def _note(self, verdict: Verdict) -> None:
        message = verdict.claim.message
        decided = verdict.decision is not None and not isinstance(verdict.decision, Wait)
        if decided and message.identity is not None:
            self._decided.setdefault(message.identity, message.body_hash)

    def _forget(self) -> None:
        """Drop what was to be written, and what no later request can name for want of a number."""
        facts = self._facts
        facts.incidents.settle()
        facts.escalations.settle(keep_opened=False)
        facts.communications.settle(keep_opened=False)
        facts.history.clear()
        facts.repointed.clear()
        facts.remembering.clear()


def _add(found: Mapping[_Key, _Value], known: dict[_Key, _Value]) -> None:
    for key, value in found.items():
        known.setdefault(key, value)


def last_look(delivery: Delivery) -> Delivery:
    """The delivery of a request that has waited long enough."""
    return delivery._replace(last_look=True)
