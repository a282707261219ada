"""Alerts through the pipeline: what a translated alert does to incidents (DESIGN 5 and 6)."""

from datetime import timedelta
from typing import Any

from models.events import write_event
from producers.gateway.alerts import Alert
from producers.gateway.mapping import AlertMapping
from producers.gateway.translate import translate
from tests.support.alerts import (
    RECEIVED,
    RULES,
    alertmanager_alert,
    follow_up,
    grafana_alert,
    mapping,
    pagerduty_alert,
    trigger,
)
from tests.support.installation import Installation
from tests.support.requests import SOURCE, delivery

_ENDED: dict[str, Any] = {"status": "resolved", "endsAt": "2026-11-24T19:20:00Z"}


def _publish(installation: Installation, alert: Alert, rules: AlertMapping | None = None) -> Any:
    """What became of an alert: the outcome's data."""
    found = translate(alert, rules or mapping(), source=SOURCE)
    event = write_event(
        id=found.event_id,
        source=SOURCE,
        type=f"andon.{found.procedure}",
        time=found.time,
        data=found.data,
        **found.extensions,
    )
    (verdict,) = installation.process(delivery(event))
    assert verdict.outcome is not None
    return verdict.outcome.data


def _incidents(installation: Installation) -> list[tuple[int, str]]:
    found = installation.rows("SELECT incident_id, status FROM incidents ORDER BY incident_id")
    return [(row.incident_id, row.status) for row in found]


def _history(installation: Installation) -> int:
    ((count,),) = installation.rows("SELECT count(*) FROM incident_updates")
    return int(count)


def test_an_alert_opens_and_resolves_its_incident(installation: Installation) -> None:
    """Firing opens, resolved resolves, at the time that the sender says."""
    assert _publish(installation, alertmanager_alert())["outcome"] == "done"
    assert _publish(installation, alertmanager_alert(**_ENDED))["outcome"] == "done"
    assert _incidents(installation) == [(1, "resolved")]
    ((resolved_at,),) = installation.rows("SELECT resolution_timestamp FROM incidents")
    assert resolved_at.isoformat() == "2026-11-24T19:20:00+00:00"


def test_a_repetition_changes_nothing(installation: Installation) -> None:
    """Hours later, with another endsAt: a duplicate that gets the first outcome."""
    first = _publish(installation, grafana_alert())
    history = _history(installation)
    again = grafana_alert(
        received_at=RECEIVED + timedelta(hours=4), endsAt="2026-11-25T00:00:00Z", values={"B": 99}
    )
    assert _publish(installation, again) == first
    assert _history(installation) == history
    assert _incidents(installation) == [(1, "open")]


def test_another_text_joins_the_open_incident(installation: Installation) -> None:
    """A measured value in a description is no conflict and no second incident: it is recorded."""
    _publish(installation, alertmanager_alert())
    other = alertmanager_alert(annotations={"description": "98 % used"})
    assert _publish(installation, other)["result"]["deduplicated"] is True
    assert _incidents(installation) == [(1, "open")]


def test_an_alert_that_comes_back_opens_another_incident(installation: Installation) -> None:
    """Firing again, since later than before, is a recurrence."""
    _publish(installation, alertmanager_alert())
    _publish(installation, alertmanager_alert(**_ENDED))
    _publish(installation, alertmanager_alert(startsAt="2026-11-24T19:25:00Z"))
    assert _incidents(installation) == [(1, "resolved"), (2, "open")]


def test_a_late_end_does_not_resolve_the_next_incident(installation: Installation) -> None:
    """The end of what came before cannot lie before what fires now: it halts, visibly."""
    _publish(installation, alertmanager_alert())
    _publish(installation, alertmanager_alert(**_ENDED))
    _publish(installation, alertmanager_alert(startsAt="2026-11-24T19:25:00Z"))
    late = alertmanager_alert(status="resolved", endsAt="2026-11-24T19:20:01Z")
    assert _publish(installation, late)["outcome"] == "halted"
    assert _incidents(installation) == [(1, "resolved"), (2, "open")]


def test_pagerduty_s_events_one_after_the_other(installation: Installation) -> None:
    """Trigger, acknowledge, resolve; the same trigger again, without a time, opens a new one."""
    moments = (RECEIVED + timedelta(seconds=second) for second in range(10))
    events = [trigger(), follow_up("acknowledge"), follow_up("resolve"), trigger()]
    seen = []
    for event in events:
        assert _publish(installation, pagerduty_alert(event, next(moments)))["outcome"] == "done"
        seen.append(_incidents(installation))
    assert seen == [
        [(1, "open")],
        [(1, "investigating")],
        [(1, "resolved")],
        [(1, "resolved"), (2, "open")],
    ]


def test_what_pagerduty_sends_twice_does_no_harm(installation: Installation) -> None:
    """Each event repeated, as after an answer that got lost: one incident, and its one life."""
    moments = (RECEIVED + timedelta(seconds=second) for second in range(10))
    for event in (trigger(dedup_key=None), follow_up("acknowledge"), follow_up("resolve")):
        for _ in range(2):
            alert = pagerduty_alert(event, next(moments))
            assert _publish(installation, alert)["outcome"] == "done"
    assert _incidents(installation) == [(1, "open")]  # under the key that was made for it


def test_a_follow_up_of_nothing_is_done(installation: Installation) -> None:
    """To resolve what nobody opened is accepted and recorded, as PagerDuty does."""
    found = _publish(installation, pagerduty_alert(follow_up("resolve")))
    assert (found["outcome"], found["result"]["incident_id"]) == ("done", None)


def test_an_unmapped_alert_halts_with_its_labels(installation: Installation) -> None:
    """And opens its incident with the next repetition, once a rule is there."""
    alert = alertmanager_alert()
    blind = mapping(RULES.replace('"DiskFull"', '"Other"'))
    halt = _publish(installation, alert, blind)["halt"]
    assert halt["reason"] == "missing_input"
    assert "with the labels alertname, severity" in halt["message"]
    assert "DiskFull" not in halt["message"]
    assert _publish(installation, alert, blind)["halt"] == halt
    assert _publish(installation, alert)["outcome"] == "done"
    assert _incidents(installation) == [(1, "open")]
