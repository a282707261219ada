"""Translating: which request an alert becomes, and when two become the same one."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from models.canonical import body_hash
from models.events import MOST_UNMAPPED
from models.inputs import read_inputs
from producers.gateway.alerts import Alert
from producers.gateway.mapping import AlertMapping
from producers.gateway.translate import Translation, translate
from tests.support.alerts import (
    LABELS,
    RECEIVED,
    RULES,
    alertmanager_alert,
    follow_up,
    grafana_alert,
    mapping,
    pagerduty_alert,
    trigger,
)

_LATER = RECEIVED + timedelta(hours=4)


def _translate(alert: Alert, rules: AlertMapping | None = None) -> Translation:
    return translate(alert, rules or mapping(), source="monitor")


def _same(one: Alert, other: Alert) -> bool:
    """Whether they are the same request; two with one id always have one body."""
    first, second = _translate(one), _translate(other)
    if first.event_id != second.event_id:
        return False
    assert body_hash(first.procedure, first.data) == body_hash(second.procedure, second.data)
    return True


def _trigger(**changes: Any) -> dict[str, Any]:
    return trigger(payload={**trigger()["payload"], **changes})


def _rule(**lines: str) -> AlertMapping:
    """The mapping of the tests, whose first rule has these lines instead of its own."""
    begin, first, rest = RULES.split("[[rules]]")
    for name, line in lines.items():
        kept = [each for each in first.splitlines() if not each.startswith(f"{name} = ")]
        first = "\n".join([*kept, f"{name} = {line}", ""])
    return mapping("[[rules]]".join((begin, first, rest)))


def test_what_fires_is_reported() -> None:
    """With the inputs that the rule gives it, its fingerprint as dedup key, and what it tells."""
    found = _translate(alertmanager_alert())
    assert (found.procedure, found.rule, found.extensions) == (
        "report_incident",
        "rule 1 (disks)",
        {},
    )
    assert found.data == {
        "title": "DiskFull on db-1",
        "category": "monitoring",
        "impact_level": "high",
        "urgency_level": "high",
        "client_id": "acme",
        "component_id": "gateway",
        "reporter_user_id": "manager",
        "severity": "P1",
        "detection_timestamp": "2026-11-24T19:00:00.123456+00:00",
        "dedup_key": "2ed1bdaa3ba3ea1f",
        "note": "97 % used\nSource: http://prometheus/graph\nAlertmanager: http://alertmanager",
    }
    assert found.time == RECEIVED
    assert read_inputs(found.procedure, found.data, now=found.time)


def test_what_is_resolved_resolves_its_incident() -> None:
    """By its dedup key, with the time of its end."""
    ended = alertmanager_alert(status="resolved", endsAt="2026-11-24T19:20:00Z")
    found = _translate(ended)
    assert found.procedure == "update_incident"
    assert found.data == {
        "incident_dedup_key": "2ed1bdaa3ba3ea1f",
        "updated_by_user": "support",
        "change_set": {
            "status": "resolved",
            "resolution_timestamp": "2026-11-24T19:20:00+00:00",
        },
    }
    assert read_inputs(found.procedure, found.data, now=found.time)


def test_an_end_before_the_beginning_is_the_beginning() -> None:
    """A resolution may not lie before detection, and a sender's clock slip is no reason to halt."""
    found = _translate(alertmanager_alert(status="resolved", endsAt="2026-11-24T18:00:00Z"))
    assert found.data["change_set"] == {
        "status": "resolved",
        "resolution_timestamp": "2026-11-24T19:00:00.123456+00:00",
    }


def test_an_end_without_a_time_leaves_it_to_the_worker() -> None:
    """The incident is resolved as of the request then."""
    found = _translate(alertmanager_alert(status="resolved", endsAt=None))
    assert found.data["change_set"] == {"status": "resolved"}


@pytest.mark.parametrize(
    ("action", "status"), [("acknowledge", "investigating"), ("resolve", "resolved")]
)
def test_pagerduty_s_follow_ups_go_by_the_defaults(action: str, status: str) -> None:
    """They carry nothing that a rule could match: the key and the default user are enough."""
    found = _translate(pagerduty_alert(follow_up(action)))
    assert (found.procedure, found.unmapped) == ("update_incident", None)
    assert found.data == {
        "incident_dedup_key": "disk/db-1",
        "updated_by_user": "support",
        "change_set": {"status": status},
    }


def test_a_rule_may_match_pagerduty_s_follow_ups() -> None:
    """Where they carry a payload, or the rule needs none."""
    rules = mapping(
        RULES.replace(', component = { regex = ".+" } }', ' }\nupdated_by_user = "manager"')
    )
    found = translate(pagerduty_alert(follow_up("resolve")), rules, source="monitor")
    assert (found.rule, found.data["updated_by_user"]) == ("rule 2 (pagerduty)", "manager")


