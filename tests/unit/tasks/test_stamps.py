"""Superseding: one source's changes come to the same end in whatever order they arrive."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from models.deliveries import Delivery
from models.inputs import UpdateIncident, read_inputs
from models.outcomes import Identity
from models.people import Component
from models.rows import Incident
from models.tables import Door
from policy.people import User
from policy.procedures import UPDATE_INCIDENT
from policy.vocabulary import IncidentStatus, Level, Role, Severity, SeverityOrigin, UserStatus
from tasks.decisions import Done
from tasks.facts import Facts, Rows
from tasks.requests import Request
from tasks.rules import Rules
from tasks.stamps import is_superseded, stamp
from tasks.update_incident import decide

NOON = datetime(2025, 9, 25, 12, tzinfo=UTC)

_INCIDENT = Incident(
    incident_id=1,
    title="as reported",
    category="as reported",
    severity=Severity.P3,
    severity_origin=SeverityOrigin.COMPUTED,
    stated_severity=None,
    severity_flags=(),
    impact_level=Level.LOW,
    urgency_level=Level.LOW,
    status=IncidentStatus.OPEN,
    client_id="acme",
    component_id="gateway",
    reporter_user_id="manager",
    assigned_to_user_id=None,
    detection_timestamp=NOON - timedelta(hours=1),
    resolution_timestamp=None,
    source="monitor",
    request_id="r1",
    dedup_key=None,
    recurrence_of=None,
    closed_by_source=None,
    stamps={},
    version=1,
    reported_at=NOON,
    updated_at=NOON,
)


def _request(number: int, change_set: dict[str, Any], source: str = "monitor") -> Request[Any]:
    inputs = read_inputs(
        "update_incident",
        {"incident_id": "1", "updated_by_user": "support", "change_set": change_set},
        now=NOON,
    )
    assert isinstance(inputs, UpdateIncident)
    time = NOON + timedelta(microseconds=number)
    return Request(
        identity=Identity(source, str(number)),
        procedure=UPDATE_INCIDENT,
        inputs=inputs,
        time=time,
        now=time,
        received_at=time,
        event_time=time,
        body_hash=b"",
        delivery=Delivery(str(number), Door.INTAKE, b"", "", "", time),
    )


def _after(requests: list[Request[Any]]) -> Incident:
    user = User("support", Role.TECHNICAL_SUPPORT, UserStatus.ACTIVE, None, None)
    facts = Facts(
        rules=Rules(),
        users={"support": user},
        components={"gateway": Component("gateway", None), "inhouse": Component("inhouse", None)},
        incidents=Rows({1: _INCIDENT}),
    )
    for request in requests:
        decision = decide(request, facts)
        assert isinstance(decision, Done), decision
        facts.apply(decision.rows)
    return facts.incidents[1]


_change_sets = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["a", "b", "c"]),
        "category": st.sampled_from(["a", "b"]),
        "severity": st.sampled_from(list(Severity)),
        "impact_level": st.sampled_from(list(Level)),
        "component_id": st.sampled_from(["gateway", "inhouse"]),
        "status": st.sampled_from(["in_progress", "resolved"]),
    },
).filter(bool)


def _lasting(incident: Incident) -> Incident:
    """What does not say when, how often and by which of the updates it came to be so."""
    return incident._replace(
        version=0,
        updated_at=NOON,
        severity_origin=SeverityOrigin.STATED,
        stated_severity=None,
        resolution_timestamp=NOON if incident.resolution_timestamp else None,
    )


@given(st.lists(_change_sets, min_size=2, max_size=6), st.randoms())
def test_updates_of_one_source_end_the_same_in_any_order(
    change_sets: list[dict[str, Any]], order: random.Random
) -> None:
    """Order is kept by the events' signed time, however late each of them arrives."""
    in_order = [_request(number, change_set) for number, change_set in enumerate(change_sets)]
    shuffled = list(in_order)
    order.shuffle(shuffled)
    assert _lasting(_after(shuffled)) == _lasting(_after(in_order))


@given(st.lists(_change_sets, min_size=1, max_size=6), st.randoms())
def test_the_last_stamped_value_of_each_field_stands(
    change_sets: list[dict[str, Any]], order: random.Random
) -> None:
    """Whatever the order, each field ends as the latest event that names it says."""
    requests = [_request(number, change_set) for number, change_set in enumerate(change_sets)]
    order.shuffle(requests)
    end = _after(requests)
    last: dict[str, Any] = {}
    for change_set in change_sets:
        last |= change_set
    assert {field: getattr(end, field) for field in last} == last


def test_between_two_sources_commit_order_counts() -> None:
    """A stamp binds only the source that made it."""
    late = _request(2, {"title": "late, and first"})
    early = _request(1, {"title": "early, of another source"}, source="other")
    assert _after([late, early]).title == "early, of another source"


def test_on_ties_commit_order_counts() -> None:
    """Two events of one time are done as they come."""
    one, other = _request(1, {"title": "one"}), _request(1, {"title": "other"})
    assert _after([one, other]).title == "other"
    assert _after([other, one]).title == "one"


def test_a_field_is_stamped_changed_or_not() -> None:
    """An update that names a field without changing it bars the earlier ones too."""
    unchanged = _request(2, {"title": _INCIDENT.title})
    assert _after([unchanged, _request(1, {"title": "earlier"})]).title == _INCIDENT.title


def test_status_and_resolution_timestamp_share_one_stamp() -> None:
    """Who names one of them has named both."""
    stamps = stamp({}, "monitor", ["resolution_timestamp"], NOON)
    assert is_superseded(stamps, "monitor", "status", NOON - timedelta(microseconds=1))
    assert is_superseded(stamps, "monitor", "resolution_timestamp", NOON - timedelta(seconds=1))
    assert not is_superseded(stamps, "monitor", "title", NOON - timedelta(days=1))


_marks = st.lists(
    st.tuples(
        st.sampled_from(["monitor", "other"]),
        st.sampled_from(["title", "status", "resolution_timestamp"]),
        st.datetimes(timezones=st.just(UTC)),
    ),
    max_size=8,
)


@given(_marks, st.randoms())
def test_stamps_do_not_depend_on_the_order(marks: list[Any], order: random.Random) -> None:
    """Each stamp ends as the latest time of its source and field, at any time of history."""

    def stamped(some: list[Any]) -> Any:
        stamps: Any = {}
        for source, field, time in some:
            stamps = stamp(stamps, source, [field], time)
        return stamps

    shuffled = list(marks)
    order.shuffle(shuffled)
    assert stamped(shuffled) == stamped(marks)
    for source, field, time in marks:
        assert not is_superseded(stamped([(source, field, time)]), source, field, time)
        assert is_superseded(stamped(marks), source, field, time) == any(
            other_time > time
            for other, named, other_time in marks
            if other == source and (named == "title") == (field == "title")
        )
