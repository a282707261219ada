"""Alertmanager's and Grafana's payloads: what is read of them, and what is refused."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from producers.gateway.alerts import MAX_PAYLOAD_BYTES, Alert, AlertState, Link, PayloadFaults
from producers.gateway.formats import alertmanager, grafana
from producers.gateway.formats.reading import MOST_ALERTS
from tests.support.alerts import (
    LABELS,
    RECEIVED,
    alertmanager_alert,
    alertmanager_payload,
    firing,
    grafana_alert,
    grafana_payload,
    resolved,
)

Read = Callable[[bytes], list[Alert]]


def _read_alertmanager(body: bytes) -> list[Alert]:
    return alertmanager.read(body, received_at=RECEIVED)


def _read_grafana(body: bytes) -> list[Alert]:
    return grafana.read(body, received_at=RECEIVED)


_BOTH = pytest.mark.parametrize(
    ("read", "payload"),
    [(_read_alertmanager, alertmanager_payload), (_read_grafana, grafana_payload)],
    ids=["alertmanager", "grafana"],
)
_READ = pytest.mark.parametrize(
    "read", [_read_alertmanager, _read_grafana], ids=["alertmanager", "grafana"]
)


def _faults(read: Read, body: bytes) -> dict[str, str]:
    with pytest.raises(PayloadFaults) as caught:
        read(body)
    return {error.path: error.message for error in caught.value.errors}


@_BOTH
def test_a_firing_alert_is_read(read: Read, payload: Callable[..., bytes]) -> None:
    """Its fingerprint is its key, its labels and annotations are as they were sent."""
    (alert,) = read(payload(firing()))
    assert (alert.state, alert.key, alert.labels) == (
        AlertState.FIRING,
        "2ed1bdaa3ba3ea1f",
        LABELS,
    )
    assert (alert.title, alert.description) == ("Disk full", "97 % used")
    assert alert.started_at == datetime(2026, 11, 24, 19, 0, 0, 123456, UTC)
    assert (alert.received_at, alert.receiver) == (RECEIVED, "andon")


@_BOTH
@pytest.mark.parametrize("ends", ["0001-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "soon", None])
def test_the_end_of_a_firing_alert_means_nothing(
    ends: str | None, read: Read, payload: Callable[..., bytes]
) -> None:
    """EndsAt is looked at only once the alert is resolved."""
    (alert,) = read(payload(firing(endsAt=ends)))
    assert alert.ended_at is None


@_BOTH
def test_a_resolved_alert_says_when_it_ended(read: Read, payload: Callable[..., bytes]) -> None:
    """Unless its endsAt is left out, or Go's zero time."""
    ends = ["2026-11-24T19:20:00Z", "0001-01-01T00:00:00Z", None]
    alerts = read(payload(*(resolved(endsAt=each) for each in ends)))
    assert [alert.ended_at for alert in alerts] == [
        datetime(2026, 11, 24, 19, 20, tzinfo=UTC),
        None,
        None,
    ]
    assert {alert.state for alert in alerts} == {AlertState.RESOLVED}


@_BOTH
def test_every_fault_of_a_payload_is_named(read: Read, payload: Callable[..., bytes]) -> None:
    """By its JSON path, in every alert, not only the first."""
    found = _faults(
        read,
        payload(
            firing(status="burning", labels={"a": 1}),
            resolved(startsAt="yesterday", endsAt="today", fingerprint=""),
            firing(labels=None, startsAt=None, fingerprint=None),
            version="9",
        ),
    )
    assert list(found) == [
        "$.version",
        "$.alerts[0].status",
        "$.alerts[0].labels.a",
        "$.alerts[1].startsAt",
        "$.alerts[1].endsAt",
        "$.alerts[1].fingerprint",
        "$.alerts[2].labels",
        "$.alerts[2].startsAt",
        "$.alerts[2].fingerprint",
    ]


@_READ
@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"alerts"', b"\xff", b"{", b'{"alerts": {}}', b"{}", b"[" * 5_000],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_no_payload_is_refused(body: bytes, read: Read) -> None:
    """Whatever the bytes are, the answer is a fault with a path, never another exception."""
    assert _faults(read, body)


@_READ
def test_sizes_have_limits(read: Read) -> None:
    """A payload's bytes and its alerts; so many alerts as there may be are fine."""
    assert "bytes" in _faults(read, b" " * (MAX_PAYLOAD_BYTES + 1))["$"]
    small = {"status": "firing", "labels": {}, "startsAt": "2026-11-24", "fingerprint": "a"}
    many = alertmanager_payload(*[small] * (MOST_ALERTS + 1), version=None)
    assert len(many) < MAX_PAYLOAD_BYTES
    told = f"must have at most {MOST_ALERTS} items, not {MOST_ALERTS + 1}"
    assert _faults(read, many)["$.alerts"] == told
    assert len(read(alertmanager_payload(*[small] * MOST_ALERTS, version=None))) == MOST_ALERTS


@_BOTH
def test_newer_senders_are_understood(read: Read, payload: Callable[..., bytes]) -> None:
    """Fields that are not known pass; those that are not needed may be left out."""
    assert read(payload(firing(novel={"a": [1]}), novel=[[]]))
    plain: dict[str, Any] = {"annotations": None, "generatorURL": None, "endsAt": None}
    (alert,) = read(payload(firing(**plain), version=None, receiver=None, externalURL=None))
    assert (alert.title, alert.description) == ("DiskFull", "")


@_BOTH
def test_nul_never_gets_into_a_request(read: Read, payload: Callable[..., bytes]) -> None:
    """U+0000, which no request may hold, does not make an alert halt."""
    (alert,) = read(payload(firing(labels={"a\0": "b\0"}, fingerprint="f\0")))
    assert (alert.labels, alert.key) == ({"a\ufffd": "b\ufffd"}, "f\ufffd")


def test_links_of_alertmanager() -> None:
    """The runbook, the graph, and Alertmanager itself."""
    alert = alertmanager_alert(annotations={"runbook_url": "http://runbook"})
    assert alert.links == (
        Link("Runbook", "http://runbook"),
        Link("Source", "http://prometheus/graph"),
        Link("Alertmanager", "http://alertmanager"),
    )


def test_links_of_grafana() -> None:
    """Panel, dashboard, rule and silence; not the screenshot, which each repetition has anew."""
    assert [link.name for link in grafana_alert().links] == [
        "Panel",
        "Dashboard",
        "Rule",
        "Silence",
    ]


def test_repetitions_of_grafana_s_are_equal() -> None:
    """What was measured meanwhile, and the screenshot, do not make another alert of it."""
    again = grafana_alert(
        values={"B": 98.2}, valueString="[ value=98.2 ]", imageURL="http://grafana/image/2.png"
    )
    assert again == grafana_alert()
