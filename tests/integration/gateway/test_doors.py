"""What each path takes and refuses, and what it leaves on the intake."""

import hashlib
import hmac
import time
from datetime import datetime
from typing import Any

import orjson
import pytest

from models.events import MAX_EVENT_BYTES
from models.signatures import verify
from models.streams import EVENT, KEY, SIGNATURE
from tests.support.gateways import (
    HMAC_KEY,
    NARROW_TOKEN,
    PASSWORD,
    ROUTING_KEY,
    TOKEN,
    GatewayProcess,
    alert,
    alertmanager_payload,
    basic,
    bearer,
    gateway_environment,
    gateway_running,
    grafana_payload,
    trigger,
)
from tests.support.installation import Installation
from tests.support.requests import KEY_ID, SECRET, SOURCE, event, report
from tests.support.traffic import Traffic

STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}


def entries(traffic: Traffic) -> list[dict[str, Any]]:
    """The events on the intake, oldest first, each signed by the source's key."""
    found: Any = traffic.client.xrange(traffic.names.intake())
    for _, fields in found:
        assert fields[KEY.encode()].decode() == KEY_ID
        signature = fields[SIGNATURE.encode()].decode()
        assert verify(fields[EVENT.encode()], signature, SECRET)
    return [orjson.loads(fields[EVENT.encode()]) for _, fields in found]


@pytest.mark.parametrize("credential", [bearer(), basic()], ids=["bearer", "basic"])
@pytest.mark.parametrize("path", ["/v1/alertmanager", "/v1/grafana"])
def test_every_alert_of_a_call_is_on_the_intake_when_it_is_answered(
    gateway: GatewayProcess, traffic: Traffic, path: str, credential: dict[str, str]
) -> None:
    """202 names each request with its receipt, and each is a signed event of the source."""
    make = alertmanager_payload if "alertmanager" in path else grafana_payload
    payload = make(*(alert(f"a{number}") for number in range(5)))
    answer = gateway.call(path, payload, headers=credential)
    assert answer.status == 202
    assert answer.document["status"] == "accepted"
    taken = answer.document["requests"]
    found = entries(traffic)
    assert [one["id"] for one in taken] == [one["id"] for one in found]
    assert {one["source"] for one in found} == {SOURCE}
    assert {one["type"] for one in found} == {"andon.report_incident"}
    for one in taken:
        assert gateway.call(one["receipt"]).document["state"] == "pending"


def test_a_call_without_alerts_is_taken(gateway: GatewayProcess, traffic: Traffic) -> None:
    """There is nothing to publish, and nothing wrong with it."""
    payload = alertmanager_payload() | {"alerts": []}
    answer = gateway.call("/v1/alertmanager", payload)
    assert (answer.status, answer.document["requests"]) == (202, [])
    assert entries(traffic) == []


def test_pagerduty_s_events_are_answered_in_its_words(
    gateway: GatewayProcess, traffic: Traffic
) -> None:
    """A trigger without a key is given one, and what follows it moves the same incident."""
    made = gateway.call("/v2/enqueue", trigger(dedup_key=None), headers={})
    assert made.status == 202
    assert made.document["status"] == "success"
    key = made.document["dedup_key"]
    resolve = {"routing_key": ROUTING_KEY, "event_action": "resolve", "dedup_key": key}
    assert gateway.call("/v2/enqueue", resolve, headers={}).document["dedup_key"] == key
    opened, moved = entries(traffic)
    assert opened["type"] == "andon.report_incident"
    assert moved["type"] == "andon.update_incident"
    assert moved["data"]["incident_dedup_key"] == opened["data"]["dedup_key"]


