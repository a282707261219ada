"""What the inputs of the four procedures may be (DESIGN 5), and how their faults are told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.inputs import ChangeCommunication, ChangeEscalation
from tests.support.decoding import decoded, faults_of, halt_of, inputs_of
from tests.support.requests import communication, delivery, escalation, event, report, update

BY_NUMBER = {"incident_id": "1"}
MAKE = {
    "report_incident": report,
    "update_incident": update,
    "submit_escalation": escalation,
    "record_communication": communication,
}


@pytest.mark.parametrize(
    ("procedure", "field"),
    [
        ("report_incident", "title"),
        ("report_incident", "category"),
        ("report_incident", "impact_level"),
        ("report_incident", "urgency_level"),
        ("report_incident", "client_id"),
        ("report_incident", "component_id"),
        ("report_incident", "reporter_user_id"),
        ("report_incident", "detection_timestamp"),
        ("update_incident", "incident_id"),
        ("update_incident", "updated_by_user"),
        ("update_incident", "change_set"),
        ("submit_escalation", "incident_id"),
        ("submit_escalation", "escalated_by_user"),
        ("submit_escalation", "escalated_to_user"),
        ("submit_escalation", "escalation_level"),
        ("record_communication", "incident_id"),
        ("record_communication", "sender_id"),
        ("record_communication", "recipient_id"),
        ("record_communication", "communication_type"),
        ("record_communication", "delivery_method"),
    ],
)
@pytest.mark.parametrize("left_out", [True, False], ids=["left out", "null"])
def test_a_required_input_left_out_or_null_is_missing(
    procedure: str, field: str, left_out: bool
) -> None:
    """Each required input is missing_input at its path, left out or given as null."""
    data = MAKE[procedure](**{field: None})
    if not left_out:
        data[field] = None
    reason, faults = faults_of(procedure, data)
    assert reason == "missing_input"
    assert list(faults) == [f"$.data.{field}"]
    assert "required" in faults[f"$.data.{field}"]


@pytest.mark.parametrize(
    ("procedure", "field", "default"),
    [
        ("report_incident", "status", "open"),
        ("report_incident", "severity", None),
        ("report_incident", "assigned_to_user_id", None),
        ("report_incident", "resolution_timestamp", None),
        ("report_incident", "dedup_key", None),
        ("report_incident", "note", None),
        ("update_incident", "note", None),
        ("update_incident", "expected_version", None),
        ("update_incident", "incident_request", None),
        ("submit_escalation", "status", "active"),
        ("submit_escalation", "escalated_at", None),
        ("submit_escalation", "reason", None),
        ("submit_escalation", "resolved_at", None),
        ("record_communication", "delivery_status", "pending"),
        ("record_communication", "sent_at", None),
        ("record_communication", "recipient_type", None),
    ],
)
@pytest.mark.parametrize("left_out", [True, False], ids=["left out", "null"])
def test_an_optional_input_left_out_or_null_has_its_default(
    procedure: str, field: str, default: str | None, left_out: bool
) -> None:
    """Null for an optional input is as if it had been left out."""
    data = MAKE[procedure]()
    if not left_out:
        data[field] = None
    assert getattr(inputs_of(procedure, data), field) == default


def test_null_is_a_value_for_what_an_update_may_clear() -> None:
    """A change set may take the assignee away, or the resolution."""
    changes = {"assigned_to_user_id": None, "resolution_timestamp": None}
    assert inputs_of("update_incident", update(change_set=changes)).change_set.named() == changes


@pytest.mark.parametrize(
    "field", ["title", "category", "severity", "status", "component_id", "impact_level"]
)
def test_null_is_invalid_for_what_an_incident_must_have(field: str) -> None:
    """A change set may not take away what every incident has; nothing is missing, it is invalid."""
    reason, faults = faults_of("update_incident", update(change_set={field: None}))
    assert reason == "invalid_input"
    assert list(faults) == [f"$.data.change_set.{field}"]


@pytest.mark.parametrize("flag", [None, 1, "true", "yes", 0])
def test_a_severity_flag_is_true_or_false(flag: object) -> None:
    """A flag is a JSON boolean and nothing that looks like one."""
    flags = {"p1_outage_no_workaround": flag}
    reason, faults = faults_of("report_incident", report(severity_flags=flags))
    assert (reason, list(faults)) == (
        "invalid_input",
        ["$.data.severity_flags.p1_outage_no_workaround"],
    )


@pytest.mark.parametrize(
    ("procedure", "field", "longest"),
    [
        ("report_incident", "title", 1024),
        ("report_incident", "category", 64),
        ("report_incident", "dedup_key", 255),
        ("report_incident", "note", 4000),
        ("update_incident", "note", 4000),
        ("submit_escalation", "reason", 4000),
        ("record_communication", "communication_type", 64),
    ],
)
def test_a_text_may_be_as_long_as_its_limit_and_no_longer(
    procedure: str, field: str, longest: int
) -> None:
    """Limits count characters, not bytes; an empty text is none."""
    whole = "ü" * longest
    data = MAKE[procedure]()
    assert getattr(inputs_of(procedure, data | {field: whole}), field) == whole
    for bad in (whole + "u", "", 7, True, ["x"]):
        reason, faults = faults_of(procedure, data | {field: bad})
        assert (reason, list(faults)) == ("invalid_input", [f"$.data.{field}"])


@pytest.mark.parametrize(("field", "longest"), [("title", 1024), ("category", 64)])
def test_a_change_set_has_the_limits_of_a_report(field: str, longest: int) -> None:
    """What an update sets is as limited as what a report says."""
    assert inputs_of("update_incident", update(change_set={field: "x" * longest}))
    reason, faults = faults_of("update_incident", update(change_set={field: "x" * (longest + 1)}))
    assert (reason, list(faults)) == ("invalid_input", [f"$.data.change_set.{field}"])


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("a", "a"),
        ("A-z.0_9:x", "A-z.0_9:x"),
        ("x" * 64, "x" * 64),
        (17, "17"),
        (0, "0"),
        (2**63, str(2**63)),
    ],
)
def test_a_directory_id_is_short_plain_text_or_a_json_integer(given: object, read: str) -> None:
    """A JSON integer is read as its digits."""
    assert inputs_of("report_incident", report(client_id=given)).client_id == read


@pytest.mark.parametrize(
    "bad", ["", "x" * 65, "a b", "a/b", "ä", "a\n", "٣", 1.0, True, ["a"], {"id": "a"}]
)
@pytest.mark.parametrize(
    "field", ["client_id", "component_id", "reporter_user_id", "assigned_to_user_id"]
)
def test_nothing_else_is_a_directory_id(bad: object, field: str) -> None:
    """Other characters, lengths and types are invalid_input, with the path and no value."""
    reason, faults = faults_of("report_incident", report(**{field: bad}))
    assert (reason, list(faults)) == ("invalid_input", [f"$.data.{field}"])


@pytest.mark.parametrize(
    ("given", "read"), [("1", 1), (1, 1), ("0017", 17), (2**63 - 1, 2**63 - 1)]
)
def test_the_number_of_an_incident_is_text_or_an_integer(given: object, read: int) -> None:
    """Ids are given out as strings and taken back as either."""
    assert inputs_of("update_incident", update(incident_id=given)).incident_id == read


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "0",
        0,
        -1,
        "-1",
        "+1",
        "1.0",
        1.0,
        " 1",
        "\N{ARABIC-INDIC DIGIT ONE}",
        "x",
        True,
        2**63,
        "9" * 20,
        ["1"],
        {},
    ],
)
@pytest.mark.parametrize(
    ("procedure", "data", "field"),
    [
        ("update_incident", update(), "incident_id"),
        (
            "submit_escalation",
            {"escalated_by_user": "support", "status": "resolved"},
            "escalation_id",
        ),
        (
            "record_communication",
            {"sender_id": "support", "delivery_status": "sent"},
            "communication_id",
        ),
    ],
    ids=["incident", "escalation", "communication"],
)
def test_nothing_else_is_the_number_of_a_record(
    procedure: str, data: dict[str, Any], field: str, bad: object
) -> None:
    """A number that no record can have is invalid_input."""
    reason, faults = faults_of(procedure, data | {field: bad})
    assert (reason, list(faults)) == ("invalid_input", [f"$.data.{field}"])


NOON = datetime(2025, 9, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("2025-09-25T12:00:00Z", NOON),
        ("2025-09-25t12:00:00z", NOON),
        ("2025-09-25 12:00:00Z", NOON),
        ("2025-09-25T12:00:00+00:00", NOON),
        ("2025-09-25T12:00:00+0000", NOON),
        ("2025-09-25T14:30:00+02:30", NOON),
        ("2025-09-25T04:00:00-0800", NOON),
        ("2025-09-25T12:00:00", NOON),
        ("2025-09-25", NOON.replace(hour=0)),
        ("2025-09-25T12:00:00.5Z", NOON.replace(microsecond=500_000)),
        ("2025-09-25T12:00:00.123456789Z", NOON.replace(microsecond=123_456)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_timestamp_is_rfc_3339_and_utc_where_it_says_nothing(given: str, read: datetime) -> None:
    """With an offset, also +0000; one without, or a bare date, is read as UTC."""
    assert inputs_of("report_incident", report(detection_timestamp=given)).detection_timestamp == (
        read
    )


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "yesterday",
        "2025-09-25T12:00Z",
        "2025-09-25T12",
        "2025-9-25",
        "20250925T120000Z",
        "2025-09-31",
        "2025-09-25T25:00:00Z",
        "2025-09-25T12:00:60Z",
        "2025-09-25T12:00:00+24:00",
        "2025-09-25T12:00:00.Z",
        "2025-09-25T12:00:00 Z",
        "2025-W39-4",
        "٢٠٢٥-09-25",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2025-09-25T12:00:00Z\n",
        1758801600,
        1758801600.5,
        True,
        ["2025-09-25"],
    ],
)
def test_nothing_else_is_a_timestamp(bad: object) -> None:
    """Unix times, other ISO 8601 forms and impossible dates are invalid_input."""
    reason, faults = faults_of("report_incident", report(detection_timestamp=bad))
    assert (reason, faults) == (
        "invalid_input",
        {"$.data.detection_timestamp": "must be an RFC 3339 timestamp"},
    )


@pytest.mark.parametrize(
    ("procedure", "field"),
    [
        ("report_incident", "severity"),
        ("report_incident", "impact_level"),
        ("report_incident", "urgency_level"),
        ("report_incident", "status"),
        ("submit_escalation", "escalation_level"),
        ("submit_escalation", "status"),
        ("record_communication", "delivery_method"),
        ("record_communication", "delivery_status"),
        ("record_communication", "recipient_type"),
    ],
)
@pytest.mark.parametrize("bad", ["", "unknown", "OPEN", " open", 1, True])
def test_an_unknown_word_is_invalid(procedure: str, field: str, bad: object) -> None:
    """An unknown word is invalid_input, also for a status; words are as they are written."""
    reason, faults = faults_of(procedure, MAKE[procedure]() | {field: bad})
    assert (reason, list(faults)) == ("invalid_input", [f"$.data.{field}"])


@pytest.mark.parametrize("field", ["severity", "status", "impact_level", "urgency_level"])
def test_an_unknown_word_in_a_change_set_is_invalid(field: str) -> None:
    """The change set's words are the report's."""
    reason, faults = faults_of("update_incident", update(change_set={field: "unknown"}))
    assert (reason, list(faults)) == ("invalid_input", [f"$.data.change_set.{field}"])


@pytest.mark.parametrize("procedure", MAKE)
def test_an_unknown_field_is_an_error(procedure: str) -> None:
    """Unknown fields are an error in data, told by their path."""
    reason, faults = faults_of(procedure, MAKE[procedure]() | {"colour": "red", "a b": 1})
    assert reason == "invalid_input"
    assert faults == {
        "$.data.colour": "is not an input of this procedure",
        "$.data[*]": "is not an input of this procedure",
    }


@pytest.mark.parametrize("field", ["incident_id", "client_id", "reporter_user_id", "dedup_key"])
def test_a_change_set_may_not_hold_what_never_changes(field: str) -> None:
    """Only the fields of DESIGN 6, "Updates", may be changed."""
    reason, faults = faults_of("update_incident", update(change_set={field: "1"}))
    assert (reason, list(faults)) == ("invalid_input", [f"$.data.change_set.{field}"])


@pytest.mark.parametrize(
    ("procedure", "data", "path"),
    [
        ("report_incident", report(title="a\0b"), "$.data.title"),
        ("report_incident", report(client_id="\0"), "$.data.client_id"),
        ("report_incident", report(**{"x\0": "1"}), "$.data"),
        ("update_incident", update(note="\0"), "$.data.note"),
        ("update_incident", update(change_set={"title": "\0"}), "$.data.change_set.title"),
        ("submit_escalation", escalation(reason="x\0"), "$.data.reason"),
        (
            "record_communication",
            communication(communication_type="\0"),
            "$.data.communication_type",
        ),
    ],
)
def test_u0000_is_invalid_everywhere(procedure: str, data: dict[str, Any], path: str) -> None:
    """U+0000 is invalid_input wherever it stands."""
    halt = halt_of(procedure, data)
    assert halt.reason == "invalid_input"
    assert (path, "holds U+0000") in [(error.path, error.message) for error in halt.errors]


def test_the_six_characters_that_look_like_u0000_are_text() -> None:
    """A backslash and u0000, as text, is no U+0000."""
    assert inputs_of("report_incident", report(title="\\u0000")).title == "\\u0000"


@pytest.mark.parametrize(
    "procedure", ["update_incident", "submit_escalation", "record_communication"]
)
@pytest.mark.parametrize(
    "reference",
    [
        {"incident_id": "1"},
        {"incident_request": {"id": "r1"}},
        {"incident_request": {"id": "r1", "source": "other"}},
        {"incident_dedup_key": "disk-full"},
    ],
)
def test_one_reference_to_the_incident_is_enough(procedure: str, reference: dict[str, Any]) -> None:
    """*incident* is one of incident_id, incident_request and incident_dedup_key."""
    assert inputs_of(procedure, MAKE[procedure](incident_id=None) | reference)


@pytest.mark.parametrize(
    "references",
    [
        {"incident_id": "1", "incident_request": {"id": "r1"}},
        {"incident_id": "1", "incident_dedup_key": "k"},
        {"incident_request": {"id": "r1"}, "incident_dedup_key": "k"},
        {"incident_id": "1", "incident_request": {"id": "r1"}, "incident_dedup_key": "k"},
    ],
)
def test_two_references_to_the_incident_are_invalid(references: dict[str, Any]) -> None:
    """Exactly one reference is taken; more are invalid, and none of them is missing."""
    reason, faults = faults_of("update_incident", update(incident_id=None) | references)
    assert reason == "invalid_input"
    assert "only one of" in faults["$.data.incident_id"]


def test_a_faulty_reference_is_told_as_it_is() -> None:
    """A reference that is given but faulty is not told as missing."""
    reason, faults = faults_of(
        "update_incident", update(incident_id=None, incident_request={"name": "x"})
    )
    assert reason == "missing_input"
    assert faults == {
        "$.data.incident_request.id": "is required",
        "$.data.incident_request.name": "is not an input of this procedure",
    }


@pytest.mark.parametrize("field", ["incident_dedup_key", "incident_request"])
def test_references_have_the_limits_of_what_they_refer_to(field: str) -> None:
    """Ids, sources and dedup keys have 1 to 255 characters."""
    for text, fits in (("x" * 255, True), ("x" * 256, False), ("", False)):
        given = {"id": text, "source": text} if field == "incident_request" else text
        data = update(incident_id=None, **{field: given})
        if fits:
            assert inputs_of("update_incident", data)
        else:
            assert halt_of("update_incident", data).reason == "invalid_input"


def test_an_empty_change_set_is_invalid_also_with_a_note() -> None:
    """A change set names something, or is left out."""
    for note in (None, "a note"):
        reason, faults = faults_of("update_incident", update(change_set={}, note=note))
        assert (reason, faults) == (
            "invalid_input",
            {"$.data.change_set": "must name at least one field"},
        )


def test_a_note_alone_is_an_update() -> None:
    """change_set or note: one of both is enough."""
    assert inputs_of("update_incident", update(change_set=None, note="x")).note == "x"


@pytest.mark.parametrize("bad", [0, -1, "1", 1.0, True, 2**31])
def test_an_expected_version_is_a_positive_integer(bad: object) -> None:
    """Nothing but a version that an incident may have."""
    reason, faults = faults_of("update_incident", update(expected_version=bad))
    assert (reason, list(faults)) == ("invalid_input", ["$.data.expected_version"])


@pytest.mark.parametrize("status", ["resolved", "closed"])
def test_a_report_of_what_is_over_needs_its_resolution(status: str) -> None:
    """Resolved and closed need a resolution_timestamp, not before detection."""
    path = "$.data.resolution_timestamp"
    assert faults_of("report_incident", report(status=status)) == (
        "missing_input",
        {path: f"is required for the status {status}"},
    )
    early = report(status=status, resolution_timestamp="2025-09-25T11:57:59.999999Z")
    assert faults_of("report_incident", early) == (
        "invalid_input",
        {path: "lies before detection_timestamp"},
    )
    at_once = report(status=status, resolution_timestamp="2025-09-25T11:58:00Z")
    assert inputs_of("report_incident", at_once)


@pytest.mark.parametrize("status", ["open", "investigating", "in_progress"])
def test_a_report_may_carry_any_status(status: str) -> None:
    """What is not over has no resolution yet."""
    assert inputs_of("report_incident", report(status=status)).status == status
    resolved = report(status=status, resolution_timestamp="2025-09-25T12:00:00Z")
    assert halt_of("report_incident", resolved).reason == "invalid_input"


@pytest.mark.parametrize(("seconds", "fits"), [(300, True), (300.000001, False), (-1, True)])
def test_a_detection_lies_at_most_five_minutes_in_the_future(seconds: float, fits: bool) -> None:
    """Whatever the event's own time: its source may have signed it earlier."""
    now = datetime(2025, 9, 25, 12, tzinfo=UTC)
    detected = (now + timedelta(seconds=seconds)).isoformat()
    signed = now - timedelta(hours=1)
    text = event("report_incident", report(detection_timestamp=detected), time=signed)
    message = decoded(delivery(text), now=now)
    assert (getattr(message, "halt", None) is None) == fits


