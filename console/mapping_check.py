"""What a mapping comes to: requests that may be run, for what and whom the directory has.

The worker proves all of it again where a request is run; here it is said beforehand.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy import Connection

from models.errors import input_errors
from models.inputs import ReportIncident, read_inputs
from models.people import read_clients, read_components, read_users
from models.registry import Registry, Source
from policy.authority import associate, authorize, check_assignee
from policy.people import Scope, User
from policy.procedures import PROCEDURES, REPORT_INCIDENT, Procedure
from producers.gateway.mapping import AlertMapping
from producers.gateway.translate import Translation

ACTORS = {procedure.actor: procedure for procedure in PROCEDURES.values()}


@dataclass(frozen=True, slots=True)
class IdCheck:
    """Whether the directory has what is named, and a user may do what they are named for.

    Attributes:
        input: the input that names it.
        fault: why not; None if it has, and they may.
    """

    input: str
    id: str
    fault: str | None


def contract_faults(translation: Translation) -> list[str]:
    """What the worker would find wrong with the inputs, before it asks the database."""
    if translation.unmapped is not None:
        return [translation.unmapped]
    try:
        read_inputs(translation.procedure, translation.data, now=translation.time)
    except ValidationError as error:
        return [f"{fault.path} {fault.message}" for fault in input_errors(error, "$.data")]
    return []


def check_ids(
    connection: Connection,
    mapping: AlertMapping,
    translations: Sequence[Translation],
    *,
    clients_may_report: bool,
) -> list[IdCheck]:
    """Whether what the mapping names, and the users of *translations*, will do."""
    named = {*mapping.named_ids(), *(pair for each in translations for pair in _actor(each))}
    ids = {id_ for _, id_ in named}
    clients, components = read_clients(connection, ids), read_components(connection, ids)
    users = read_users(connection, ids)

    def fault(name: str, id_: str) -> str | None:
        match name:
            case "client_id":
                return None if id_ in clients else _absent("client", id_)
            case "component_id":
                return None if id_ in components else _absent("component", id_)
            case "assigned_to_user_id":
                halt = check_assignee(users.get(id_), _own_scope(users.get(id_)))
            case _:
                actor, lenient = users.get(id_), clients_may_report
                halt = authorize(ACTORS[name], actor, clients_may_report=lenient)
        return halt.message if halt else None

    return [IdCheck(name, id_, fault(name, id_)) for name, id_ in sorted(named)]


def _absent(what: str, id_: str) -> str:
    return f"there is no {what} {id_}."


def _own_scope(user: User | None) -> Scope:
    """An incident that is the user's business, if any is: which one it will be, nobody knows."""
    return Scope("", None) if user is None else Scope(user.client_id or "", user.vendor_id)


def _actor(translation: Translation) -> Iterator[tuple[str, str]]:
    name = PROCEDURES[translation.procedure].actor
    user = translation.data.get(name)
    if isinstance(user, str):
        yield name, user


def source_faults(registry: Registry, source: str, mapping: AlertMapping) -> list[str]:
    """What the producer registry does not let the source do of what the mapping itself names."""
    entry = registry.sources.get(source)
    if entry is None:
        return [_no_source(source)]
    faults = [
        fault
        for name, user in mapping.named_ids()
        if name in ACTORS
        for fault in _not_let(entry, source, ACTORS[name], user)
    ]
    return list(dict.fromkeys(faults))


def registry_faults(registry: Registry, source: str, translation: Translation) -> list[str]:
    """What the producer registry does not let the source do of what one alert comes to."""
    entry = registry.sources.get(source)
    if entry is None:
        return [_no_source(source)]
    procedure = PROCEDURES[translation.procedure]
    faults = _not_let(entry, source, procedure, translation.data.get(procedure.actor))
    if (
        entry.require_severity_flags
        and procedure is REPORT_INCIDENT
        and "severity_flags" not in translation.data
    ):
        faults.append(f"the registry requires severity_flags of {source}")
    return faults


def _no_source(source: str) -> str:
    return f"the registry has no source {source}"


def _not_let(entry: Source, source: str, procedure: Procedure, user: object) -> list[str]:
    faults = []
    if not entry.may_ask_for(procedure.name):
        faults.append(f"the registry does not let {source} ask for {procedure.name}")
    if isinstance(user, str) and not entry.may_act_for(user):
        faults.append(f"the registry does not let {source} act for {procedure.actor} {user}")
    return faults


def directory_faults(connection: Connection, translation: Translation) -> list[str]:
    """What the directory has against a report: no such client or component, or not the user's."""
    if contract_faults(translation):
        return []
    report = read_inputs(translation.procedure, translation.data, now=translation.time)
    if not isinstance(report, ReportIncident):
        return []
    faults = []
    if report.client_id not in read_clients(connection, [report.client_id]):
        faults.append(f"client_id: {_absent('client', report.client_id)}")
    component = read_components(connection, [report.component_id]).get(report.component_id)
    if component is None:
        return [*faults, f"component_id: {_absent('component', report.component_id)}"]
    scope, reporter = Scope(report.client_id, component.vendor_id), report.reporter_user_id
    users = read_users(connection, [user for user in report.users() if user is not None])
    if reporter in users and (halt := associate(users[reporter], scope)):
        faults.append(f"reporter_user_id: {halt.message}")
    assignee = report.assigned_to_user_id
    if assignee is not None and (halt := check_assignee(users.get(assignee), scope)):
        faults.append(halt.message)
    return faults
