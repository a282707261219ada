"""CloudEvents over HTTP: everything that is wrong with them is told at once."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from starlette.datastructures import Headers

from producers.gateway.cloudevents import BATCH, STRUCTURED, NotCloudEvents, read_cloudevents
from tests.support.requests import SOURCE, report

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SOUND: dict[str, Any] = {
    "specversion": "1.0",
    "id": "one",
    "source": SOURCE,
    "type": "andon.report_incident",
    "time": "2026-11-24T11:00:00Z",
    "data": report(),
}


def _read(body: object, *, media: str = STRUCTURED) -> None:
    text = body if isinstance(body, bytes) else orjson.dumps(body)
    headers = Headers({"content-type": media})
    read_cloudevents(headers, text, source=SOURCE, now=lambda: NOW)


def _refusal(body: object, *, media: str = STRUCTURED) -> tuple[int, dict[str, str]]:
    """The status of the refusal, and its faults by their paths."""
    with pytest.raises(NotCloudEvents) as raised:
        _read(body, media=media)
    return raised.value.status, {each.path: each.message for each in raised.value.errors}


def test_a_sound_event_is_read() -> None:
    """Alone and in a batch."""
    _read(SOUND)
    _read([SOUND, SOUND | {"id": "two"}], media=BATCH)


@pytest.mark.parametrize(
    ("attribute", "bad"),
    [
        ("specversion", "0.3"),
        ("id", ""),
        ("id", "a\0"),
        ("time", "noon"),
        ("datacontenttype", "text/xml"),
    ],
)
def test_a_fault_of_the_envelope_hides_no_other(attribute: str, bad: str) -> None:
    """Neither another's source, nor an unknown type, nor what is wrong with the data."""
    status, faults = _refusal(SOUND | {attribute: bad, "source": "foreign", "data": {"title": 7}})
    assert status == 403
    expected = {f"$.{attribute}", "$.source", "$.data.title", "$.data.client_id"}
    assert expected <= faults.keys()
    status, faults = _refusal(SOUND | {attribute: bad, "type": "report_incident"})
    assert (status, faults.keys()) == (400, {f"$.{attribute}", "$.type"})


def test_an_attribute_with_a_fault_of_its_own_has_no_second_one() -> None:
    """What is no text is not also an unknown type, or another's source."""
    status, faults = _refusal(SOUND | {"source": 7, "type": ""})
    assert (status, faults) == (400, {"$.source": "must be text", "$.type": "must not be empty"})


def test_of_a_batch_every_event_s_faults_are_told() -> None:
    """Each below the event's own place."""
    status, faults = _refusal(
        [SOUND | {"time": "noon", "data": []}, SOUND, 7, SOUND | {"type": "andon.reboot"}],
        media=BATCH,
    )
    assert (status, faults.keys()) == (400, {"$[0].time", "$[0].data", "$[2]", "$[3].type"})


def test_data_that_is_nested_too_deeply_is_not_looked_into() -> None:
    """What is wrong with the envelope is told all the same."""
    deep = orjson.dumps(SOUND | {"time": "noon", "data": None})
    deep = deep.replace(b"null", b"[" * 900 + b'"\\u0000"' + b"]" * 900)
    assert _refusal(deep) == (400, {"$.time": "must be an RFC 3339 timestamp"})
