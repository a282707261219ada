"""The traffic of a run, made up from a seed, and what must come of each message.

Whatever is made up here has one right outcome, in whichever order and however often it is decided:
follow-ups name their report by its id, only the last one of a source closes an incident, and what
refers to a report that halts must halt too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import count
from random import Random
from typing import Any

from tests.support.requests import communication, escalation, report, update

DEADLY_EXIT, DEADLY_SIGNAL = "poison: hard exit", "poison: segmentation fault"
"""Titles of reports that kill the process that decides them; see ``tampering``."""

DONE = "done"
_SPREAD = 12
"""About how many other messages come between two of the same story."""


class Nature(StrEnum):
    """What kind of message it is."""

    GENUINE = "genuine"
    FORGED = "forged"
    """Signed with a key that is not the source's."""
    MALFORMED = "malformed"
    """No JSON."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One message, before it has bytes.

    Attributes:
        key: tells it from all other messages of the run.
        id: of the request; two rivals have the same one, and other inputs.
        expected: ``done``, or the reason it must halt for.
        report: the id of the report that it refers to, or that it is.
        dedup_key: reports that share one open one incident together.
        last_status: the status it leaves its incident in, if no later one names another.
        times: how often it is published on purpose.
    """

    key: str
    id: str
    procedure: str
    data: Mapping[str, Any]
    expected: str = DONE
    nature: Nature = Nature.GENUINE
    report: str | None = None
    dedup_key: str | None = None
    last_status: str | None = None
    times: int = 1


Story = Sequence[Planned]


@dataclass(slots=True)
class Teller:
    """Makes up the stories of one producer; *prefix* is what its ids begin with."""

    rng: Random
    prefix: str
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def new_id(self) -> str:
        """An id that no other message of the run has."""
        return f"{self.prefix}{next(self._numbers):06}"

    def report(self, **changes: Any) -> Planned:
        """A report that is done."""
        new = self.new_id()
        data = report(title=f"Incident {new}", category=self.rng.choice(_CATEGORIES), **changes)
        again = self.rng.random() < 0.1
        return Planned(
            new, new, "report_incident", data, report=new, last_status="open", times=1 + again
        )

    def follow_up(
        self, procedure: str, data: Mapping[str, Any], of: Planned, **how: Any
    ) -> Planned:
        """Something that refers to *of*."""
        new = self.new_id()
        inputs = {**data, "incident_request": {"id": of.id}}
        again = self.rng.random() < 0.1
        return Planned(new, new, procedure, inputs, report=of.id, times=1 + again, **how)

    def incident(self) -> Story:
        """A report and what follows; now and then one of them comes before it."""
        first = self.report()
        told: list[Planned] = [first]
        statuses = iter(self.rng.choice(_CAREERS))
        for _ in range(self.rng.randint(0, 5)):
            match self.rng.choice(("update", "update", "escalation", "communication")):
                case "update":
                    told.append(self._update(first, next(statuses, None)))
                case "escalation":
                    data = escalation(incident_id=None, reason="It takes too long")
                    told.append(self.follow_up("submit_escalation", data, first))
                case _:
                    data = communication(incident_id=None)
                    told.append(self.follow_up("record_communication", data, first))
            if told[-1].last_status == "closed":
                break
        if len(told) > 1 and self.rng.random() < 0.2:
            told[0], told[1] = told[1], told[0]
        return told

    def note(self, first: Planned) -> Planned:
        """A note about a report's incident, which leaves it as it is."""
        data = update(incident_id=None, change_set=None, note="Looked into it")
        return self.follow_up("update_incident", data, first)

    def _update(self, first: Planned, status: str | None) -> Planned:
        changes = {"category": self.rng.choice(_CATEGORIES)} | (
            {"status": status} if status else {}
        )
        data = update(incident_id=None, change_set=changes, note="Looked into it")
        return self.follow_up("update_incident", data, first, last_status=status)

    def same_key(self) -> Story:
        """Reports under one dedup key, which is never closed."""
        key = f"key-{self.new_id()}"
        return [
            self._changed(self.report(dedup_key=key), dedup_key=key, last_status=None)
            for _ in range(self.rng.randint(2, 4))
        ]

    def faulty_report(self) -> Story:
        """A report that halts, and perhaps an update of the incident that it never opened."""
        reason, changes = self.rng.choice(_FAULTY_REPORTS)
        first = self._changed(self.report(**changes), expected=reason, last_status=None)
        return [first, *self._in_vain(first)]

    def _in_vain(self, first: Planned) -> Story:
        if self.rng.random() < 0.7:
            return []
        data = update(incident_id=None, note="In vain")
        return [self.follow_up("update_incident", data, first, expected="incident_not_found")]

    def faulty_follow_up(self) -> Story:
        """A sound report and something about it that halts."""
        reason, before, procedure, data = self.rng.choice(_FAULTY_FOLLOW_UPS)
        first = self.report(**before)
        first = self._changed(first, last_status=before.get("status", "open"))
        return [first, self.follow_up(procedure, data, first, expected=reason)]

    def unknown_procedure(self) -> Story:
        """A procedure that there is not."""
        new = self.new_id()
        return [Planned(new, new, "close_incident", {}, expected="unknown_procedure")]

    def rivals(self) -> Story:
        """Two requests with one id: whichever is decided first is done, the other one halts."""
        one = self._changed(self.report(), last_status=None)
        return [one, self._changed(one, key=f"{one.key}/rival", data=report(title="Rival"))]

    def foreign(self) -> Story:
        """A message that is no request, or that its source has not signed."""
        new = self.new_id()
        if self.rng.random() < 0.5:
            return [
                Planned(new, new, "report_incident", report(title=new), "unauthenticated",
                        Nature.FORGED)
            ]  # fmt: skip
        return [Planned(new, new, "none", {}, "malformed", Nature.MALFORMED)]

    def poison(self) -> Story:
        """A report that kills its process."""
        title = self.rng.choice((DEADLY_EXIT, DEADLY_SIGNAL))
        new = self.new_id()
        first = Planned(
            new, new, "report_incident", report(title=title), expected="worker_lost", report=new
        )
        return [first, *self._in_vain(first)]

    def repeated_report(self) -> Story:
        """A report that is published again and again."""
        return [self._changed(self.report(), times=self.rng.randint(2, 5))]

    @staticmethod
    def _changed(planned: Planned, **changes: Any) -> Planned:
        return replace(planned, **changes)


