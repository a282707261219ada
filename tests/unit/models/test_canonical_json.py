"""Canonical JSON, the body's hash, and signatures."""

import random
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from models.canonical import body_hash, canonical_json
from models.events import write_event
from models.signatures import sign, verify
from tests.support.requests import SECRET, event, report

_keys = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**53) + 1, max_value=2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
)
_json = st.recursive(
    _scalars,
    lambda below: st.lists(below, max_size=5) | st.dictionaries(_keys, below, max_size=5),
    max_leaves=20,
)


@given(_json)
def test_canonical_json_is_rfc_8785(value: Any) -> None:
    """For what Andon accepts, the bytes are those of the JSON Canonicalization Scheme."""
    assert canonical_json(value) == rfc8785.dumps(value)


@given(st.dictionaries(_keys, _json, min_size=1, max_size=8), st.randoms())
def test_the_body_hash_does_not_depend_on_the_order_of_keys(
    data: dict[str, Any], order: random.Random
) -> None:
    """The same request written in another order is the same request."""
    names = list(data)
    order.shuffle(names)
    assert body_hash("andon.x", data) == body_hash("andon.x", {name: data[name] for name in names})


@given(_json, _json)
def test_other_data_has_another_body_hash(one: Any, other: Any) -> None:
    """The hashes agree exactly when the values do."""
    same = rfc8785.dumps(one) == rfc8785.dumps(other)
    assert (body_hash("andon.x", one) == body_hash("andon.x", other)) == same


def test_the_body_hash_is_that_of_type_and_data() -> None:
    """Nothing else of the event counts, and both of these do."""
    assert body_hash("andon.x", {"a": 1}).hex() == (
        # sha256 of {"data":{"a":1},"type":"andon.x"}
        "95531711888d9110dd88245e239acf3f1102f84da4a273f0f8348b2b64ef9cf6"
    )
    assert body_hash("andon.x", {}) != body_hash("andon.y", {})


@given(st.binary(max_size=300), st.binary(min_size=16, max_size=64))
def test_a_signature_fits_its_event_and_key(message: bytes, secret: bytes) -> None:
    """What was signed verifies."""
    assert verify(message, sign(message, secret), secret)


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_signature_fits_no_other_event(place: int, flip: int) -> None:
    """Any byte of the event flipped, and the signature fits no more."""
    message = bytearray(event("report_incident", report(), id="r1"))
    signature = sign(bytes(message), SECRET)
    message[place % len(message)] ^= flip
    assert not verify(bytes(message), signature, SECRET)


@given(st.integers(min_value=0, max_value=63), st.sampled_from("0123456789abcdefgG \0ä"))
def test_no_other_signature_fits(place: int, character: str) -> None:
    """Any character of the signature changed, and it fits no more."""
    signature = sign(b"message", SECRET)
    changed = signature[:place] + character + signature[place + 1 :]
    assert verify(b"message", changed, SECRET) == (changed == signature)


@pytest.mark.parametrize("signature", ["", "0", "x" * 64, "0" * 10_000, "ä" * 64, "\ud800"])
def test_a_signature_that_is_none_is_refused(signature: str) -> None:
    """Whatever stands there is compared, never an exception."""
    assert not verify(b"message", signature, SECRET)


def test_a_signature_needs_the_right_key() -> None:
    """Another secret gives another signature."""
    assert not verify(b"message", sign(b"message", SECRET), SECRET[::-1] + b"x")


def test_an_event_written_twice_has_the_same_bytes() -> None:
    """Writing keeps microseconds and is stable, so that a file sent twice is the same twice."""
    values: dict[str, Any] = {
        "id": "1",
        "source": "s",
        "type": "andon.x",
        "time": datetime(2025, 9, 25, 12, 0, 0, 1, tzinfo=UTC),
        "data": {"b": 1, "a": 2},
    }
    assert write_event(**values) == write_event(**values)
    assert orjson.loads(write_event(**values))["time"] == "2025-09-25T12:00:00.000001Z"