def test_now_is_at_most_the_time_of_receipt() -> None:
    """An event dated ahead does not make a detection in the future valid."""
    later = datetime.now(UTC) + timedelta(minutes=6)
    data = report(detection_timestamp=later.isoformat())
    message = decoded(delivery(event("report_incident", data, time=later)))
    assert message.halt.reason == "invalid_input"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("status", "resolved_at", "fits"),
    [
        ("resolved", "2025-09-25T12:00:00Z", True),
        ("resolved", "2025-09-25T11:59:59Z", False),
        ("active", "2025-09-25T12:00:00Z", False),
        ("cancelled", "2025-09-25T12:00:00Z", False),
        ("resolved", None, True),
    ],
)
def test_an_escalation_is_resolved_at_a_time_only_when_it_is_resolved(
    status: str, resolved_at: str | None, fits: bool
) -> None:
    """resolved_at is set once resolved, and not before the escalation."""
    data = escalation(status=status, escalated_at="2025-09-25T12:00:00Z", resolved_at=resolved_at)
    if fits:
        assert inputs_of("submit_escalation", data).status == status
    else:
        reason, faults = faults_of("submit_escalation", data)
        assert (reason, list(faults)) == ("invalid_input", ["$.data.resolved_at"])


def test_a_communication_is_for_somebody() -> None:
    """recipient_id or recipient_type; both are fine, none is missing."""
    assert inputs_of("record_communication", communication(recipient_type="executive_team"))
    assert inputs_of(
        "record_communication", communication(recipient_id=None, recipient_type="executive_team")
    )
    assert faults_of("record_communication", communication(recipient_id=None)) == (
        "missing_input",
        {"$.data.recipient_id": "recipient_id or recipient_type is required"},
    )


