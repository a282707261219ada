"""What became of a request, and the CloudEvent that says so (DESIGN 5)."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from models.entries import place_of
from policy.halts import Halt

OUTCOME_SOURCE = "andon"


class Identity(NamedTuple):
    """``(source, id)``: what tells one request from another."""

    source: str
    id: str


class Outcome(NamedTuple):
    """The end of one request: done with its result, or halted with its halt.

    A message that could not prove who sent it has no identity; it is told by its intake entry.

    Attributes:
        entry: the intake entry that was decided, by its name inside (``models.entries``).
        body: the result of a done request; of a halted one ``{id, reason, message, errors}``.
        decided_at: when; with the entry it makes the outcome event's id.
    """

    identity: Identity | None
    entry: str
    procedure: str | None
    halted: bool
    body: Mapping[str, Any]
    decided_at: datetime

    @property
    def data(self) -> dict[str, Any]:
        """The ``data`` of the outcome event, which ``andon send --wait`` prints."""
        request: dict[str, Any]
        if self.identity is None:
            request = {"entry": place_of(self.entry)}
        else:
            request = {"source": self.identity.source, "id": self.identity.id}
        word, key = ("halted", "halt") if self.halted else ("done", "result")
        return {
            "request": request,
            "procedure": self.procedure,
            "outcome": word,
            key: self.body,
        }

    def event(self) -> bytes:
        """The outcome as a CloudEvent: ``andon.request.done`` or ``andon.request.halted``.

        Its extension ``entry`` names the intake entry that was decided, which tells the outcomes
        of two messages with one identity apart; a duplicate's outcome names the first one's.
        Its id is made of that entry, whatever its message says of itself, and of the time: another
        outcome has another one, and an outcome that is published again has the same.
        """
        return orjson.dumps(
            {
                "specversion": "1.0",
                "id": f"{self.entry}@{_written(self.decided_at)}",
                "source": OUTCOME_SOURCE,
                "type": "andon.request.halted" if self.halted else "andon.request.done",
                "time": self.decided_at,
                "datacontenttype": "application/json",
                "entry": place_of(self.entry),
                "data": self.data,
            },
            option=orjson.OPT_UTC_Z,
        )


@lru_cache(maxsize=64)
def _written(moment: datetime) -> str:
    """How an event's id tells the time, which all outcomes of a batch tell alike."""
    return f"{moment.timestamp():.6f}"


def halt_body(halt_id: int, halt: Halt) -> dict[str, Any]:
    """How a halt is told in an outcome and kept in the ledger."""
    return {
        "id": str(halt_id),
        "reason": str(halt.reason),
        "message": halt.message,
        "errors": [{"path": error.path, "message": error.message} for error in halt.errors],
    }