def test_a_follow_up_without_a_default_user_says_so() -> None:
    """What is missing is named, and where it belongs."""
    rules = mapping(
        RULES.replace('updated_by_user = "support"\n', "").replace(
            "[[rules]]", '[[rules]]\nupdated_by_user = "support"'
        )
    )
    found = translate(pagerduty_alert(follow_up("resolve")), rules, source="monitor")
    assert found.unmapped == (
        "no rule matched an alert without labels, and [defaults] names no updated_by_user"
    )


@pytest.mark.parametrize("alert", [alertmanager_alert, grafana_alert], ids=["am", "grafana"])
@pytest.mark.parametrize(
    "again",
    [
        {},
        {"endsAt": "2026-11-24T23:00:00Z"},
        {"received_at": _LATER},
        {"values": {"B": 99}, "valueString": "99", "imageURL": "http://other"},
        {"labels": dict(reversed(LABELS.items()))},
    ],
    ids=["identical", "another endsAt", "later", "measured again", "in another order"],
)
def test_a_repetition_is_the_same_request(alert: Any, again: dict[str, Any]) -> None:
    """Same id, same body: what is sent again, by whichever of a pair, becomes a duplicate."""
    assert _same(alert(), alert(**again))


@pytest.mark.parametrize("alert", [alertmanager_alert, grafana_alert], ids=["am", "grafana"])
@pytest.mark.parametrize(
    "other",
    [
        {"status": "resolved"},
        {"startsAt": "2026-11-24T19:00:01Z"},
        {"fingerprint": "another"},
        {"annotations": {"description": "98 % used"}},
        {"labels": LABELS | {"severity": "warning"}},
    ],
    ids=["resolved", "another start", "another alert", "another text", "other inputs"],
)
def test_what_says_something_else_is_another_request(alert: Any, other: dict[str, Any]) -> None:
    """Never the same id with another body, which would halt as a conflict."""
    assert not _same(alert(), alert(**other))


def test_a_corrected_mapping_makes_another_request() -> None:
    """What halted for its rules is reported with its next repetition, once they are right."""
    alert = alertmanager_alert()
    before = _translate(alert, _rule(client_id='"globex"'))
    assert before.event_id != _translate(alert).event_id
    unmapped = _translate(alert, _rule(match='{ alertname = "Other" }'))
    assert unmapped.unmapped is not None
    assert unmapped.event_id != _translate(alert).event_id


def test_sources_do_not_share_ids() -> None:
    """The id is a hash of the source, too, so that a receipt cannot be mistaken."""
    alert = alertmanager_alert()
    assert _translate(alert).event_id != translate(alert, mapping(), source="other").event_id


def test_a_timed_trigger_repeated_is_the_same_request() -> None:
    """A PagerDuty event that names its time is told by its content."""
    timed = _trigger(timestamp="2026-11-24T19:00:00Z")
    assert _same(pagerduty_alert(timed), pagerduty_alert(timed, _LATER))
    other = _trigger(timestamp="2026-11-24T19:00:01Z")
    assert not _same(pagerduty_alert(timed), pagerduty_alert(other))


@pytest.mark.parametrize(
    "event", [trigger(), follow_up("acknowledge"), follow_up("resolve")], ids=str
)
def test_an_untimed_event_is_told_by_its_receipt(event: dict[str, Any]) -> None:
    """So that what happens again after a resolution is not taken for a repetition and lost."""
    assert not _same(pagerduty_alert(event), pagerduty_alert(event, _LATER))


def test_the_routing_key_is_in_no_request() -> None:
    """Neither itself nor its hash."""
    alert = pagerduty_alert(trigger())
    told = repr(_translate(alert))
    assert trigger()["routing_key"] not in told
    assert alert.occurrence[0] not in told


def test_an_alert_that_no_rule_matches_says_its_labels() -> None:
    """It becomes a report that halts, with what is known of it and why no more is."""
    found = _translate(alertmanager_alert(labels={"alertname": "Odd\nOne", "team": "a"}))
    assert (found.procedure, found.rule) == ("report_incident", None)
    assert found.extensions == {
        "andonunmapped": 'no rule matched alertname="Odd One", team="a"',
        "andonlabels": "alertname team +0",
    }
    assert found.data["title"] == "Disk full"
    assert "client_id" not in found.data


def test_a_resolution_that_no_rule_matches_halts_too() -> None:
    """Nobody's alert disappears, and no end of one either."""
    found = _translate(alertmanager_alert(status="resolved", labels={"alertname": "Odd"}))
    assert (found.procedure, found.unmapped) == (
        "update_incident",
        'no rule matched alertname="Odd"',
    )


def test_what_the_rule_needs_and_the_alert_lacks_is_named() -> None:
    """All of it at once, with the rule and the inputs."""
    labels = {"alertname": "DiskFull", "severity": "page"}
    assert _translate(alertmanager_alert(labels=labels)).unmapped == (
        "rule 1 (disks): title needs the label host, which the alert lacks;"
        " client_id needs the label tenant, which the alert lacks;"
        ' severity has no line for the label severity "page"'
    )
    rules = _rule(
        severity='{ from = "annotations.level", map = { a = "P1" } }',
        note='"{annotations.a} {alert.description}"',
    )
    assert _translate(alertmanager_alert(annotations={}), rules).unmapped == (
        "rule 1 (disks): note needs the annotation a and alert.description, which the alert lacks;"
        " severity depends on the annotation level, which the alert lacks"
    )