def test_a_request_that_names_an_escalation_or_communication_changes_it() -> None:
    """The later change of an escalation or communication has inputs of its own."""
    later = {"escalation_id": "3", "escalated_by_user": "boss", "status": "cancelled"}
    assert isinstance(inputs_of("submit_escalation", later), ChangeEscalation)
    later = {"communication_id": 4, "sender_id": "support", "delivery_status": "failed"}
    assert isinstance(inputs_of("record_communication", later), ChangeCommunication)
    assert halt_of("submit_escalation", escalation(escalation_id="3")).reason == "missing_input"


@pytest.mark.parametrize("field", ["escalated_by_user", "status"])
def test_a_later_change_of_an_escalation_needs_its_inputs(field: str) -> None:
    """escalation_id, escalated_by_user and status are required."""
    data = {"escalation_id": "3", "escalated_by_user": "boss", "status": "cancelled"}
    del data[field]
    assert faults_of("submit_escalation", data) == (
        "missing_input",
        {f"$.data.{field}": "is required"},
    )


@pytest.mark.parametrize("field", ["sender_id", "delivery_status"])
def test_a_later_change_of_a_communication_needs_its_inputs(field: str) -> None:
    """communication_id, sender_id and delivery_status are required."""
    data = {"communication_id": "3", "sender_id": "support", "delivery_status": "sent"}
    del data[field]
    assert faults_of("record_communication", data) == (
        "missing_input",
        {f"$.data.{field}": "is required"},
    )


