"""The published JSON Schemas accept what the models accept, as far as JSON Schema can say it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from models.events import Event, read_event
from models.inputs import INPUTS, ChangeSet, SeverityFlags, read_inputs
from models.message_schemas import message_schemas
from models.outcomes import Identity, Outcome, halt_body
from models.results import RESULTS, read_outcome
from policy.halts import Halt, InputError, Reason
from tests.support.requests import communication, escalation, event, report, update

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SCHEMAS = message_schemas()
VALIDATORS = {name: Draft202012Validator(schema) for name, schema in SCHEMAS.items()}
MAKE = {
    "report_incident": report,
    "update_incident": update,
    "submit_escalation": escalation,
    "record_communication": communication,
}


def schema_accepts(name: str, message: Any) -> bool:
    """Whether the published schema does."""
    return VALIDATORS[name].is_valid(message)


def model_accepts(procedure: str, data: Any) -> bool:
    """Whether the worker reads it."""
    try:
        read_inputs(procedure, data, now=NOW)
    except ValueError:
        return False
    return True


def request(procedure: str, data: Any) -> Any:
    """A whole event."""
    return orjson.loads(event(procedure, data))


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_one(name: str) -> None:
    """It is valid in its dialect, and every reference in it leads somewhere."""
    Draft202012Validator.check_schema(SCHEMAS[name])
    text = orjson.dumps(SCHEMAS[name]).decode()
    for definition in SCHEMAS[name]["$defs"]:
        assert f'"#/$defs/{definition}"' in text
    assert text.count('"$ref"') == sum(
        text.count(f'"$ref":"#/$defs/{definition}"') for definition in SCHEMAS[name]["$defs"]
    )


# Values good and bad of every kind of input. Left out is what only the worker can see: a time that
# is none though it looks like one, and U+0000.
_WORDS = st.sampled_from(
    [
        *("low", "critical", "P1", "P4", "open", "resolved", "closed", "active", "cancelled"),
        *("technical", "vendor", "email", "chat", "pending", "sent", "all_stakeholders"),
    ]
)
_TIMES = st.sampled_from(
    [
        *("2026-11-24", "2026-11-24T11:00:00Z", "2026-11-24 11:00:00.123456+0000"),
        *("2026-11-24t11:00:00-05:30", "2026-11-24T11:00", "today", "24.11.2026"),
    ]
)
_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([2**31 - 1, 2**31, 2**63 - 1, 1.5]),
    _WORDS,
    _TIMES,
    st.sampled_from(["", "x", "a:b-c_d.e", "ä", "17", "0", "0017", "x" * 64, "x" * 65, "x" * 256]),
    st.sampled_from(["x" * 1024, "x" * 1025, "x" * 4000, "x" * 4001]),
    st.sampled_from([[], {}, {"id": "r1"}, {"id": "r1", "source": "s"}, {"id": ""}, {"no": 1}]),
    st.dictionaries(st.sampled_from(list(ChangeSet.model_fields)), _WORDS | st.none(), max_size=3),
    st.dictionaries(st.sampled_from(list(SeverityFlags.model_fields)), st.booleans(), max_size=2),
)


@st.composite
def nearly_valid(draw: st.DrawFn, procedure: str) -> dict[str, Any]:
    """Valid inputs, with some of them replaced, added or left out."""
    valid = dict(MAKE[procedure]())
    if "detection_timestamp" in valid:
        valid["detection_timestamp"] = "2020-01-01"  # before any resolution that is drawn
    names = {*INPUTS[procedure].model_fields, "escalation_id", "communication_id", "unheard_of"}
    names.discard("detection_timestamp")
    valid |= draw(st.dictionaries(st.sampled_from(sorted(names)), _VALUES, max_size=3))
    for name in draw(st.lists(st.sampled_from(sorted(valid)), max_size=2)):
        valid.pop(name, None)
    return valid


@pytest.mark.parametrize("procedure", INPUTS)
@given(data=st.data())
@settings(max_examples=1_000)
def test_schema_and_model_agree(procedure: str, data: st.DataObject) -> None:
    """Of inputs that are nearly valid, both accept the same ones."""
    inputs = data.draw(nearly_valid(procedure))
    accepted = schema_accepts(procedure, request(procedure, inputs))
    assert accepted == model_accepts(procedure, inputs)


@pytest.mark.parametrize(
    ("procedure", "data"),
    [
        ("report_incident", report()),
        ("report_incident", report(status="closed", resolution_timestamp="2026-11-24")),
        ("report_incident", report(client_id=7) | {"severity_flags": {}, "status": None}),
        ("update_incident", update()),
        ("update_incident", update(incident_id=None, incident_request={"id": "r1"})),
        ("update_incident", update(change_set={"assigned_to_user_id": None})),
        ("update_incident", update(change_set=None, note="Seen.")),
        ("submit_escalation", escalation(status="resolved", resolved_at="2026-11-24")),
        (
            "submit_escalation",
            {"escalation_id": 3, "escalated_by_user": "u", "status": "cancelled"},
        ),
        (
            "record_communication",
            communication(recipient_id=None, recipient_type="all_stakeholders"),
        ),
        (
            "record_communication",
            {"communication_id": "3", "sender_id": "u", "delivery_status": "sent"},
        ),
    ],
)
def test_what_both_accept(procedure: str, data: Mapping[str, Any]) -> None:
    """Every way to ask for a procedure is one that the schema knows."""
    assert model_accepts(procedure, data)
    VALIDATORS[procedure].validate(request(procedure, data))


@pytest.mark.parametrize(
    ("procedure", "data"),
    [
        ("report_incident", {}),
        ("report_incident", report(title="")),
        ("report_incident", report(title="x" * 1025)),
        ("report_incident", report(impact_level="urgent")),
        ("report_incident", report(client_id="a b")),
        ("report_incident", report(detection_timestamp="yesterday")),
        ("report_incident", report(severity_flags={"p1_outage_no_workaround": "yes"})),
        ("report_incident", report(severity_flags={"p9": True})),
        ("report_incident", report(status="closed")),
        ("report_incident", report(resolution_timestamp="2026-11-24")),
        ("report_incident", report(colour="red")),
        ("update_incident", update(incident_id=None)),
        ("update_incident", update(incident_dedup_key="k")),
        ("update_incident", update(incident_id="zero")),
        ("update_incident", update(incident_id=0)),
        ("update_incident", update(change_set=None)),
        ("update_incident", update(change_set={})),
        ("update_incident", update() | {"change_set": {"title": None}}),
        ("update_incident", update(expected_version=0)),
        ("update_incident", update(expected_version="2")),
        ("submit_escalation", escalation(escalation_level="board")),
        ("submit_escalation", escalation(resolved_at="2026-11-24")),
        ("submit_escalation", escalation(escalation_id="1")),
        ("submit_escalation", {"escalation_id": 3, "escalated_by_user": "u"}),
        ("record_communication", communication(recipient_id=None)),
        ("record_communication", communication(delivery_method="pigeon")),
        ("record_communication", communication(communication_type="x" * 65)),
        ("record_communication", [1, 2]),
    ],
)
def test_what_neither_accepts(procedure: str, data: Any) -> None:
    """A producer that validates before it sends is told of what the worker would halt."""
    assert not schema_accepts(procedure, request(procedure, data))
    assert not isinstance(data, dict) or not model_accepts(procedure, data)


@pytest.mark.parametrize(
    "change",
    [
        {"specversion": "0.3"},
        {"id": ""},
        {"id": "x" * 256},
        {"source": None},
        {"type": "andon.unheard_of"},
        {"time": "soon"},
    ],
)
def test_the_envelope_is_held_too(change: dict[str, Any]) -> None:
    """What is no request of this procedure is none for the schema; extensions pass."""
    whole = request("report_incident", report())
    assert schema_accepts("report_incident", whole | {"traceparent": "00-1"})
    assert not schema_accepts("report_incident", whole | change)
    read = read_event(orjson.dumps(whole | change))
    assert not isinstance(read, Event) or read.procedure != "report_incident"


RESULT_BODIES: dict[str, list[dict[str, Any]]] = {
    "report_incident": [{"incident_id": "1", "severity": "P1", "status": "open"}],
    "update_incident": [
        {"incident_id": "1", "version": 2, "changed": ["title"], "superseded": ["status"]},
        {"incident_id": None, "version": None, "changed": []},
    ],
    "submit_escalation": [{"escalation_id": "1", "incident_id": "1", "status": "active"}],
    "record_communication": [
        {"communication_id": "1", "incident_id": "1", "delivery_status": "sent"}
    ],
}


@pytest.mark.parametrize("procedure", RESULTS)
def test_outcomes_as_the_worker_publishes_them_are_valid(procedure: str) -> None:
    """A done request's outcome fits, with the result of its own procedure and of no other."""
    me = Identity("s" * 255, "i" * 255)
    for other, bodies in RESULT_BODIES.items():
        for body in bodies:
            done = orjson.loads(Outcome(me, "e", procedure, False, body, NOW).event())
            assert schema_accepts("request_done", done) == (other == procedure)
            assert not schema_accepts("request_halted", done)
            if other == procedure:
                assert read_outcome(done["data"]).procedure == procedure


def test_halts_as_the_worker_publishes_them_are_valid() -> None:
    """Halts of requests fit, and those of messages that did not prove their source."""
    body = halt_body(
        1, Halt(Reason.INVALID_INPUT, "No.", (InputError("$.data.title", "is required"),))
    )
    for identity, procedure in ((Identity("s", "i"), "report_incident"), (None, None)):
        halted = orjson.loads(Outcome(identity, "e", procedure, True, body, NOW).event())
        VALIDATORS["request_halted"].validate(halted)
        assert not schema_accepts("request_done", halted)
    del halted["data"]["halt"]["reason"]
    assert not schema_accepts("request_halted", halted)
