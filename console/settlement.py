"""Which outcome belongs to which line of a file that was sent."""

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from console.request_lines import Line
from models.outcomes import Identity
from policy.halts import Reason
from producers.outcomes import PublishedOutcome


@dataclass(slots=True)
class Sent:
    """A line that was published, and its outcome once that is known."""

    line: Line
    entry: str
    outcome: dict[str, Any] | None = None

    @property
    def request(self) -> dict[str, str]:
        """How the line is told to the one who sent it."""
        identity = self.line.signed.identity
        return {"entry": self.entry} if identity is None else identity._asdict()


@dataclass(slots=True)
class Settlement:
    """Gives every line its outcome, and the outcomes in the order of the lines.

    An outcome that names a line's own entry is that line's, and that of every line which repeats
    it. One that names an entry of long ago belongs to the lines that repeat that one: to those that
    are left when lines with the same identity, but another body, have got their halts.
    """

    _queue: deque[Sent] = field(default_factory=deque, init=False)
    _by_entry: dict[str, Sent] = field(default_factory=dict, init=False)
    _unsettled: dict[Identity, dict[bytes, list[Sent]]] = field(
        default_factory=lambda: defaultdict(dict), init=False
    )
    _earlier: dict[Identity, dict[str, Any]] = field(default_factory=dict, init=False)

    def add(self, sent: Sent) -> None:
        """A line was published."""
        self._queue.append(sent)
        self._by_entry[sent.entry] = sent
        if (identity := sent.line.signed.identity) is not None:
            self._unsettled[identity].setdefault(sent.line.body, []).append(sent)

    def take(self, outcome: PublishedOutcome) -> None:
        """An outcome was published, ours or somebody else's."""
        own = self._by_entry.get(outcome.entry)
        if own is not None:
            own.outcome = own.outcome or outcome.data
        if outcome.identity is None:
            return
        if own is not None:
            self._settle(outcome.identity, own.line.body, outcome.data)
        elif outcome.identity in self._unsettled and not _is_conflict(outcome):
            self._earlier[outcome.identity] = outcome.data
        self._settle_by_earlier(outcome.identity)

    def _settle_by_earlier(self, identity: Identity) -> None:
        bodies = self._unsettled.get(identity, {})
        if identity in self._earlier and len(bodies) == 1:
            self._settle(identity, next(iter(bodies)), self._earlier[identity])

    def _settle(self, identity: Identity, body: bytes, outcome: dict[str, Any]) -> None:
        bodies = self._unsettled.get(identity, {})
        for sent in bodies.pop(body, ()):
            sent.outcome = sent.outcome or outcome
        if not bodies:
            self._unsettled.pop(identity, None)

    def in_order(self) -> Iterator[dict[str, Any]]:
        """The outcomes that are next in the order of the lines, each once."""
        while self._queue and (outcome := self._queue[0].outcome) is not None:
            self._queue.popleft()
            yield outcome

    def behind(self) -> Iterator[dict[str, Any]]:
        """The outcomes that are held back by lines without one, in order."""
        return (sent.outcome for sent in self._queue if sent.outcome is not None)

    @property
    def missing(self) -> list[Sent]:
        """The lines that have no outcome, in order."""
        return [sent for sent in self._queue if sent.outcome is None]

    @property
    def is_complete(self) -> bool:
        """Whether every line has its outcome and was given out."""
        return not self._queue


def _is_conflict(outcome: PublishedOutcome) -> bool:
    halt = outcome.data.get("halt")
    return halt is not None and halt["reason"] == Reason.IDEMPOTENCY_CONFLICT
