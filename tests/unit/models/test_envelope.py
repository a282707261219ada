"""The CloudEvents envelope: what is an event, and what is malformed (DESIGN 2 and 5)."""

from typing import Any

import orjson
import pytest

from models.events import MAX_EVENT_BYTES, Event, read_event
from policy.halts import Halt, Reason
from tests.support.requests import event, report

_SOUND: dict[str, Any] = orjson.loads(event("report_incident", report(), id="r1"))


def _read(**changes: Any) -> Event | Halt:
    return read_event(orjson.dumps(_SOUND | changes))


def _without(name: str) -> bytes:
    return orjson.dumps({key: value for key, value in _SOUND.items() if key != name})


def _malformed(found: Event | Halt, *paths: str) -> bool:
    assert isinstance(found, Halt), found
    return (found.reason, *(error.path for error in found.errors)) == (Reason.MALFORMED, *paths)


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_an_event_has_its_required_attributes(name: str) -> None:
    """Without specversion, id, source or type a message is no CloudEvent."""
    assert _malformed(read_event(_without(name)), f"$.{name}")
    assert _malformed(_read(**{name: None}), f"$.{name}")


@pytest.mark.parametrize("name", ["id", "source", "type"])
@pytest.mark.parametrize("bad", ["", "x" * 256, 7, ["x"], True])
def test_names_have_1_to_255_characters(name: str, bad: object) -> None:
    """Id and source (and type) are text of 255 characters at most."""
    assert _malformed(_read(**{name: bad}), f"$.{name}")


@pytest.mark.parametrize("name", ["id", "source"])
def test_names_count_characters_not_bytes(name: str) -> None:
    """255 characters of any script fit."""
    assert isinstance(_read(**{name: "漢" * 255}), Event)


@pytest.mark.parametrize("bad", ["1.1", "0.3", 1, 1.0, ""])
def test_only_specversion_1_0_is_read(bad: object) -> None:
    """Another version of CloudEvents may mean something else."""
    assert _malformed(_read(specversion=bad), "$.specversion")


def test_every_fault_of_the_envelope_is_told_at_once() -> None:
    """All faults with their paths, not only the first."""
    found = _read(specversion="2", id="", time="yesterday", datacontenttype="text/xml")
    assert _malformed(found, "$.specversion", "$.id", "$.time", "$.datacontenttype")


def test_extensions_pass_unread() -> None:
    """Unknown attributes are no error in the envelope, whatever they hold."""
    found = _read(traceparent="00-abc-def-01", partitionkey=7, subject=None, x={"y": [1]})
    assert isinstance(found, Event)
    assert found.data == report()


@pytest.mark.parametrize(
    "good",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.x+json",
        None,
    ],
)
def test_json_by_any_name_is_json(good: str | None) -> None:
    """The content type may say more, or nothing."""
    assert isinstance(_read(datacontenttype=good), Event)


def test_an_event_without_time_is_one() -> None:
    """Time is optional in CloudEvents."""
    assert isinstance(read_event(_without("time")), Event)
    assert isinstance(_read(time=None), Event)


def test_data_may_be_anything_for_the_envelope() -> None:
    """Whether data fits is told with the inputs, when the message has proven its source."""
    for data in (None, [], "x", 7, {"unknown": 1}):
        found = _read(data=data)
        assert isinstance(found, Event)
        assert found.data == data
    assert isinstance(read_event(_without("data")), Event)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{",
        b"not json",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"{'id': 1}",
        b'{"a": NaN}',
        b'{"a": "\x00"}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": 1e999}',
        b"{} {}",
        b"[" * 100_000,
        b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
    ],
    ids=range(14),
)
def test_what_is_not_json_is_malformed(message: bytes) -> None:
    """Other encodings, lone surrogates, NaN, infinities and bottomless nesting are not read."""
    assert _malformed(read_event(message))


@pytest.mark.parametrize("message", [b"[]", b"null", b'"x"', b"7", b"true"])
def test_json_that_is_no_object_is_malformed(message: bytes) -> None:
    """A CloudEvent is an object."""
    assert _malformed(read_event(message))


def test_an_event_may_have_256_kib_and_no_byte_more() -> None:
    """The limit is on the bytes as they were sent."""
    sound = orjson.dumps(_SOUND)
    assert isinstance(read_event(sound + b" " * (MAX_EVENT_BYTES - len(sound))), Event)
    assert _malformed(read_event(sound + b" " * (MAX_EVENT_BYTES - len(sound) + 1)))
    assert MAX_EVENT_BYTES == 262_144


@pytest.mark.parametrize("depth", [260, 600, 1000])
@pytest.mark.parametrize("where", ["data", "extension"])
def test_what_is_too_deep_to_be_hashed_is_malformed(depth: int, where: str) -> None:
    """Nesting that can be read but not written again is refused before anything needs to."""
    nested = b"[" * depth + b'"\\u0000"' + b"]" * depth
    sound = orjson.dumps(_SOUND)
    assert _malformed(read_event(sound[:-1] + b', "' + where.encode() + b'": ' + nested + b"}"))


def test_reasonable_nesting_is_read() -> None:
    """What is too deep starts far beyond what anybody means."""
    nested: Any = "x"
    for _ in range(200):
        nested = [nested]
    assert isinstance(_read(data=nested), Event)


def test_of_a_key_that_stands_twice_the_last_counts() -> None:
    """As in every common JSON reader; the signature covers the bytes with both."""
    sound = orjson.dumps(_SOUND)
    found = read_event(sound[:-1] + b', "id": "r2"}')
    assert isinstance(found, Event)
    assert found.envelope.id == "r2"


@pytest.mark.parametrize("name", ["id", "source", "type", "subject"])
def test_u0000_in_the_envelope_is_malformed(name: str) -> None:
    """U+0000 is invalid everywhere, in an extension too."""
    assert _malformed(_read(**{name: "a\0b"}), f"$.{name}")


@pytest.mark.parametrize(
    ("type_", "procedure"),
    [
        ("andon.report_incident", "report_incident"),
        ("andon.", ""),
        ("report_incident", None),
        ("Andon.report_incident", None),
        ("com.example.andon.report_incident", None),
    ],
)
def test_the_type_names_the_procedure(type_: str, procedure: str | None) -> None:
    """What follows andon. is the procedure's name."""
    found = _read(type=type_)
    assert isinstance(found, Event)
    assert found.procedure == procedure
