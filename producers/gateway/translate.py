"""From an alert to the request that it asks for, by the organisation's mapping.

The same alert gives the same request, whenever and by whichever gateway it is translated: the id
is a hash of what the alert is and of what is asked for. So a repetition (of a sender that heard no
answer, of a pair of Alertmanagers, after hours of firing) is a duplicate and changes nothing. Where
it says something else than before, in an annotation with a measured value for instance, or is
mapped by other rules by now, it is another request, with an id of its own: never two requests with
one id, which would halt as ``idempotency_conflict``. A report joins the incident that is open under
its dedup key, so that this opens no second one either.

The event's time is that of receipt, which orders what one gateway takes, and is no part of the id.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from models.canonical import canonical_json
from models.errors import MOST_NAMES, looks_like_name
from models.events import LABELS, MOST_UNMAPPED, TYPE_PREFIX, UNMAPPED, write_event
from policy.procedures import REPORT_INCIDENT, UPDATE_INCIDENT
from policy.vocabulary import IncidentStatus
from producers.gateway.alerts import Alert, AlertFormat, AlertState
from producers.gateway.mapping import NEEDED, AlertMapping, Rule
from producers.gateway.mapping_values import Missing, Template, Value
from producers.gateway.notes import note_of, shortened

_LONGEST_TITLE = 1_024
_LONGEST_NOTE = 4_000
_LONGEST_KEY = 255
_LONGEST_WORD = 255
"""Characters of every other input; none may have more."""
_LONGEST = {"title": _LONGEST_TITLE, "note": _LONGEST_NOTE}
_LABELS_TOLD = 40
_LONGEST_LABEL = 120

_DEFAULT_TITLE = Template.parse("{alert.title}")
_DEFAULT_KEY = Template.parse("{alert.key}")


@dataclass(frozen=True, slots=True)
class Translation:
    """A request, ready to be written as an event and signed.

    Attributes:
        procedure: its name.
        data: its inputs; incomplete where the alert could not be mapped.
        event_id: its id, which says nothing but whether it is the same as another.
        time: the event's time.
        extensions: attributes of the envelope; of an alert that could not be mapped
            ``andonunmapped``, with which it halts, and which says why; and ``andonlabels``, what
            the halt may repeat of it.
        rule: the rule that was for the alert; None where none was.
    """

    procedure: str
    data: dict[str, object]
    event_id: str
    time: datetime
    extensions: dict[str, str]
    rule: str | None

    @property
    def unmapped(self) -> str | None:
        """Why the alert could not be mapped; None if it was."""
        return self.extensions.get(UNMAPPED)

    def event(self, source: str) -> bytes:
        """The event by which *source* asks for it."""
        return write_event(
            id=self.event_id,
            source=source,
            type=TYPE_PREFIX + self.procedure,
            time=self.time,
            data=self.data,
            **self.extensions,
        )


@dataclass(slots=True)
class _Draft:
    """A request in the making.

    Attributes:
        faults: what the alert lacks for it.
    """

    procedure: str
    data: dict[str, object] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def put(self, name: str, value: object) -> None:
        """Give an input its value, or note why it has none."""
        match value:
            case Missing(why):
                self.faults.append(f"{name} {why}")
            case str() if len(value) > _LONGEST.get(name, _LONGEST_WORD):
                self.faults.append(f"{name} would have {len(value):,} characters")
            case _:
                self.data[name] = value


def translate(alert: Alert, mapping: AlertMapping, *, source: str) -> Translation:
    """The request that *alert* asks for.

    An alert that no rule is for, or whose rule needs what it lacks, becomes a report all the same,
    or an update: one that halts, and says what is missing.

    Args:
        alert: any alert; nothing that it says makes this fail.
        mapping: the rules.
        source: the registered name of who sends the request.
    """
    rule = mapping.rule_for(alert)
    if alert.state is AlertState.FIRING:
        draft = _report(alert, rule)
    else:
        draft = _update(alert, rule, mapping)
    why = _why(draft, rule)
    extensions = {} if why is None else {UNMAPPED: why, LABELS: _names(alert)}
    return Translation(
        procedure=draft.procedure,
        data=draft.data,
        event_id=_event_id(alert, source, draft, why),
        time=alert.received_at,
        extensions=extensions,
        rule=None if rule is None else rule.title,
    )


def _report(alert: Alert, rule: Rule | None) -> _Draft:
    """What fires is reported; under its key it adds to the incident that is open."""
    draft = _Draft(REPORT_INCIDENT.name)
    values = {} if rule is None else rule.values
    draft.put("title", _one_line(values.get("title", _DEFAULT_TITLE).of(alert)))
    draft.put("detection_timestamp", alert.started_at.isoformat())
    draft.put("dedup_key", _dedup_key(alert, values.get("dedup_key")))
    note = values["note"].of(alert) if "note" in values else note_of(alert)
    if note != "":
        draft.put("note", shortened(note, _LONGEST_NOTE) if isinstance(note, str) else note)
    if rule is None:
        draft.faults.append(f"no rule matched {_labels(alert)}")
        return draft
    for name in (*NEEDED, "severity", "assigned_to_user_id"):
        if name in values and name != UPDATE_INCIDENT.actor:
            draft.put(name, values[name].of(alert))
    if rule.severity_flags is not None:
        flags = rule.severity_flags.of(alert)
        draft.put(
            "severity_flags", flags if isinstance(flags, Missing) else dict.fromkeys(flags, True)
        )
    return draft


def _update(alert: Alert, rule: Rule | None, mapping: AlertMapping) -> _Draft:
    """What is acknowledged or resolved moves the incident that is open under its key."""
    draft = _Draft(UPDATE_INCIDENT.name)
    values = mapping.defaults if rule is None else rule.values
    draft.put("incident_dedup_key", _dedup_key(alert, values.get("dedup_key")))
    draft.put("change_set", _change_set(alert))
    if rule is None and alert.format is not AlertFormat.PAGERDUTY:
        draft.faults.append(f"no rule matched {_labels(alert)}")
    elif UPDATE_INCIDENT.actor in values:
        draft.put(UPDATE_INCIDENT.actor, values[UPDATE_INCIDENT.actor].of(alert))
    else:  # PagerDuty's senders need not repeat what a rule could match
        draft.faults.append(
            f"no rule matched {_labels(alert)}, and [defaults] names no {UPDATE_INCIDENT.actor}"
        )
    return draft


def _change_set(alert: Alert) -> dict[str, str]:
    if alert.state is AlertState.ACKNOWLEDGED:
        return {"status": str(IncidentStatus.INVESTIGATING)}
    if alert.ended_at is None:
        return {"status": str(IncidentStatus.RESOLVED)}
    ended = max(alert.ended_at, alert.started_at)  # a resolution before detection is invalid
    return {"status": str(IncidentStatus.RESOLVED), "resolution_timestamp": ended.isoformat()}


def _dedup_key(alert: Alert, template: Value | None) -> str | Missing:
    """The key of the alert's incident, which an alert has from its firing to its end.

    PagerDuty's senders name it themselves, and nothing else when they acknowledge or resolve.
    """
    if alert.format is AlertFormat.PAGERDUTY or template is None:
        template = _DEFAULT_KEY
    key = template.of(alert)
    if isinstance(key, str) and len(key) > _LONGEST_KEY:
        return hashlib.sha256(key.encode()).hexdigest()  # cut, two keys might become one
    return key


def _one_line(title: str | Missing) -> str | Missing:
    if isinstance(title, Missing):
        return title
    return shortened(" ".join(title.split()), _LONGEST_TITLE)


def _why(draft: _Draft, rule: Rule | None) -> str | None:
    """What the alert could not be mapped for, in a sentence without control characters."""
    if not draft.faults:
        return None
    begin = "" if rule is None else f"{rule.title}: "
    told = begin + "; ".join(draft.faults)
    printable = "".join(each if each.isprintable() else " " for each in told)
    return shortened(printable, MOST_UNMAPPED)


def _labels(alert: Alert) -> str:
    """The alert's labels, as many and as much of them as fits into a message."""
    if not alert.labels:
        return "an alert without labels"
    told = [
        f'{shortened(name, _LONGEST_LABEL)}="{shortened(value, _LONGEST_LABEL)}"'
        for name, value in list(alert.labels.items())[:_LABELS_TOLD]
    ]
    left = len(alert.labels) - len(told)
    return ", ".join(told) + (f" and {left:,} more labels" if left else "")


def _names(alert: Alert) -> str:
    """The names of the alert's labels that look like names, and how many more there are: ``+2``."""
    told = [name for name in alert.labels if looks_like_name(name)]
    told = told[:MOST_NAMES]
    return " ".join([*told, f"+{len(alert.labels) - len(told)}"])


def _event_id(alert: Alert, source: str, draft: _Draft, why: str | None) -> str:
    """The hash of what the alert is (whose, which, since when, what about it) and asks for."""
    what = [
        source,
        alert.key,
        *alert.occurrence,
        alert.state,
        draft.procedure,
        draft.data,
        why,
    ]
    return f"{alert.format}-{hashlib.sha256(canonical_json(what)).hexdigest()}"
