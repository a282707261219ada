"""What a mapping comes to: requests that may be run, and users who may ask for them.

The worker proves all of it again where a request is run; here it is said beforehand.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy import Connection

from models.errors import input_errors
from models.inputs import ReportIncident, read_inputs
from models.people import read_clients, read_components, read_users
from models.registry import Registry
from policy.authority import associate, authorize
from policy.people import Scope
from policy.procedures import PROCEDURES, REPORT_INCIDENT
from producers.gateway.mapping import AlertMapping
from producers.gateway.translate import Translation

ACTORS = {procedure.actor: procedure for procedure in PROCEDURES.values()}


@dataclass(frozen=True, slots=True)
class UserCheck:
    """Whether a user may do what the mapping has them do.

    Attributes:
        input: the input that names them.
        fault: why not; None if they may.
    """

    input: str
    user_id: str
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


def check_users(
    connection: Connection,
    mapping: AlertMapping,
    translations: Sequence[Translation],
    *,
    clients_may_report: bool,
) -> list[UserCheck]:
    """Whether the users whom the mapping names, and those of *translations*, may act."""
    named = {*mapping.named_users(), *(pair for each in translations for pair in _actor(each))}
    asked = sorted((name, user) for name, user in named if name in ACTORS)
    users = read_users(connection, {user for _, user in asked})
    checks = []
    for name, user in asked:
        halt = authorize(ACTORS[name], users.get(user), clients_may_report=clients_may_report)
        checks.append(UserCheck(name, user, halt.message if halt else None))
    return checks


def _actor(translation: Translation) -> Iterator[tuple[str, str]]:
    name = PROCEDURES[translation.procedure].actor
    user = translation.data.get(name)
    if isinstance(user, str):
        yield name, user


def registry_faults(registry: Registry, source: str, translation: Translation) -> list[str]:
    """What the producer registry does not let the source do."""
    entry = registry.sources.get(source)
    if entry is None:
        return [f"the registry has no source {source}"]
    procedure = PROCEDURES[translation.procedure]
    faults = []
    if not entry.may_ask_for(procedure.name):
        faults.append(f"the registry does not let {source} ask for {procedure.name}")
    user = translation.data.get(procedure.actor)
    if isinstance(user, str) and not entry.may_act_for(user):
        faults.append(f"the registry does not let {source} act for {procedure.actor} {user}")
    if (
        entry.require_severity_flags
        and procedure is REPORT_INCIDENT
        and "severity_flags" not in translation.data
    ):
        faults.append(f"the registry requires severity_flags of {source}")
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
        faults.append(f"client_id: there is no client {report.client_id}.")
    component = read_components(connection, [report.component_id]).get(report.component_id)
    if component is None:
        faults.append(f"component_id: there is no component {report.component_id}.")
    reporter = read_users(connection, [report.reporter_user_id]).get(report.reporter_user_id)
    if reporter is not None and component is not None:
        halt = associate(reporter, Scope(report.client_id, component.vendor_id))
        faults += [f"reporter_user_id: {halt.message}"] if halt else []
    return faults
