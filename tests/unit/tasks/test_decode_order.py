"""Decode: which halt a message with several faults gets (DESIGN 6, "Which halt")."""

import orjson
import pytest

from models.deliveries import Delivery
from models.events import MAX_EVENT_BYTES
from policy.halts import Reason
from tests.support.decoding import decoded
from tests.support.requests import SECRET, delivery, event, report, update


def _from_narrow(event: bytes) -> Delivery:
    return delivery(event, key_id="narrow-1")


def _reason(delivery: Delivery) -> str:
    halt = getattr(decoded(delivery), "halt", None)
    return "none" if halt is None else str(halt.reason)


_FORGED = {"secret": SECRET[::-1] + b"x"}
_BOTH = [
    (
        "malformed before unauthenticated",
        delivery(b"not json", **_FORGED),
        Reason.MALFORMED,
    ),
    (
        "too large before unauthenticated",
        delivery(b" " * (MAX_EVENT_BYTES + 1), **_FORGED),
        Reason.MALFORMED,
    ),
    (
        "unauthenticated before unknown_procedure",
        delivery(event("reboot", report()), **_FORGED),
        Reason.UNAUTHENTICATED,
    ),
    (
        "unauthenticated before missing_input",
        delivery(event("report_incident", {}), **_FORGED),
        Reason.UNAUTHENTICATED,
    ),
    (
        "unknown_procedure before missing_input",
        delivery(event("reboot", {})),
        Reason.UNKNOWN_PROCEDURE,
    ),
    (
        "unknown_procedure before invalid data",
        delivery(event("reboot", [])),
        Reason.UNKNOWN_PROCEDURE,
    ),
    (
        "unknown_procedure before source_not_allowed",
        _from_narrow(event("reboot", {}, source="narrow")),
        Reason.UNKNOWN_PROCEDURE,
    ),
    (
        "missing_input before invalid_input",
        delivery(event("report_incident", report(title=None, severity="P9"))),
        Reason.MISSING_INPUT,
    ),
    (
        "missing_input before a U+0000",
        delivery(event("report_incident", report(title=None, note="\0"))),
        Reason.MISSING_INPUT,
    ),
    (
        "invalid_input before source_not_allowed for the procedure",
        _from_narrow(event("update_incident", update(incident_id="x"), source="narrow")),
        Reason.INVALID_INPUT,
    ),
    (
        "invalid_input before source_not_allowed for the user",
        _from_narrow(
            event(
                "report_incident", report(severity="P9", reporter_user_id="boss"), source="narrow"
            )
        ),
        Reason.INVALID_INPUT,
    ),
]


@pytest.mark.parametrize(
    ("message", "reason"), [both[1:] for both in _BOTH], ids=[both[0] for both in _BOTH]
)
def test_of_two_faults_the_first_halts(message: Delivery, reason: Reason) -> None:
    """The message phase has its order, whatever else is wrong."""
    assert _reason(message) == reason


def test_each_fault_alone_gives_its_own_reason() -> None:
    """So that the table above compares what it says it compares."""
    sound = event("report_incident", report())
    assert _reason(delivery(sound)) == "none"
    assert _reason(delivery(b"not json")) == "malformed"
    assert _reason(delivery(sound, **_FORGED)) == "unauthenticated"
    assert _reason(delivery(event("reboot", {}))) == "unknown_procedure"
    assert _reason(delivery(event("report_incident", {}))) == "missing_input"
    assert _reason(delivery(event("report_incident", report(severity="P9")))) == "invalid_input"
    narrow = event("report_incident", report(), source="narrow")
    assert _reason(_from_narrow(narrow)) == "none"
    narrow = event("report_incident", report(reporter_user_id="boss"), source="narrow")
    assert _reason(_from_narrow(narrow)) == "source_not_allowed"
    narrow = event("update_incident", update(updated_by_user="manager"), source="narrow")
    assert _reason(_from_narrow(narrow)) == "source_not_allowed"


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (
            delivery(event("report_incident", report()), key_id="unknown-1"),
            "The key id is not in the producer registry.",
        ),
        (
            delivery(event("report_incident", report()), key_id=""),
            "The key id is not in the producer registry.",
        ),
        (
            delivery(event("report_incident", report()), **_FORGED),
            "The signature does not fit the event.",
        ),
        (
            delivery(event("report_incident", report()))._replace(signature=""),
            "The signature does not fit the event.",
        ),
        (
            delivery(event("report_incident", report(), source="narrow")),
            "The key belongs to another source than the event's.",
        ),
    ],
)
def test_a_message_must_prove_the_source_it_names(message: Delivery, says: str) -> None:
    """Unknown key, bad or no signature, and somebody else's key are unauthenticated."""
    refused = decoded(message)
    assert refused.halt.reason == "unauthenticated"  # type: ignore[union-attr]
    assert refused.halt.message == says  # type: ignore[union-attr]


def test_what_does_not_prove_its_source_claims_no_identity() -> None:
    """Malformed and unauthenticated messages have no identity; every other refusal has."""
    sound = event("report_incident", report(), id="r1")
    assert decoded(delivery(sound, **_FORGED)).identity is None
    assert decoded(delivery(b"{}")).identity is None
    for procedure, data in (("reboot", {}), ("report_incident", {}), ("report_incident", [])):
        assert decoded(delivery(event(procedure, data, id="r1"))).identity == ("monitor", "r1")


@pytest.mark.parametrize("data", [[], "text", 7, True])
def test_data_that_is_no_object_is_invalid(data: object) -> None:
    """The procedure's inputs are a JSON object."""
    halt = decoded(delivery(event("report_incident", data))).halt  # type: ignore[union-attr]
    assert halt.reason == "invalid_input"
    assert [(e.path, e.message) for e in halt.errors] == [("$.data", "must be a JSON object")]


def test_no_data_is_no_inputs() -> None:
    """Without data every required input is missing."""
    message = orjson.loads(event("report_incident", {}))
    del message["data"]
    halt = decoded(delivery(orjson.dumps(message))).halt  # type: ignore[union-attr]
    assert halt.reason == "missing_input"
    assert len(halt.errors) == 8
