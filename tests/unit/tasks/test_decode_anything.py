"""Decode takes any bytes: the answer is a request or the reason why there is none."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.deliveries import Delivery
from models.signatures import sign
from policy.halts import Halt, Reason
from tasks.decode import Gate, refuse_unread
from tasks.requests import Refused, Request
from tests.support.decoding import TEST_REGISTRY, decoded
from tests.support.requests import (
    SECRET,
    communication,
    delivery,
    escalation,
    event,
    report,
    update,
)

_SOUND = [
    event("report_incident", report(note="ü", assigned_to_user_id="boss", dedup_key="k")),
    event("update_incident", update(note="x", expected_version=1)),
    event("submit_escalation", escalation(reason="x", escalated_at="2025-09-25")),
    event("record_communication", communication(incident_id=None, incident_request={"id": "r"})),
]
_LOST = Halt(Reason.WORKER_LOST, "lost")


def _check(message: Delivery) -> None:
    found = decoded(message)
    assert isinstance(found, Request | Refused)
    gate = Gate(TEST_REGISTRY, datetime.now(UTC))
    unread = refuse_unread(message, _LOST, gate)
    assert unread.identity == found.identity
    if found.identity is not None:
        assert found.body_hash is not None
        assert unread.body_hash == found.body_hash
        assert "\0" not in "".join(found.identity)


@given(st.binary(max_size=2_000))
def test_any_bytes_are_a_request_or_refused(message: bytes) -> None:
    """No message raises, signed or not."""
    _check(delivery(message))
    assert isinstance(decoded(delivery(message)), Refused)


@given(
    st.sampled_from(_SOUND),
    st.lists(st.tuples(st.integers(min_value=0), st.binary(max_size=6)), min_size=1, max_size=4),
)
def test_any_change_of_a_sound_event_is_a_request_or_refused(
    sound: bytes, changes: list[tuple[int, bytes]]
) -> None:
    """Bytes replaced at random, correctly signed: it may still be a request, or not."""
    changed = bytearray(sound)
    for place, piece in changes:
        place %= len(changed)
        changed[place : place + len(piece)] = piece
    _check(delivery(bytes(changed)))


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["1", "open", "resolved", "P1", "2025-09-25", "support", "\0", "x" * 300]),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3)
    ),
    max_leaves=8,
)
_names = [
    *sorted({name for sound in _SOUND for name in orjson.loads(sound)["data"]}),
    "escalation_id",
    "communication_id",
    "resolved_at",
    "sent_at",
    "status",
    "severity",
    "unknown",
]


@given(
    st.sampled_from(_SOUND),
    st.dictionaries(st.sampled_from(_names), _json, max_size=4),
    st.dictionaries(
        st.sampled_from(["specversion", "id", "source", "type", "time", "data", "x"]),
        _json,
        max_size=2,
    ),
)
def test_any_values_in_a_sound_event_are_a_request_or_refused(
    sound: bytes, inputs: dict[str, Any], envelope: dict[str, Any]
) -> None:
    """Any JSON in place of any value, correctly signed: every check meets every type."""
    message = orjson.loads(sound)
    message["data"] |= inputs
    message |= envelope
    try:
        changed = orjson.dumps(message)
    except TypeError:  # an integer beyond 64 bits, which orjson does not write
        return
    _check(delivery(changed))


@given(st.text(max_size=20), st.text(max_size=80))
def test_any_key_id_and_signature_are_compared(key_id: str, signature: str) -> None:
    """What stands there may be any text."""
    found = decoded(delivery(_SOUND[0])._replace(key_id=key_id, signature=signature))
    assert isinstance(found, Refused)
    assert found.halt.reason == "unauthenticated"


@pytest.mark.parametrize("depth", [100, 250, 254, 255, 500, 1000, 1020, 5000])
@pytest.mark.parametrize("nul", [False, True])
def test_any_depth_is_refused_and_never_raises(depth: int, nul: bool) -> None:
    """A deep value where none belongs is malformed or invalid, also with U+0000 at its bottom."""
    inner = b'"\\u0000"' if nul else b"1"
    deep = b"[" * depth + inner + b"]" * depth
    message = _SOUND[0].replace(b'"performance"', deep)
    assert message != _SOUND[0]
    found = decoded(delivery(message)._replace(signature=sign(message, SECRET)))
    assert isinstance(found, Refused)
    assert found.halt.reason in ("malformed", "invalid_input")
    _check(delivery(message))