def test_a_cloudevent_is_published_as_it_came(gateway: GatewayProcess, traffic: Traffic) -> None:
    """Structured mode keeps every byte; batch and binary mode keep every attribute."""
    sent = event("report_incident", report(), id="structured")
    answer = gateway.call("/v1/events", sent, headers=bearer() | STRUCTURED)
    assert answer.status == 202, answer.body
    batch = [orjson.loads(event("report_incident", report(), id=name)) for name in ("b1", "b2")]
    assert gateway.call("/v1/events", batch, headers=bearer() | BATCH).status == 202
    binary = {
        "Content-Type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "caf%C3%A9 1",
        "ce-source": SOURCE,
        "ce-type": "andon.report_incident",
        "ce-time": "2025-09-25T12:00:00Z",
        "ce-traceparent": "00-1-2-01",
    }
    assert gateway.call("/v1/events", report(), headers=bearer() | binary).status == 202
    raw: Any = traffic.client.xrange(traffic.names.intake(), count=1)
    assert raw[0][1][EVENT.encode()] == sent
    found = entries(traffic)
    assert [one["id"] for one in found] == ["structured", "b1", "b2", "café 1"]
    assert found[3]["traceparent"] == "00-1-2-01"
    assert found[3]["data"] == report()


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/alertmanager", {}),
        ("/v1/alertmanager", bearer(TOKEN[:-1])),
        ("/v1/alertmanager", bearer("")),
        ("/v1/alertmanager", bearer(ROUTING_KEY)),
        ("/v1/alertmanager", basic("alertmanager", PASSWORD + "x")),
        ("/v1/alertmanager", basic("nobody", PASSWORD)),
        ("/v1/alertmanager", {"Authorization": "Basic !!!"}),
        ("/v1/alertmanager", {"Authorization": f"Digest {TOKEN}"}),
        ("/v1/grafana", {}),
        ("/v1/grafana", {"X-Grafana-Alerting-Signature": "00" * 32}),
        ("/v1/events", {}),
        ("/v1/requests/monitor/x", {}),
    ],
)
def test_nobody_unknown_comes_in(
    gateway: GatewayProcess, traffic: Traffic, path: str, headers: dict[str, str]
) -> None:
    """401 with a challenge, and nothing is published; what was tried is in no log."""
    body = None if "requests" in path else alertmanager_payload()
    answer = gateway.call(path, body, headers=headers)
    assert answer.status == 401
    assert "Bearer" in answer.headers["www-authenticate"]
    assert entries(traffic) == []
    log = gateway.process.output()
    assert not [secret for secret in (TOKEN[:-1], PASSWORD, ROUTING_KEY) if secret in log]


def test_grafana_s_signature_is_checked_with_its_time(
    gateway: GatewayProcess, traffic: Traffic
) -> None:
    """A signature over time and body comes in; of another body, key or an old time it does not."""
    body = orjson.dumps(grafana_payload())

    def call(sent: bytes, *, key: str = HMAC_KEY, age: int = 0) -> int:
        stamp = str(int(time.time()) - age)
        signature = hmac.new(key.encode(), f"{stamp}:".encode() + body, hashlib.sha256)
        headers = {"X-Timestamp": stamp, "X-Grafana-Alerting-Signature": signature.hexdigest()}
        return gateway.call("/v1/grafana", sent, headers=headers).status

    assert call(body + b" ") == 401
    assert call(body, key="another-key-entirely") == 401
    assert call(body, age=301) == 401
    assert call(body, age=-301) == 401
    assert entries(traffic) == []
    assert call(body, age=200) == 202
    assert len(entries(traffic)) == 1


def test_a_source_reaches_only_what_it_may(gateway: GatewayProcess, traffic: Traffic) -> None:
    """A path it does not accept, another's events and another's receipts are 403."""
    narrow = bearer(NARROW_TOKEN)
    refused = gateway.call("/v1/alertmanager", alertmanager_payload(), headers=narrow)
    assert refused.status == 403
    sent = event("report_incident", report(), source=SOURCE)
    foreign = gateway.call("/v1/events", sent, headers=narrow | STRUCTURED)
    assert foreign.status == 403
    assert foreign.document["errors"][0]["path"] == "$.source"
    assert gateway.call(f"/v1/requests/{SOURCE}/x", headers=narrow).status == 403
    assert entries(traffic) == []


@pytest.mark.parametrize(
    ("path", "body", "paths"),
    [
        ("/v1/alertmanager", b"{", ["$"]),
        ("/v1/alertmanager", b"[]", ["$"]),
        (
            "/v1/alertmanager",
            {"version": "4", "alerts": [{"status": "odd", "labels": {}, "startsAt": "never"}]},
            ["$.alerts[0].status", "$.alerts[0].startsAt", "$.alerts[0].fingerprint"],
        ),
        ("/v1/grafana", {"version": "1"}, ["$.alerts"]),
    ],
)
def test_a_malformed_payload_hears_of_every_fault(
    gateway: GatewayProcess, traffic: Traffic, path: str, body: Any, paths: list[str]
) -> None:
    """400 with the JSON path of each, and nothing is published."""
    answer = gateway.call(path, body)
    assert answer.status == 400
    assert [error["path"] for error in answer.document["errors"]] == paths
    assert entries(traffic) == []


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (b"nonsense", 1),
        ({}, 3),
        (trigger(event_action="explode"), 1),
        (trigger(payload={"severity": "bad"}), 3),
        (trigger(routing_key="f" * 32), 1),
        ({"routing_key": ROUTING_KEY, "event_action": "resolve"}, 1),
    ],
)
def test_a_malformed_pagerduty_event_is_refused_in_pagerduty_s_words(
    gateway: GatewayProcess, traffic: Traffic, body: Any, errors: int
) -> None:
    """400 with status, message and one sentence for each fault; the key is not repeated."""
    answer = gateway.call("/v2/enqueue", body, headers={})
    assert answer.status == 400
    assert answer.document["status"] == "invalid event"
    assert answer.document["message"] == "Event object is invalid"
    assert len(answer.document["errors"]) == errors, answer.document
    assert "f" * 32 not in answer.body.decode()
    assert entries(traffic) == []


