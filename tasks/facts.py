"""The facts of a batch: what the database knew when it began, and what its requests made of it.

A decision's rows are applied here at once, so the next request of the batch sees them. Nothing is
written before the whole batch is decided (``tasks.write``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar, assert_never

from models.dedup import DedupKey
from models.inputs import IncidentReference
from models.ledger import LedgerRow
from models.outcomes import Identity
from models.people import Component
from models.rows import Communication, EarlyUpdate, Escalation, Incident, IncidentUpdate, Row
from policy.halts import Halt, InputError, Reason
from policy.lifecycle import is_open
from policy.people import Scope, User
from tasks.decisions import Wait
from tasks.requests import Request
from tasks.rules import Rules

T = TypeVar("T")


class Reported(NamedTuple):
    """What became of a report: the incident it opened or joined, None when it was halted."""

    incident_id: int | None

    @classmethod
    def by(cls, row: LedgerRow) -> "Reported":
        """As the ledger has it."""
        return cls(row.incident_id)


NO_INCIDENT = Reported(None)


class Rows(dict[int, T]):
    """The rows of one table by their numbers, as the batch has left them by now.

    Attributes:
        opened: the numbers of those that are new.
        changed: the numbers of those that the database has otherwise.
    """

    def __init__(self, found: Mapping[int, T] | None = None) -> None:
        super().__init__(found or {})
        self.opened: set[int] = set()
        self.changed: set[int] = set()

    def put(self, number: int, row: T) -> None:
        """Let a row be like this from now on."""
        if number not in self:
            self.opened.add(number)
        elif number not in self.opened:
            self.changed.add(number)
        self[number] = row

    def settle(self, *, keep_opened: bool = True) -> None:
        """Begin anew from how they are; without those that are new, unless they are kept."""
        if not keep_opened:
            for number in self.opened:
                del self[number]
        self.opened.clear()
        self.changed.clear()


@dataclass(slots=True)
class Facts:
    """Everything that the decisions of one batch may ask.

    Attributes:
        reports: by identity, what became of reports that requests of the batch refer to.
        newest: by dedup key, the incident opened last under it.
        early_updates: by dedup key, the latest update that found nothing open under it.
        ids: by table, ids for new rows.
        repointed: dedup keys that name another incident now.
        remembering: dedup keys with another early update now.
    """

    rules: Rules
    users: Mapping[str, User] = field(default_factory=dict)
    clients: frozenset[str] = frozenset()
    components: Mapping[str, Component] = field(default_factory=dict)
    reports: dict[Identity, Reported] = field(default_factory=dict)
    newest: dict[DedupKey, int | None] = field(default_factory=dict)
    early_updates: dict[DedupKey, EarlyUpdate] = field(default_factory=dict)
    incidents: Rows[Incident] = field(default_factory=Rows)
    escalations: Rows[Escalation] = field(default_factory=Rows)
    communications: Rows[Communication] = field(default_factory=Rows)
    ids: Mapping[str, Iterator[int]] = field(default_factory=dict)
    history: list[IncidentUpdate] = field(default_factory=list)
    repointed: set[DedupKey] = field(default_factory=set)
    remembering: set[DedupKey] = field(default_factory=set)

    def user(self, user_id: str | None) -> User | None:
        """The user of this id; None when there is none."""
        return None if user_id is None else self.users.get(user_id)

    def scope(self, incident: Incident) -> Scope:
        """Whom an incident concerns: its client, and who supports its component's product."""
        component = self.components.get(incident.component_id)
        return Scope(incident.client_id, component.vendor_id if component else None)

    def incident(self, request: Request[IncidentReference]) -> Incident | Wait | Halt:
        """The incident that a request refers to, by whichever of the three ways."""
        reference = request.inputs
        if reference.incident_id is not None:
            incident = self.incidents.get(reference.incident_id)
            return incident or _not_found("incident_id", "names no incident")
        if reference.incident_dedup_key is not None:
            key = DedupKey(request.source, reference.incident_dedup_key)
            return self.newest_under(key) or _not_found(
                "incident_dedup_key", "names no incident of this source"
            )
        assert reference.incident_request is not None
        report = report_identity(request.source, reference)
        reported = self.reports.get(report)
        if reported is None:
            if not request.delivery.last_look:
                return Wait(report)
            return _not_found("incident_request", "names no report that has arrived")
        if reported.incident_id is None:
            return _not_found("incident_request", "names a request that opened no incident")
        return self.incidents[reported.incident_id]

    def newest_under(self, key: DedupKey | None) -> Incident | None:
        """The incident that its source opened last under *key*."""
        number = self.newest.get(key) if key else None
        return None if number is None else self.incidents[number]

    def new_id(self, table: str) -> int:
        """The id for a new row of *table*."""
        return next(self.ids[table])

    def apply(self, rows: tuple[Row, ...]) -> None:
        """Let the rest of the batch see what a request did."""
        for row in rows:
            match row:
                case Incident():
                    if row.dedup_key is not None and self._opens(row):
                        key = DedupKey(row.source, row.dedup_key)
                        self.newest[key] = row.incident_id
                        self.repointed.add(key)
                    self.incidents.put(row.incident_id, row)
                case IncidentUpdate():
                    self.history.append(row)
                case Escalation():
                    self.escalations.put(row.escalation_id, row)
                case Communication():
                    self.communications.put(row.communication_id, row)
                case EarlyUpdate():
                    key = DedupKey(row.source, row.dedup_key)
                    self.early_updates[key] = row
                    self.remembering.add(key)
                case _:
                    assert_never(row)

    def _opens(self, row: Incident) -> bool:
        """Whether an incident is opened, or opened again, so that its key names it from now on."""
        before = self.incidents.get(row.incident_id)
        return before is None or (is_open(row.status) and not is_open(before.status))


def report_identity(source: str, reference: IncidentReference) -> Identity:
    """Which report ``incident_request`` names; without a source, one of the same *source*."""
    named = reference.incident_request
    assert named is not None
    return Identity(named.source or source, named.id)


def _not_found(field_name: str, message: str) -> Halt:
    return Halt(
        Reason.INCIDENT_NOT_FOUND,
        f"{field_name} {message}.",
        (InputError(f"$.data.{field_name}", message),),
    )
