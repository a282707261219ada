"""Any alert at all: it becomes one request, always the same one, that can be published."""

from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.canonical import body_hash
from models.events import MAX_EVENT_BYTES, MOST_UNMAPPED, Event, read_event, write_event
from policy.halts import InputError
from producers.gateway.alerts import Alert, AlertFormat, AlertState, Link, PayloadFaults
from producers.gateway.formats.readers import READERS, guess_format
from producers.gateway.mapping import AlertMapping
from producers.gateway.translate import Translation, translate
from tests.support.alerts import (
    RECEIVED,
    RULES,
    alertmanager_alert,
    alertmanager_payload,
    body,
    firing,
    mapping,
    trigger,
)

_SECOND = """
[[rules]]
match = { "alert.title" = { regex = "(?s).*[a-z].*" } }
client_id = "{tenant|acme}"
component_id = { from = "a", map = { b = "gateway" }, default = "database" }
impact_level = "{annotations.a}"
urgency_level = "high"
severity_flags = ["p1_outage_no_workaround"]
note = "{alert.description}{a|}{b|}"
dedup_key = "{alert.key}{a|}"
"""
_RULES = mapping(RULES + _SECOND)

_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
_long = st.builds(lambda text, times: text * times, _text, st.integers(0, 400))
_names = st.sampled_from(["alertname", "severity", "host", "tenant", "a", "b"]) | _text
_texts = st.dictionaries(_names, st.sampled_from(["DiskFull", "critical", "b", ""]) | _long)
_times = st.datetimes(timezones=st.just(UTC))
_alerts = st.builds(
    Alert,
    format=st.sampled_from(AlertFormat),
    state=st.sampled_from(AlertState),
    key=_long.filter(bool),
    occurrence=st.tuples(_text, _text),
    labels=_texts,
    title=_long,
    started_at=_times,
    received_at=_times,
    ended_at=st.none() | _times,
    description=_long,
    annotations=_texts,
    links=st.lists(st.builds(Link, _text, _long), max_size=3).map(tuple),
    receiver=_text,
)
_json: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)


def _published(found: Translation, source: str = "monitor") -> bytes:
    return write_event(
        id=found.event_id,
        source=source,
        type=f"andon.{found.procedure}",
        time=found.time,
        data=found.data,
        **found.extensions,
    )


def _read(format_: AlertFormat, payload: bytes) -> list[Alert] | tuple[InputError, ...]:
    try:
        return READERS[format_](payload, received_at=RECEIVED)
    except PayloadFaults as faults:
        return faults.errors


def _read_or_refused(format_: AlertFormat, payload: bytes) -> bool:
    """Whether every alert of a payload can be published, or every fault is named."""
    match _read(format_, payload):
        case tuple(errors):
            return all(error.path.startswith("$") and error.message for error in errors) and (
                len(errors) > 0
            )
        case alerts:
            published = [_published(_translate(alert)) for alert in alerts]
            return all(isinstance(read_event(event), Event) for event in published)


def _translate(alert: Alert, rules: AlertMapping = _RULES) -> Translation:
    return translate(alert, rules, source="monitor")


@given(_alerts)
def test_any_alert_becomes_an_event(alert: Alert) -> None:
    """Well-formed, small enough, and a report or an update; nothing an alert says raises."""
    found = _translate(alert)
    event = _published(found)
    assert len(event) <= MAX_EVENT_BYTES
    read = read_event(event)
    assert isinstance(read, Event), read
    assert read.procedure == (
        "report_incident" if alert.state is AlertState.FIRING else "update_incident"
    )
    assert read.envelope.andonunmapped == found.unmapped
    assert found.unmapped is None or len(found.unmapped) <= MOST_UNMAPPED


@given(_alerts, st.timedeltas(timedelta(0), timedelta(days=9)))
def test_the_same_alert_is_the_same_request(alert: Alert, later: timedelta) -> None:
    """Same id, same body, whenever it came: the time of receipt decides nothing."""
    if alert.received_at.year > 9990:
        later = timedelta(0)
    one, other = (
        _translate(alert),
        _translate(replace(alert, received_at=alert.received_at + later)),
    )
    assert (one.event_id, one.procedure, one.data) == (other.event_id, other.procedure, other.data)


@given(_alerts, _alerts)
def test_one_id_means_one_body(one: Alert, other: Alert) -> None:
    """Two requests with one id never ask for different things, which would halt as a conflict."""
    other = replace(other, format=one.format, key=one.key, occurrence=one.occurrence)
    first, second = _translate(one), _translate(other)
    same_body = body_hash(first.procedure, first.data) == body_hash(second.procedure, second.data)
    if first.event_id == second.event_id:
        assert same_body
        assert first.extensions == second.extensions


@given(_alerts, st.sampled_from(AlertState))
def test_another_state_is_another_request(alert: Alert, state: AlertState) -> None:
    """What fires, is acknowledged and is resolved are requests of their own."""
    same = _translate(alert).event_id == _translate(replace(alert, state=state)).event_id
    assert same == (state is alert.state)


@given(st.sampled_from(AlertFormat), st.binary(max_size=200) | _json.map(body))
def test_any_payload_is_read_or_refused(format_: AlertFormat, payload: bytes) -> None:
    """Whatever is posted, the answer is alerts, or faults that are named."""
    assert guess_format(payload)
    assert _read_or_refused(format_, payload)


_PLACES = ["status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"]


@given(st.dictionaries(st.sampled_from(_PLACES), _json))
def test_any_field_of_an_alert_may_be_anything(changes: dict[str, Any]) -> None:
    """An alert with other values than expected is read or refused, field by field."""
    payload = alertmanager_payload(firing(**changes), version=None)
    for format_ in (AlertFormat.ALERTMANAGER, AlertFormat.GRAFANA):
        assert _read_or_refused(format_, payload)


_FIELDS = ["summary", "source", "severity", "timestamp", "component", "class", "custom_details"]
_AROUND = ["dedup_key", "client", "client_url", "links", "images"]


@given(
    st.dictionaries(st.sampled_from(_FIELDS), _json),
    st.dictionaries(st.sampled_from(_AROUND), _json),
    st.sampled_from(["trigger", "acknowledge", "resolve"]),
)
def test_any_field_of_an_event_may_be_anything(
    changes: dict[str, Any], around: dict[str, Any], action: str
) -> None:
    """So for PagerDuty: read or refused, and what is read can be published."""
    event = trigger(payload={**trigger()["payload"], **changes}, **around, event_action=action)
    assert _read_or_refused(AlertFormat.PAGERDUTY, body(event))


@pytest.mark.parametrize("name", ["a", "tenant", "host", "severity", "component"])
def test_the_longest_texts_still_make_an_event(name: str) -> None:
    """A label that fills a payload makes no event that is too large to be published."""
    labels = {"alertname": "DiskFull", "a": "b", "tenant": "acme"} | {name: "\x01" * 500_000}
    for rules in (RULES, RULES + _SECOND, RULES.replace('"DiskFull"', '"Other"') + _SECOND):
        for state in AlertState:
            alert = replace(alertmanager_alert(), labels=labels, state=state)
            event = _published(_translate(alert, mapping(rules)))
            assert len(event) <= MAX_EVENT_BYTES