@pytest.mark.parametrize(
    ("headers", "body", "status", "paths"),
    [
        (STRUCTURED, b"{}", 400, ["$.specversion", "$.id", "$.source", "$.type"]),
        (STRUCTURED, event("report_incident", {}, id="x"), 400, None),
        (STRUCTURED, event("nothing_known", {}, id="x"), 400, ["$.type"]),
        (STRUCTURED, event("report_incident", [1], id="x"), 400, ["$.data"]),
        (STRUCTURED, b"not json", 400, ["$"]),
        (BATCH, b"{}", 400, []),
        (BATCH, b"[1]", 400, ["$[0]"]),
        (BATCH, b"[" * 100_000, 400, None),
        ({"Content-Type": "application/json"}, b"{}", 415, []),
        ({"Content-Type": "text/plain", "ce-specversion": "1.0"}, b"x", 415, []),
        (
            {"Content-Type": "application/json", "ce-specversion": "1.0"},
            b"{}",
            400,
            ["$.id", "$.source", "$.type"],
        ),
    ],
)
def test_what_is_no_cloudevent_is_refused(
    gateway: GatewayProcess,
    traffic: Traffic,
    headers: dict[str, str],
    body: bytes,
    status: int,
    paths: list[str] | None,
) -> None:
    """Envelope and inputs are looked into at the door, and every fault is named."""
    answer = gateway.call("/v1/events", body, headers=bearer() | headers)
    assert answer.status == status, answer.body
    found = [error["path"] for error in answer.document["errors"]]
    assert found if paths is None else found == paths
    assert entries(traffic) == []


def test_one_bad_event_keeps_its_whole_batch_out(gateway: GatewayProcess, traffic: Traffic) -> None:
    """A batch is taken as a whole or not at all; the fault says which event it is in."""
    events = [orjson.loads(event("report_incident", report(), id=name)) for name in "abc"]
    del events[1]["data"]["title"]
    answer = gateway.call("/v1/events", events, headers=bearer() | BATCH)
    assert answer.status == 400
    assert [error["path"] for error in answer.document["errors"]] == ["$[1].data.title"]
    assert entries(traffic) == []


def test_an_event_that_no_intake_takes_is_too_large(
    gateway: GatewayProcess, traffic: Traffic
) -> None:
    """A body may have more bytes than an event; then the event is refused by name."""
    sent = event("report_incident", report(note="x" * MAX_EVENT_BYTES))
    answer = gateway.call("/v1/events", sent, headers=bearer() | STRUCTURED)
    assert answer.status == 400
    assert str(MAX_EVENT_BYTES) in answer.body.decode()
    assert entries(traffic) == []


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/v1/alertmanager", "GET", 405), ("/v2/change/enqueue", "POST", 404), ("/", "GET", 404)],
)
def test_what_is_not_there_says_so(
    gateway: GatewayProcess, path: str, method: str, status: int
) -> None:
    """A wrong path or method is answered in the same form as every refusal."""
    answer = gateway.call(path, b"" if method == "POST" else None, method=method)
    assert answer.status == status
    assert answer.document["status"] == "error"


def test_what_resolves_is_later_than_what_acknowledged_though_the_clock_is_put_back(
    installation: Installation, traffic: Traffic
) -> None:
    """Otherwise a resolution would be superseded by the acknowledgement before it."""
    environment = gateway_environment(installation)
    with gateway_running(environment, installation.directory, before=_BACKWARDS) as gateway:
        for action in ("trigger", "acknowledge", "resolve"):
            answer = gateway.call("/v2/enqueue", trigger(event_action=action), headers={})
            assert answer.status == 202
    times = [datetime.fromisoformat(event["time"]) for event in entries(traffic)]
    assert len(times) == 3
    assert times == sorted(set(times))


_BACKWARDS = (
    "import itertools, producers.times as t;"
    " from datetime import UTC, datetime, timedelta; steps = itertools.count();"
    " t.datetime = type('Clock', (), {'now': staticmethod(lambda zone:"
    " datetime(2026, 1, 1, tzinfo=UTC) - next(steps) * timedelta(minutes=1))})"
)
"""A clock that goes back by a minute whenever it is looked at."""