def test_labels_that_do_not_look_like_names_are_counted() -> None:
    """What a halt repeats of an alert is their names, and anybody may call them anything."""
    labels = {"alertname": "Odd", "Ada Byron": "1", "a.b": "2"} | {f"l{n}": "" for n in range(20)}
    told = _translate(alertmanager_alert(labels=labels)).extensions["andonlabels"]
    assert told.split() == ["alertname", *(f"l{n}" for n in range(19)), "+3"]


def test_what_is_told_of_an_unmapped_alert_has_a_limit() -> None:
    """However many labels it has, and however long; it is one line, and printable."""
    labels = {f"label{number}": "x\x1b[2J" * 40 for number in range(200)}
    why = _translate(alertmanager_alert(labels=labels)).unmapped
    assert why is not None
    assert len(why) <= MOST_UNMAPPED
    assert why.isprintable()


def test_texts_are_made_to_fit() -> None:
    """Title and note are cut visibly, a long dedup key is hashed: two never become one."""
    rules = _rule(title='"{host}"', note='"{host}{host}{host}{host}"', dedup_key='"{host}"')
    one, two = (
        _translate(alertmanager_alert(labels=LABELS | {"host": "x" * 2_000 + end}), rules).data
        for end in ("a", "b")
    )
    assert (len(str(one["title"])), len(str(one["note"]))) == (1024, 4000)
    assert str(one["title"]).endswith("x…")
    assert one["dedup_key"] != two["dedup_key"]
    assert len(str(one["dedup_key"])) == 64


def test_a_title_is_one_line() -> None:
    """Whatever an annotation holds."""
    found = _translate(
        alertmanager_alert(annotations={"summary": " a\n\tb "}), _rule(title='"{alert.title}"')
    )
    assert found.data["title"] == "a b"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{host}", "db-1"),
        ("{labels.host}", "db-1"),
        ("{ host }", "db-1"),
        ("{rack|an unknown rack}", "an unknown rack"),
        ("{rack|}-{host|x}", "-db-1"),
        ("{{host}} {host}", "{host} db-1"),
        ("{annotations.summary}", "Disk full"),
        ("{alert.key} {alert.format} {alert.receiver}", "2ed1bdaa3ba3ea1f alertmanager andon"),
        ("{alert.title}: {alert.description}", "Disk full: 97 % used"),
        ("{alert.started_at}", "2026-11-24T19:00:00.123456+00:00"),
    ],
)
def test_templates(template: str, text: str) -> None:
    """A name is a label's unless it says otherwise; after a bar stands what else to write."""
    assert _translate(alertmanager_alert(), _rule(title=f'"{template}"')).data["title"] == text


def test_severity_flags_may_depend_on_a_label() -> None:
    """As every other input; a rule may also name them for all its alerts."""
    flags = '{ from = "severity", map = { critical = ["p1_outage_no_workaround"] } }'
    found = _translate(alertmanager_alert(), _rule(severity_flags=flags))
    assert found.data["severity_flags"] == {"p1_outage_no_workaround": True}
    labels = LABELS | {"severity": "warning"}
    found = _translate(alertmanager_alert(labels=labels), _rule(severity_flags=flags))
    assert found.unmapped == (
        'rule 1 (disks): severity_flags has no line for the label severity "warning"'
    )
    both = _rule(severity_flags='["p2_risk_high_priority_sla_breach", "p1_outage_no_workaround"]')
    assert _translate(alertmanager_alert(), both).data["severity_flags"] == {
        "p2_risk_high_priority_sla_breach": True,
        "p1_outage_no_workaround": True,
    }


def test_an_assignee_may_be_named() -> None:
    """An optional input of a report."""
    found = _translate(alertmanager_alert(), _rule(assigned_to_user_id='"support"'))
    assert found.data["assigned_to_user_id"] == "support"


def test_pagerduty_s_key_is_the_sender_s() -> None:
    """A template of a dedup key does not change it: follow-ups carry nothing to fill it from."""
    rules = mapping(
        RULES.replace('name = "pagerduty"', 'name = "pagerduty"\ndedup_key = "{source}"')
    )
    found = translate(pagerduty_alert(trigger()), rules, source="monitor")
    assert found.data["dedup_key"] == "disk/db-1"


def test_firing_and_resolved_agree_on_the_key() -> None:
    """With a template too, an alert's end finds the incident that it opened."""
    rules = _rule(dedup_key='"{tenant}/{host}"')
    opened = _translate(alertmanager_alert(), rules)
    ended = _translate(alertmanager_alert(status="resolved"), rules)
    assert opened.data["dedup_key"] == ended.data["incident_dedup_key"] == "acme/db-1"


def test_an_alert_without_anything_to_tell_has_no_note() -> None:
    """An empty note would halt."""
    bare = replace(alertmanager_alert(), description="", annotations={}, links=())
    assert "note" not in _translate(bare).data
