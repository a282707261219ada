"""Gather: the facts of a whole batch, in a few set-based queries.

Locks are taken in the order of DESIGN 7: dedup keys, incidents, then escalations and
communications, each sorted. Facts are read anew for each batch, so who was deactivated after
publishing is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from models.dedup import DedupKey, lock_dedup_keys, read_dedup_keys
from models.incidents import dedup_keys_of, incidents_of
from models.inputs import (
    ChangeCommunication,
    ChangeEscalation,
    IncidentReference,
    Inputs,
    ReportIncident,
    UpdateIncident,
)
from models.ledger import LedgerRow
from models.outcomes import Identity
from models.people import read_clients, read_components, read_users
from models.row_tables import COMMUNICATIONS, ESCALATIONS, INCIDENTS
from models.sql import new_ids
from tasks.facts import Facts, Reported, Rows, report_identity
from tasks.requests import Request
from tasks.rules import Rules


@dataclass(slots=True)
class Wanted:
    """Which rows the requests of a batch name."""

    users: set[str] = field(default_factory=set)
    clients: set[str] = field(default_factory=set)
    components: set[str] = field(default_factory=set)
    dedup_keys: set[DedupKey] = field(default_factory=set)
    read: set[int] = field(default_factory=set)
    change: set[int] = field(default_factory=set)
    reopen: set[int] = field(default_factory=set)
    escalations: set[int] = field(default_factory=set)
    communications: set[int] = field(default_factory=set)
    new: dict[str, int] = field(default_factory=dict)


def gather(
    connection: Connection,
    requests: Sequence[Request[Inputs]],
    reports: Mapping[Identity, LedgerRow],
    rules: Rules,
    *,
    to_write: bool = True,
) -> Facts:
    """Load everything that the decisions on *requests* may ask, and lock what they may change.

    With *to_write* unset nothing is locked, and no ids are drawn for new rows.
    """
    wanted = Wanted()
    for request in requests:
        _note(request, reports, wanted)
    wanted.dedup_keys |= dedup_keys_of(connection, wanted.reopen)
    wanted.read |= incidents_of(
        connection, escalations=wanted.escalations, communications=wanted.communications
    )

    keys = (lock_dedup_keys if to_write else read_dedup_keys)(connection, wanted.dedup_keys)
    wanted.change |= {state.incident_id for state in keys.values() if state.incident_id is not None}
    early_updates = {key: early for key, (_, early) in keys.items() if early is not None}
    wanted.users |= {early.updated_by_user for early in early_updates.values()}
    incidents = INCIDENTS.read(connection, wanted.change, lock=to_write)
    incidents |= INCIDENTS.read(connection, wanted.read - wanted.change)
    components = wanted.components | {incident.component_id for incident in incidents.values()}
    return Facts(
        rules=rules,
        incidents=Rows(incidents),
        escalations=Rows(ESCALATIONS.read(connection, wanted.escalations, lock=to_write)),
        communications=Rows(COMMUNICATIONS.read(connection, wanted.communications, lock=to_write)),
        users=read_users(connection, wanted.users),
        clients=read_clients(connection, wanted.clients),
        components=read_components(connection, components),
        reports={identity: Reported.by(row) for identity, row in reports.items()},
        newest={key: state.incident_id for key, state in keys.items()},
        early_updates=early_updates,
        ids={
            table: iter(ids)
            for table, ids in (new_ids(connection, wanted.new) if to_write else {}).items()
        },
    )


def _note(request: Request[Inputs], reports: Mapping[Identity, LedgerRow], wanted: Wanted) -> None:
    inputs = request.inputs
    wanted.users.update(user for user in inputs.users() if user is not None)
    wanted.clients.update(inputs.clients())
    wanted.components.update(inputs.components())
    if inputs.OPENS is not None:
        wanted.new[inputs.OPENS] = wanted.new.get(inputs.OPENS, 0) + 1
    match inputs:
        case ReportIncident(dedup_key=str(key)):
            wanted.dedup_keys.add(DedupKey(request.source, key))
        case ChangeEscalation():
            wanted.escalations.add(inputs.escalation_id)
        case ChangeCommunication():
            wanted.communications.add(inputs.communication_id)
        case IncidentReference():
            _note_incident(request, inputs, reports, wanted)
        case _:
            pass


def _note_incident(
    request: Request[Inputs],
    inputs: IncidentReference,
    reports: Mapping[Identity, LedgerRow],
    wanted: Wanted,
) -> None:
    if inputs.incident_dedup_key is not None:
        wanted.dedup_keys.add(DedupKey(request.source, inputs.incident_dedup_key))
        return
    number = inputs.incident_id
    if inputs.incident_request is not None:
        row = reports.get(report_identity(request.source, inputs))
        number = row.incident_id if row else None
    if number is None:
        return
    if inputs.CHANGES_INCIDENT:
        wanted.change.add(number)
        if isinstance(inputs, UpdateIncident) and inputs.names_status():
            wanted.reopen.add(number)
    else:
        wanted.read.add(number)