_CATEGORIES = ("performance", "outage", "network", "security")
_CAREERS = (
    ("investigating", "in_progress", "resolved", "closed"),
    ("investigating", "in_progress"),
    ("resolved", "closed"),
    ("in_progress",),
    (),
)
_OVER = {"resolution_timestamp": "2025-09-25T12:58:00Z"}

_FAULTY_REPORTS: Sequence[tuple[str, dict[str, Any]]] = (
    ("missing_input", {"impact_level": None}),
    ("invalid_input", {"impact_level": "huge"}),
    ("user_not_found", {"reporter_user_id": "nobody"}),
    ("user_inactive", {"reporter_user_id": "leaver"}),
    ("user_inactive", {"reporter_user_id": "holiday"}),
    ("not_authorized", {"reporter_user_id": "account"}),
    ("client_association", {"reporter_user_id": "acme-manager", "client_id": "globex"}),
    ("vendor_association", {"reporter_user_id": "netco-contact", "component_id": "database"}),
    ("client_not_found", {"client_id": "nobody"}),
    ("component_not_found", {"component_id": "nothing"}),
    ("severity_not_determined", {"severity_flags": None}),
    ("assignee_invalid", {"assigned_to_user_id": "leaver"}),
)
_FAULTY_FOLLOW_UPS: Sequence[tuple[str, dict[str, Any], str, dict[str, Any]]] = (
    ("incident_closed", {"status": "closed", **_OVER}, "update_incident",
     update(incident_id=None)),
    ("invalid_status", {"status": "resolved", **_OVER}, "update_incident",
     update(incident_id=None, change_set={"status": "open"})),
    ("version_conflict", {}, "update_incident", update(incident_id=None, expected_version=99)),
    ("not_authorized", {}, "update_incident",
     update(incident_id=None, updated_by_user="netco-contact")),
    ("target_user_invalid", {}, "submit_escalation",
     escalation(incident_id=None, escalated_to_user="boss")),
    ("sender_invalid", {}, "record_communication",
     communication(incident_id=None, sender_id="leaver")),
    ("recipient_invalid", {}, "record_communication",
     communication(incident_id=None, recipient_id="globex-contact")),
)  # fmt: skip


Telling = Callable[[Teller], Story]

EVERYTHING: Mapping[Telling, int] = {
    Teller.incident: 50,
    Teller.same_key: 5,
    Teller.faulty_report: 14,
    Teller.faulty_follow_up: 8,
    Teller.unknown_procedure: 2,
    Teller.rivals: 5,
    Teller.foreign: 6,
    Teller.repeated_report: 5,
}
"""How often each story is told, in proportion."""

THROUGH_THE_GATEWAY: Mapping[Telling, int] = {
    Teller.incident: 50,
    Teller.same_key: 5,
    Teller.faulty_follow_up: 8,
    Teller.rivals: 5,
    Teller.repeated_report: 5,
}
"""What the gateway does not refuse: it looks at signatures and inputs before it publishes."""

THROUGH_THE_IMPORTER: Mapping[Telling, int] = {
    Teller.incident: 50,
    Teller.same_key: 5,
    Teller.faulty_follow_up: 8,
}
"""What a file may hold: no row twice, and none that the mapping refuses."""

REPORTS_ONLY: Mapping[Telling, int] = {Teller.repeated_report: 1}
"""Reports that are done, each published several times."""


def plan(
    seed: int,
    producer: int,
    requests: int,
    *,
    poison: int = 0,
    stories: Mapping[Telling, int] = EVERYTHING,
    prefix: str | None = None,
) -> list[Planned]:
    """What one producer publishes, in this order; what comes several times stands there so often.

    Args:
        seed: of the run.
        producer: its number.
        requests: how many messages, at least; the last story is told to its end.
        poison: how many of them kill their process.
        stories: which are told, and how often.
        prefix: of all ids, instead of one by the producer's number.
    """
    rng = Random(f"{seed}/{producer}")  # noqa: S311  # a seed is the point
    teller = Teller(rng, f"p{producer}-" if prefix is None else prefix)
    tellings, weights = list(stories), list(stories.values())
    told = [teller.poison() for _ in range(poison)]
    published = 0
    while published < requests:
        told.append(rng.choices(tellings, weights)[0](teller))
        published += sum(planned.times for planned in told[-1])
    rng.shuffle(told)
    return _interleaved(told, rng)


def _interleaved(stories: Sequence[Story], rng: Random) -> list[Planned]:
    """All stories at once, each in its own order, repetitions some time later."""
    placed: list[tuple[float, int, Planned]] = []
    start, numbers = 0.0, count()
    for story in stories:
        place = start
        for planned in story:
            again = place
            for _ in range(planned.times):
                placed.append((again, next(numbers), planned))
                again += rng.uniform(0, 3 * _SPREAD)
            place += rng.uniform(0, _SPREAD)
        start += sum(planned.times for planned in story)
    return [planned for _, _, planned in sorted(placed, key=lambda each: each[:2])]
