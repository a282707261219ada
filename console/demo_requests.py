"""What `andon demo` asks of the sample organisation, and what must become of each request."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from models.signatures import sign
from policy.halts import Reason
from producers.client import Client
from producers.signed import SignedEvent

DONE = "done"


@dataclass(frozen=True, slots=True)
class Step:
    """One request.

    Attributes:
        name: its id, which says what it is about.
        procedure: what it asks for; empty where it asks for nothing.
        expected: ``done``, or the reason it must halt for.
        told: what it shows, in a few words.
        result: what the result of a done request must contain.
    """

    name: str
    procedure: str
    signed: SignedEvent
    expected: str
    told: str
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chapter:
    """Some requests that belong together."""

    title: str
    steps: tuple[Step, ...]


@dataclass(slots=True)
class Story:
    """All requests of the demo, made and signed by one client, two minutes apart.

    Attributes:
        moment: the time of the last request made; at first of the outage that they are about.
    """

    client: Client
    moment: datetime

    def chapters(self) -> tuple[Chapter, ...]:
        """The requests, in the order in which they are published."""
        outage = self._report(
            "portal-down",
            "flags over stated P3",
            severity="P3",
            severity_flags={"p1_outage_no_workaround": True},
            result={"severity": "P1", "status": "open"},
        )
        again = replace(outage, told="first outcome again")
        return (
            Chapter("One incident, from the report to its resolution", (outage, *self._outage())),
            Chapter("Published again, and reported again", (again, *self._alarms())),
            Chapter("Halted: the message", self._bad_messages(outage.signed)),
            Chapter("Halted: who asks, and for what", self._refused()),
        )

    def _outage(self) -> tuple[Step, ...]:
        return (
            self._update(
                "portal-taken-over",
                "found by its report",
                change_set={"status": "investigating", "assigned_to_user_id": "yuki"},
                note="Certificates on both balancers have run out.",
                result={"changed": ["status", "assigned_to_user_id"]},
            ),
            self._escalate("portal-to-executive", "helene", "executive", "to an executive"),
            self._tell(
                "portal-notice-to-client",
                "sent_at is now",
                recipient_id="fern",
                delivery_method="email",
                delivery_status="sent",
                result={"delivery_status": "sent"},
            ),
            self._update(
                "portal-new-certificates",
                "one status further",
                change_set={"status": "in_progress"},
                note="New certificates are being rolled out.",
                result={"changed": ["status"]},
            ),
            self._tell(
                "portal-notice-to-all",
                "to everybody",
                recipient_type="all_stakeholders",
                delivery_method="dashboard_notification",
                result={"delivery_status": "pending"},
            ),
            self._update(
                "portal-resolved",
                "resolution time set",
                change_set={"status": "resolved"},
                result={"changed": ["status", "resolution_timestamp"]},
            ),
        )

    def _alarms(self) -> tuple[Step, ...]:
        router: dict[str, Any] = {
            "title": "Packet loss in Oslo",
            "client_id": "quillbank",
            "component_id": "core-router",
            "reporter_user_id": "rafael",
            "dedup_key": "oslo-packet-loss",
        }
        return (
            self._report(
                "router-alarm",
                "by vendor's contact",
                **router,
                severity_flags={"p3_localized_or_non_critical": True},
                result={"severity": "P3"},
            ),
            self._report(
                "router-alarm-again",
                "same dedup key: raised",
                **router,
                severity_flags={"p2_multi_dept_sites_or_critical_functions": True},
                result={"severity": "P2", "deduplicated": True},
            ),
        )

    def _bad_messages(self, known: SignedEvent) -> tuple[Step, ...]:
        conflict = self._report(
            "portal-down", "same id, other content", Reason.IDEMPOTENCY_CONFLICT
        )
        forged = self._report("forged", "signed with a wrong key", Reason.UNAUTHENTICATED)
        wrong = forged.signed._replace(signature=sign(forged.signed.event, b"not the key"))
        no_json = b"PAGE: portal is down!!"
        return (
            conflict,
            replace(forged, signed=wrong),
            Step(
                "22 bytes",
                "",
                known._replace(identity=None, event=no_json),
                Reason.MALFORMED,
                "not JSON",
            ),
            self._report(
                "report-in-a-hurry",
                "no title, no component",
                Reason.MISSING_INPUT,
                title=None,
                component_id=None,
            ),
            self._report(
                "report-unclassified",
                "nothing to go by",
                Reason.SEVERITY_NOT_DETERMINED,
            ),
            self._update(
                "follow-up-to-nothing",
                "its report never came",
                Reason.INCIDENT_NOT_FOUND,
                incident_request={"id": "never-sent"},
                note="Any news?",
            ),
        )

    def _refused(self) -> tuple[Step, ...]:
        stated: dict[str, Any] = {"severity": "P4"}
        return (
            self._report(
                "report-by-a-leaver",
                "lena has left",
                Reason.USER_INACTIVE,
                **stated,
                reporter_user_id="lena",
            ),
            self._report(
                "report-by-account-mgr",
                "no role of this SOP",
                Reason.NOT_AUTHORIZED,
                **stated,
                reporter_user_id="oscar",
            ),
            self._report(
                "report-by-other-vendor",
                "not basalt's router",
                Reason.VENDOR_ASSOCIATION,
                **stated,
                reporter_user_id="bruno",
                component_id="core-router",
            ),
            self._report(
                "report-for-a-stranger",
                "no such client",
                Reason.CLIENT_NOT_FOUND,
                **stated,
                client_id="nobody",
            ),
            self._update(
                "portal-back-to-open",
                "from resolved to open",
                Reason.INVALID_STATUS,
                change_set={"status": "open"},
            ),
            self._escalate(
                "portal-to-wrong-role",
                "yuki",
                "management",
                "yuki is no manager",
                Reason.TARGET_USER_INVALID,
            ),
            self._tell(
                "portal-notice-elsewhere",
                "of another client",
                Reason.RECIPIENT_INVALID,
                recipient_id="quentin",
                delivery_method="email",
            ),
        )

    def _report(
        self,
        name: str,
        told: str,
        expected: str = DONE,
        *,
        result: Mapping[str, Any] | None = None,
        **inputs: object,
    ) -> Step:
        defaults = {
            "title": "The customer portal is down",
            "category": "availability",
            "impact_level": "critical",
            "urgency_level": "high",
            "client_id": "fjordmart",
            "component_id": "web-portal",
            "reporter_user_id": "maren",
            "detection_timestamp": self.moment.isoformat(),
        }
        return self._step(name, "report_incident", defaults | inputs, told, expected, result)

    def _update(
        self,
        name: str,
        told: str,
        expected: str = DONE,
        *,
        result: Mapping[str, Any] | None = None,
        **inputs: object,
    ) -> Step:
        defaults = {**_OUTAGE, "updated_by_user": "tomas"}
        return self._step(name, "update_incident", defaults | inputs, told, expected, result)

    def _escalate(self, name: str, to: str, level: str, told: str, expected: str = DONE) -> Step:
        inputs = {
            **_OUTAGE,
            "escalated_by_user": "tomas",
            "escalated_to_user": to,
            "escalation_level": level,
            "reason": "The resolution time of the premium tier is at risk.",
        }
        result = {"status": "active"} if expected == DONE else None
        return self._step(name, "submit_escalation", inputs, told, expected, result)

    def _tell(
        self,
        name: str,
        told: str,
        expected: str = DONE,
        *,
        result: Mapping[str, Any] | None = None,
        **inputs: object,
    ) -> Step:
        defaults = {**_OUTAGE, "sender_id": "tomas", "communication_type": "status_update"}
        return self._step(name, "record_communication", defaults | inputs, told, expected, result)

    def _step(
        self,
        name: str,
        procedure: str,
        inputs: Mapping[str, Any],
        told: str,
        expected: str,
        result: Mapping[str, Any] | None,
    ) -> Step:
        given = {field: value for field, value in inputs.items() if value is not None}
        self.moment += _STEP
        signed = self.client.prepare(procedure, given, id=name, time=self.moment)
        return Step(name, procedure, signed, expected, told, result or {})


_STEP = timedelta(minutes=2)
_OUTAGE = {"incident_request": {"id": "portal-down"}}
"""How follow-ups refer to the incident before anybody knows its number."""
