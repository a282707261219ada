"""The requests that the benchmarks publish: all four procedures in a realistic mix, signed.

In every 200 there are exactly 90 reports, 60 updates, 20 escalations and 30 communications. Ten of
them halt, each for another reason, and four are published for the second time.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from benchmarks import world
from models.events import TYPE_PREFIX, write_event
from models.outcomes import Identity
from producers.signed import SignedEvent, sign_event

DECK = 200
HALTED, DUPLICATES, UNAUTHENTICATED = 10, 4, 1
"""How many of a deck; what is unauthenticated is one of the halted."""
_REMEMBERED = 2_000
"""A request is published again while it is one of the last so many."""

Data = dict[str, Any]
Maker = Callable[[random.Random], Data]


class Expected(NamedTuple):
    """What becomes of so many requests of the mix."""

    done: int
    halted: int
    duplicates: int
    ledger: int

    @classmethod
    def of(cls, requests: int) -> "Expected":
        """Of a whole number of decks."""
        decks, rest = divmod(requests, DECK)
        assert rest == 0, "the mix is made of whole decks"
        halted, duplicates = decks * HALTED, decks * DUPLICATES
        return cls(
            requests - halted - duplicates,
            halted,
            duplicates,
            requests - duplicates - decks * UNAUTHENTICATED,
        )


def whole_decks(requests: int) -> int:
    """*requests*, rounded up to whole decks."""
    return -(-requests // DECK) * DECK


def mix(
    requests: int, *, source: str, key_id: str, secret: bytes, seed: int
) -> Iterator[SignedEvent]:
    """*requests* signed events, the same for the same *seed*, but for their times.

    *seed* is part of their ids, so that two seeds never give the same request.
    """
    rng = random.Random(seed)  # noqa: S311  # repeatable
    began = datetime.now(UTC)
    recent: deque[SignedEvent] = deque(maxlen=_REMEMBERED)
    number = 0
    for _ in range(requests // DECK):
        for card in _shuffled(rng):
            if card is None:
                yield rng.choice(recent)
                continue
            number += 1
            event = _signed(
                card,
                card.make(rng),
                identity=Identity(source, f"{seed:x}-{number:08x}"),
                time=began + timedelta(microseconds=number),
                key_id=key_id,
                secret=secret if card.genuine else secret + b"!",
            )
            if not card.halts:
                recent.append(event)
            yield event


class Card(NamedTuple):
    """One kind of request."""

    procedure: str
    make: Maker
    halts: bool = False
    genuine: bool = True


def _shuffled(rng: random.Random) -> list[Card | None]:
    """A deck; None stands for a request that is published again, and never comes first."""
    deck: list[Card | None] = [*_CARDS, *[None] * DUPLICATES]
    rng.shuffle(deck)
    while deck[0] is None:
        rng.shuffle(deck)
    return deck


def _signed(
    card: Card, data: Data, *, identity: Identity, time: datetime, key_id: str, secret: bytes
) -> SignedEvent:
    event = write_event(
        id=identity.id,
        source=identity.source,
        type=f"{TYPE_PREFIX}{card.procedure}",
        time=time,
        data=data,
    )
    return sign_event(event, key_id=key_id, secret=secret, identity=identity)


_REGIONS = ("eu-west", "eu-central", "us-east", "us-west", "ap-south", "ap-east")
_SYMPTOMS = (
    "Checkout answers slowly",
    "Login fails for some users",
    "Replication lags behind",
    "Disk almost full",
    "Error rate above threshold",
    "Certificate expires soon",
)
_CATEGORIES = ("performance", "availability", "security", "capacity", "data")
_LEVELS = ("low", "medium", "high", "critical")
_FLAGS: tuple[Mapping[str, bool], ...] = (
    {"p1_outage_no_workaround": True, "p2_major_degradation_with_workaround": False},
    {"p2_major_degradation_with_workaround": True},
    {"p2_risk_high_priority_sla_breach": True, "p3_localized_or_non_critical": True},
    {"p3_moderate_deg_minimal_workaround": True},
    {"p3_localized_or_non_critical": False},
)
_NOTE = "Seen by the on-call engineer; the last deployment is being looked at, see the run book."


def _person(rng: random.Random, digits: range) -> str:
    return str(rng.randrange(1, world.USERS // 100) * 100 + rng.choice(digits))


def _older(rng: random.Random) -> str:
    return str(rng.randint(1, world.OLDER_INCIDENTS))


def _report(rng: random.Random) -> Data:
    data: Data = {
        "title": f"{rng.choice(_SYMPTOMS)} in {rng.choice(_REGIONS)}, shard {rng.randrange(1000)}",
        "category": rng.choice(_CATEGORIES),
        "impact_level": rng.choice(_LEVELS),
        "urgency_level": rng.choice(_LEVELS),
        "client_id": str(rng.randint(1, world.CLIENTS)),
        "component_id": str(rng.randint(1, world.COMPONENTS)),
        "reporter_user_id": _person(rng, world.TECHNICAL),
        "detection_timestamp": "2026-11-01T09:30:00Z",
        "severity_flags": rng.choice(_FLAGS),
    }
    if rng.random() < 0.3:
        data["dedup_key"] = f"{data['category']}/{rng.getrandbits(64):016x}"
    if rng.random() < 0.2:
        data["assigned_to_user_id"] = _person(rng, world.MANAGERS)
    return data


def _update(rng: random.Random) -> Data:
    """Only moves that are allowed whatever came before: never closed, never back to open."""
    changes: Data = {}
    kind = rng.random()
    if kind < 0.4:
        changes["status"] = rng.choice(("investigating", "in_progress", "resolved"))
    if 0.3 < kind < 0.7:
        changes["assigned_to_user_id"] = _person(rng, world.TECHNICAL)
    if 0.6 < kind < 0.95:
        changes |= {"impact_level": rng.choice(_LEVELS), "urgency_level": rng.choice(_LEVELS)}
    data: Data = {"incident_id": _older(rng), "updated_by_user": _person(rng, world.MANAGERS)}
    if changes:
        data["change_set"] = changes
    if not changes or rng.random() < 0.2:
        data["note"] = _NOTE
    return data


_TARGETS = (
    ("technical", world.TECHNICAL),
    ("management", world.MANAGERS),
    ("executive", world.EXECUTIVES),
    ("vendor", world.VENDOR_CONTACTS),
)


def _escalation(rng: random.Random) -> Data:
    level, digits = rng.choice(_TARGETS)
    incident, target = _older(rng), _person(rng, digits)
    if level == "vendor":
        vendor = world.vendor_of_contact(int(target))
        while world.vendor_of_component(world.component_of(int(incident))) != vendor:
            incident = _older(rng)
    return {
        "incident_id": incident,
        "escalated_by_user": _person(rng, world.MANAGERS),
        "escalated_to_user": target,
        "escalation_level": level,
        "reason": "The agreed time to respond is at risk.",
    }


def _communication(rng: random.Random) -> Data:
    data: Data = {
        "incident_id": _older(rng),
        "sender_id": _person(rng, world.MANAGERS),
        "communication_type": "status_update",
        "delivery_method": rng.choice(("email", "chat", "sms")),
        "delivery_status": "sent",
    }
    if rng.random() < 0.5:
        data["recipient_type"] = rng.choice(("technical_team", "all_stakeholders"))
    else:
        data["recipient_id"] = _person(rng, world.TECHNICAL)
    return data


def _with(make: Maker, **changed: object) -> Maker:
    """The same, but for what is *changed*; what is changed to None is left out."""

    def made(rng: random.Random) -> Data:
        return {name: v for name, v in (make(rng) | changed).items() if v is not None}

    return made


def _report_of_another_vendor(rng: random.Random) -> Data:
    contact = int(_person(rng, world.VENDOR_CONTACTS))
    component = rng.randint(1, world.COMPONENTS)
    while world.vendor_of_component(component) == world.vendor_of_contact(contact):
        component = rng.randint(1, world.COMPONENTS)
    return _report(rng) | {"reporter_user_id": str(contact), "component_id": str(component)}


def _update_by_inactive(rng: random.Random) -> Data:
    return _update(rng) | {"updated_by_user": _person(rng, world.INACTIVE)}


_REPORT, _UPDATE = "report_incident", "update_incident"
_ESCALATE, _COMMUNICATE = "submit_escalation", "record_communication"
_HALTING = (
    Card(_REPORT, _with(_report, reporter_user_id="nobody"), halts=True),
    Card(_REPORT, _report_of_another_vendor, halts=True),
    Card(_REPORT, _with(_report, severity_flags={}), halts=True),
    Card(_REPORT, _with(_report, title=None, impact_level="huge"), halts=True),
    Card(_REPORT, _report, halts=True, genuine=False),
    Card(_UPDATE, _with(_update, incident_id="999999999999"), halts=True),
    Card(_UPDATE, _update_by_inactive, halts=True),
    Card(_UPDATE, _with(_update, expected_version=1_000_000), halts=True),
    Card(_ESCALATE, _with(_escalation, escalated_to_user="nobody"), halts=True),
    Card(_COMMUNICATE, _with(_communication, recipient_id="nobody"), halts=True),
)
# Reports and updates make room for two each that are published again.
_CARDS = (
    *_HALTING,
    *[Card(_REPORT, _report)] * 83,
    *[Card(_UPDATE, _update)] * 55,
    *[Card(_ESCALATE, _escalation)] * 19,
    *[Card(_COMMUNICATE, _communication)] * 29,
)
assert len(_CARDS) + DUPLICATES == DECK
