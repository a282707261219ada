"""PagerDuty's Events API v2: what is read of an event, and what is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from producers.gateway.alerts import MAX_PAYLOAD_BYTES, AlertState, Link, PayloadFaults
from producers.gateway.formats import pagerduty
from producers.gateway.formats.flattening import MOST_VALUES
from tests.support.alerts import (
    RECEIVED,
    ROUTING_KEY,
    body,
    follow_up,
    pagerduty_alert,
    trigger,
)

_LATER = RECEIVED + timedelta(seconds=30)


def _payload(**changes: Any) -> dict[str, Any]:
    changed = {**trigger()["payload"], **changes}
    return {name: value for name, value in changed.items() if value is not None}


def _faults(event: object) -> list[str]:
    with pytest.raises(PayloadFaults) as caught:
        pagerduty.read(body(event), received_at=RECEIVED)
    return [error.path for error in caught.value.errors]


def test_a_trigger_is_read() -> None:
    """Its dedup_key is its key, its summary the title; its time is that of receipt by default."""
    alert = pagerduty_alert(trigger())
    assert (alert.state, alert.key, alert.title) == (AlertState.FIRING, "disk/db-1", "Disk full")
    assert alert.labels == {
        "severity": "critical",
        "source": "db-1",
        "component": "gateway",
        "client": "Nagios",
    }
    assert (alert.started_at, alert.ended_at) == (RECEIVED, None)
    assert alert.links == (Link("Nagios", "http://nagios"),)


def test_custom_details_become_flat_labels() -> None:
    """Nested ones by their path, numbers and truths as JSON writes them; nothing is dropped."""
    details = {"disk": {"free": 3, "mounts": ["/", "/var"]}, "ok": False, "none": None, "n": 1.5}
    alert = pagerduty_alert(trigger(payload=_payload(custom_details=details)))
    assert {name: value for name, value in alert.labels.items() if name.startswith("custom")} == {
        "custom_details.disk.free": "3",
        "custom_details.disk.mounts.0": "/",
        "custom_details.disk.mounts.1": "/var",
        "custom_details.ok": "false",
        "custom_details.n": "1.5",
    }
    assert "disk.free: 3" in alert.description


@pytest.mark.parametrize("details", ["text", 7, ["a"], True])
def test_custom_details_may_be_anything(details: object) -> None:
    """They are the sender's own; text and lists are told like an object's values."""
    alert = pagerduty_alert(trigger(payload=_payload(custom_details=details)))
    assert any(name.startswith("custom_details") for name in alert.labels)


def test_deep_details_stay_json() -> None:
    """What is nested without end becomes one label, not thousands of levels."""
    deep: object = "x"
    for _ in range(100):
        deep = {"a": deep}
    alert = pagerduty_alert(trigger(payload=_payload(custom_details=deep)))
    (value,) = [value for name, value in alert.labels.items() if name.startswith("custom")]
    assert value.startswith('{"a":{"a":')


@pytest.mark.parametrize(
    "details",
    [
        {"k" * 20_000: [0] * 20_000},
        [0] * 100_000,
        {"a": {"b" * 1_000: dict.fromkeys(map(str, range(1_500)), 1)}},
    ],
)
def test_a_small_payload_does_not_become_a_large_one(details: Any) -> None:
    """Few labels, whose names together are no longer than the payload; the rest stays JSON."""
    alert = pagerduty_alert(trigger(payload=_payload(custom_details=details)))
    names = [name for name in alert.labels if name.startswith("custom_details")]
    assert 0 < len(names) <= MOST_VALUES
    assert sum(map(len, names)) <= MAX_PAYLOAD_BYTES
    assert max(map(len, alert.labels.values())) > 1_000
    assert len(alert.description) <= 2 * MAX_PAYLOAD_BYTES


def test_nesting_has_a_limit() -> None:
    """What could not be written again as JSON is refused with its reason."""
    deep = b'{"a":' * 600 + b"1" + b"}" * 600
    event = body(trigger())[:-1] + b',"x":' + deep + b"}"
    with pytest.raises(PayloadFaults, match="nested too deeply"):
        pagerduty.read(event, received_at=RECEIVED)


@pytest.mark.parametrize(
    ("event", "paths"),
    [
        ({}, ["$.routing_key", "$.event_action", "$.payload"]),
        (trigger(payload=None), ["$.payload"]),
        (trigger(payload={}), ["$.payload.summary", "$.payload.source", "$.payload.severity"]),
        (trigger(payload=_payload(severity="fatal")), ["$.payload.severity"]),
        (trigger(payload=_payload(summary="x" * 1025)), ["$.payload.summary"]),
        (trigger(payload=_payload(timestamp="tomorrow")), ["$.payload.timestamp"]),
        (trigger(dedup_key="x" * 256, routing_key=7), ["$.routing_key", "$.dedup_key"]),
        (trigger(event_action="explode"), ["$.event_action"]),
        (follow_up("acknowledge", dedup_key=None), ["$.dedup_key"]),
        (follow_up("resolve", dedup_key=""), ["$.dedup_key"]),
        ([], ["$"]),
    ],
    ids=str,
)
def test_every_fault_of_an_event_is_named(event: object, paths: list[str]) -> None:
    """By its JSON path; what PagerDuty requires is required."""
    assert _faults(event) == paths


@pytest.mark.parametrize(
    ("timestamp", "read"),
    [
        ("2026-11-24T19:00:00.123+0000", datetime(2026, 11, 24, 19, 0, 0, 123_000, UTC)),
        ("2026-11-24T20:00:00+01:00", datetime(2026, 11, 24, 19, tzinfo=UTC)),
        ("20261124T190000Z", datetime(2026, 11, 24, 19, tzinfo=UTC)),
        ("", RECEIVED),
    ],
)
def test_timestamps_are_read_as_senders_write_them(timestamp: str, read: datetime) -> None:
    """Any ISO 8601; blank means the time of receipt."""
    assert pagerduty_alert(trigger(payload=_payload(timestamp=timestamp))).started_at == read


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
@pytest.mark.parametrize("payload", [None, {}, {"severity": "fatal"}, "x", 7])
def test_a_follow_up_needs_no_payload(action: str, payload: object) -> None:
    """To acknowledge and to resolve, a dedup_key is enough, and a bad payload does not matter."""
    alert = pagerduty_alert(follow_up(action, payload=payload))
    assert (alert.key, alert.labels) == ("disk/db-1", {})
    assert alert.state == {"acknowledge": "acknowledged", "resolve": "resolved"}[action]


def test_a_trigger_without_a_key_gets_one() -> None:
    """The same one when the call is repeated, another one for other content or another account."""
    keyless = trigger(dedup_key=None)
    key = pagerduty_alert(keyless).key
    assert 0 < len(key) <= 255
    assert pagerduty_alert(keyless, _LATER).key == key
    assert pagerduty_alert({**keyless, "dedup_key": ""}, _LATER).key != ""
    other = trigger(dedup_key=None, payload=_payload(summary="Disk full again"))
    assert pagerduty_alert(other).key != key
    assert pagerduty_alert(trigger(dedup_key=None, routing_key="S" * 32)).key != key


def test_the_routing_key_is_not_told() -> None:
    """It is a secret: it is in no label, and in no text of what was read."""
    read = pagerduty.read_event(body(trigger()))
    assert read.routing_key.get_secret_value() == ROUTING_KEY
    assert ROUTING_KEY not in repr(read)


def test_links_and_images_are_links() -> None:
    """Those with an address; anything else there is no reason to refuse an alert."""
    alert = pagerduty_alert(
        trigger(
            client_url=None,
            links=[{"href": "http://a", "text": "A"}, {"href": "http://b"}, "x", {"text": "C"}],
            images=[{"src": "http://i", "href": "http://j", "alt": "I"}, 7],
        )
    )
    assert alert.links == (
        Link("A", "http://a"),
        Link("Link", "http://b"),
        Link("I", "http://i"),
    )
    assert pagerduty_alert(trigger(client_url=7, links="x", images={})).links == ()
