"""A word in every place where a sender may write something: it stays in the event, and its effects.

What outlives the event (a halt's message and errors, the ledger, the audit), what everybody reads
(outcomes) and what is logged holds none of it, whatever becomes of the request.
"""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producers.gateway.alerts import AlertFormat
from producers.gateway.formats.pagerduty import read_event as read_pagerduty
from producers.gateway.formats.readers import READERS
from producers.gateway.translate import translate
from tests.support.alerts import mapping
from tests.support.gateways import MAPPING, alert, alertmanager_payload, grafana_payload, trigger
from tests.support.installation import Installation
from tests.support.requests import (
    SOURCE,
    communication,
    delivery,
    escalation,
    event,
    report,
    update,
)

WORD = "Frau Geheimnis, Zimmer 7"
"""It looks like no name of a field."""
MARK = "Geheimnis"

EFFECTS = {"incidents", "incident_updates", "escalations", "communications", "dedup_keys"}
"""What a request writes is what it is for."""
EVENT_COLUMNS = ("event", "key_id", "signature")
"""Of a halt: the message itself, which goes with its retention."""

Path = tuple[str | int, ...]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in a JSON value."""
    yield path
    below = (
        value.items() if isinstance(value, dict) else enumerate(value) if _is_list(value) else ()
    )
    for key, inner in below:
        yield from places(inner, (*path, key))


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def put(value: Any, path: Path, what: Any) -> Any:
    """*value* with *what* in that place; below an object also under a name that is the word."""
    if not path:
        return value | {WORD: WORD} if isinstance(value, dict) and what is None else what
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(copy[path[0]], path[1:], what)
    return copy


WRITINGS: tuple[Any, ...] = (WORD, {WORD: WORD}, [WORD], [{WORD: [WORD]}], None)
"""What is written into a place; None for a member more, where there is an object."""
IDENTITY = {("id",), ("source",)}
"""What tells requests apart is kept for that: it is no free text."""


def events() -> dict[str, dict[str, Any]]:
    """A sound event of each procedure, by its name."""
    made = {
        "report_incident": report(dedup_key="k", note="n", severity_flags={}),
        "update_incident": update(change_set={"title": "t", "status": "investigating"}, note="n"),
        "submit_escalation": escalation(),
        "record_communication": communication(),
    }
    return {
        name: orjson.loads(event(name, data))
        | {"subject": "s", "andonunmapped": "", "traceparent": ""}
        for name, data in made.items()
    }


def written_events() -> Iterator[dict[str, Any]]:
    """All of them with the word in each place in turn."""
    for made in events().values():
        for path in places(made):
            if path[:1] not in IDENTITY:
                yield from (put(made, path, what) for what in WRITINGS)


@pytest.fixture
def silent(installation: Installation, caplog: pytest.LogCaptureFixture) -> Iterator[Installation]:
    """An installation that holds the word nowhere but where it may when the test is over."""
    with caplog.at_level(logging.DEBUG):
        yield installation
    for (table,) in installation.rows("""
        SELECT table_name FROM information_schema.tables
        WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
    """):
        if table not in EFFECTS:
            left_out = " - ".join(f"'{name}'" for name in EVENT_COLUMNS)
            found = installation.rows(
                f"SELECT * FROM (SELECT to_jsonb(t) - {left_out} AS row FROM {table} AS t) AS r"  # noqa: S608  # ours
                " WHERE row::text LIKE :mark",
                mark=f"%{MARK}%",
            )
            assert found == [], table
    assert MARK not in caplog.text


def run(installation: Installation, *messages: bytes) -> None:
    """Run each message, and look at what everybody reads of it."""
    for verdict in installation.process(*(delivery(message) for message in messages)):
        assert verdict.outcome is None or MARK not in str(verdict.outcome.data)


def test_no_event_leaves_what_is_written_in_it(
    silent: Installation, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whichever of its places it stands in, as a value, a name, or an object more."""
    messages = [orjson.dumps(each | {"id": str(n)}) for n, each in enumerate(written_or_not())]
    assert len(messages) > 250
    run(silent, *messages)
    reasons = silent.rows("SELECT reason, count(*) FROM halts GROUP BY 1")
    assert {reason for reason, _ in reasons} >= {"malformed", "invalid_input", "missing_input"}
    said = capfd.readouterr()
    assert MARK not in said.out + said.err


def written_or_not() -> Iterator[dict[str, Any]]:
    """The events, without those that the word has made no object of."""
    return (each for each in written_events() if isinstance(each, dict))


PAYLOADS = {
    AlertFormat.ALERTMANAGER: alertmanager_payload(alert(), alert("Other", status="resolved")),
    AlertFormat.GRAFANA: grafana_payload(alert(values={"A": 1}, silenceURL="http://grafana")),
}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_alert_leaves_what_is_written_in_it(silent: Installation, data: st.DataObject) -> None:
    """Whether a rule is for it or none, in whichever places the word stands together."""
    format_ = data.draw(st.sampled_from(sorted(PAYLOADS)))
    payload = PAYLOADS[format_]
    paths = [path for path in places(payload) if path and path[-1] not in ("status", "startsAt")]
    for path in data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=6, unique=True)):
        try:
            payload = put(payload, path, data.draw(st.sampled_from([WORD, None])))
        except (KeyError, TypeError, IndexError):  # another place holds the word, around this one
            continue
    try:
        alerts = READERS[format_](orjson.dumps(payload), received_at=datetime.now(UTC))
    except ValueError:
        return
    send(silent, data, alerts)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_event_of_pagerduty_s_leaves_what_is_written_in_it(
    silent: Installation, data: st.DataObject
) -> None:
    """Its details may have any names and any depth."""
    details = data.draw(st.sampled_from([{WORD: WORD}, {"a": {WORD: [WORD]}}, {"severity": WORD}]))
    action = data.draw(st.sampled_from(["trigger", "acknowledge", "resolve"]))
    payload = {**trigger()["payload"], "custom_details": details, "summary": WORD, "source": WORD}
    body = orjson.dumps(trigger(event_action=action, payload=payload, dedup_key=WORD))
    send(silent, data, [read_pagerduty(body).alert(received_at=datetime.now(UTC))])


def send(installation: Installation, data: st.DataObject, alerts: Any) -> None:
    """Translate with rules that are for them, for none, or that they lack something for."""
    rules = data.draw(
        st.sampled_from(
            [
                MAPPING,
                MAPPING.replace('regex = ".+"', 'regex = "none"'),
                MAPPING.replace("{alert.title}", "{nowhere}"),
                MAPPING.replace(
                    'severity = "P2"', 'severity = { from = "alertname", map = { a = "P1" } }'
                ),
            ]
        )
    )
    requests = [translate(each, mapping(rules), source=SOURCE) for each in alerts]
    run(installation, *(each.event(SOURCE) for each in requests))
