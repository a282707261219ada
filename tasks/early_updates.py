"""Updates by dedup key that are decided before the report which they follow (DESIGN 6, "Order").

Such an update finds nothing open under its key, and is done with nothing changed; the status that
it names is kept with the key (``tasks.update_incident``). A report of the same source that was
signed earlier finds it here.
"""

from typing import Any

from models.dedup import DedupKey
from models.inputs import ChangeSet, ReportIncident, UpdateIncident
from models.outcomes import Identity
from models.rows import EarlyUpdate, Incident
from policy.authority import authorize
from policy.halts import Halt
from policy.procedures import UPDATE_INCIDENT
from tasks.decisions import Done
from tasks.facts import Facts
from tasks.requests import Request
from tasks.update_incident import change


def catch_up(
    opened: Done, incident: Incident, request: Request[ReportIncident], facts: Facts
) -> Done:
    """What a report that opens *incident* comes to, with the update that has overtaken it.

    An update that would have halted, had it come after the report, is left alone.
    """
    if incident.dedup_key is None:
        return opened
    early = facts.early_updates.get(DedupKey(request.source, incident.dedup_key))
    if early is None or early.time <= request.time:
        return opened
    if authorize(UPDATE_INCIDENT, facts.user(early.updated_by_user)):
        return opened
    changed = change(_as_request(early, request), incident, facts)
    if isinstance(changed, Halt):
        return opened
    after = next(row for row in changed.rows if isinstance(row, Incident))
    return opened._replace(
        result={**opened.result, "status": after.status},
        rows=(*opened.rows, *changed.rows),
        context={**opened.context, "early_update": early.request_id},
    )


def _as_request(early: EarlyUpdate, report: Request[ReportIncident]) -> Request[UpdateIncident]:
    named: dict[str, Any] = {"status": early.status}
    if early.resolution_timestamp is not None:
        named["resolution_timestamp"] = early.resolution_timestamp
    return Request(
        identity=Identity(early.source, early.request_id),
        procedure=UPDATE_INCIDENT,
        inputs=UpdateIncident(
            incident_dedup_key=early.dedup_key,
            updated_by_user=early.updated_by_user,
            change_set=ChangeSet.model_construct(**named),  # they were validated as they came
        ),
        time=early.time,
        now=early.now,
        received_at=early.now,
        event_time=early.time,
        body_hash=b"",
        delivery=report.delivery,
    )