def test_every_fault_is_told_at_once_and_missing_wins() -> None:
    """A halt lists every input error, missing and invalid; its reason is missing_input."""
    data = report(
        title=None,
        category="x" * 65,
        impact_level="huge",
        client_id="a b",
        detection_timestamp="yesterday",
        severity="P5",
        note="\0",
        colour="red",
    )
    reason, faults = faults_of("report_incident", data)
    assert reason == "missing_input"
    assert faults.keys() == {
        "$.data.title",
        "$.data.category",
        "$.data.impact_level",
        "$.data.client_id",
        "$.data.detection_timestamp",
        "$.data.severity",
        "$.data.note",
        "$.data.colour",
    }


def test_all_that_is_missing_is_told_at_once() -> None:
    """An empty report misses eight inputs; a severity is not among them (DESIGN 6, "Severity")."""
    reason, faults = faults_of("report_incident", {})
    assert reason == "missing_input"
    assert len(faults) == 8
    assert set(faults.values()) == {"is required"}


SECRET_VALUE = "Zürich-4711-geheim"


@pytest.mark.parametrize("procedure", MAKE)
def test_no_fault_repeats_the_value(procedure: str) -> None:
    """The halt's message and errors hold field names, never what was given."""
    data = {field: {SECRET_VALUE: SECRET_VALUE} for field in MAKE[procedure]()}
    data |= dict.fromkeys(list(data)[:2], SECRET_VALUE * 500)
    halt = halt_of(procedure, data)
    assert halt.errors
    assert SECRET_VALUE not in halt.message + "".join(error.message for error in halt.errors)
