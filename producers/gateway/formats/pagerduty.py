"""PagerDuty's Events API v2: one event a call, to trigger, acknowledge or resolve an alert.

What a sender repeats cannot always be told from what happened again: most integrations name no
time, and give every trigger of a check the same dedup_key and the same words. So a trigger is told
by its content only if that names its time, and by the time of receipt otherwise, as are all
acknowledgements and resolutions. Nothing is lost so, and repeating is harmless all the same: a
second trigger adds to the incident that is open under its key, a second resolution changes nothing.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from models.canonical import canonical_json
from models.inputs import parse_timestamp
from policy.halts import InputError
from producers.gateway.alerts import Alert, AlertFormat, AlertState, Link, PayloadFaults
from producers.gateway.formats.flattening import flatten
from producers.gateway.formats.reading import (
    Part,
    Text,
    optional_text,
    read_json,
    read_payload,
)

_STATES = {
    "trigger": AlertState.FIRING,
    "acknowledge": AlertState.ACKNOWLEDGED,
    "resolve": AlertState.RESOLVED,
}


def _read_time(value: object) -> datetime | None:
    """RFC 3339, or any other ISO 8601 that Python reads; blank is none."""
    if value is None or value == "":
        return None
    try:
        return parse_timestamp(value)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is not None:
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError("timestamp", "must be an ISO 8601 timestamp")


Word = Annotated[str, BeforeValidator(optional_text)]


class TriggerPayload(Part):
    """What is wrong."""

    summary: Annotated[Text, Field(min_length=1, max_length=1024)]
    source: Annotated[Text, Field(min_length=1)]
    severity: Literal["critical", "error", "warning", "info"]
    timestamp: Annotated[datetime | None, BeforeValidator(_read_time)] = None
    component: Word = ""
    group: Word = ""
    class_: Word = Field(default="", alias="class")
    custom_details: Any = None

    def labels(self) -> dict[str, str]:
        """What rules match on; what is empty is no label."""
        own = {
            "severity": self.severity,
            "source": self.source,
            "component": self.component,
            "group": self.group,
            "class": self.class_,
        }
        return {
            **{name: value for name, value in own.items() if value},
            **flatten("custom_details", self.custom_details),
        }


class Event(Part):
    """One call."""

    routing_key: Annotated[SecretStr, Field(min_length=1, max_length=255)]
    event_action: Literal["trigger", "acknowledge", "resolve"]
    dedup_key: Annotated[Text, Field(max_length=255)] | None = Field(
        default=None, validate_default=True
    )
    client: Word = ""
    client_url: Word = ""
    links: Any = None
    images: Any = None
    payload: Annotated[TriggerPayload | None, Field(validate_default=True)] = None

    @field_validator("dedup_key")
    @classmethod
    def _names_the_alert(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Only a trigger may go without; then one is made for it."""
        if not value and info.data.get("event_action") in ("acknowledge", "resolve"):
            raise PydanticCustomError("missing", "is required to acknowledge or resolve")
        return value or None

    @field_validator("payload", mode="before")
    @classmethod
    def _lenient_after_the_trigger(cls, value: object, info: ValidationInfo) -> object:
        """An acknowledgement or a resolution needs none, so a bad one is no reason to refuse it."""
        if info.data.get("event_action") in ("acknowledge", "resolve"):
            try:
                return TriggerPayload.model_validate(value)
            except ValidationError:
                return None
        if value is None:
            raise PydanticCustomError("missing", "is required to trigger")
        return value


@dataclass(frozen=True, slots=True)
class Enqueued:
    """One call: the key that says whose it is, and the alert, which is made once that is known."""

    routing_key: SecretStr
    _event: Event
    _value: dict[str, Any] = field(repr=False)

    def alert(self, *, received_at: datetime) -> Alert:
        """The alert of the call; its ``key`` is the dedup_key that the sender is told.

        Raises:
            PayloadFaults: it cannot be written again.
        """
        return _alert(self._event, _content(self._value), received_at)


def read_event(body: bytes) -> Enqueued:
    """Read a call.

    Raises:
        PayloadFaults: naming every fault.
    """
    value = read_json(body)
    event = read_payload(Event, value)
    assert isinstance(value, dict)
    return Enqueued(event.routing_key, event, value)


def read(body: bytes, *, received_at: datetime) -> list[Alert]:
    """The alert of a call, as the other formats give theirs.

    Raises:
        PayloadFaults: naming every fault.
    """
    return [read_event(body).alert(received_at=received_at)]


def _content(value: dict[str, Any]) -> str:
    """The hash of everything that a call says, but for whose it is."""
    said = {name: each for name, each in value.items() if name != "routing_key"}
    try:
        return hashlib.sha256(canonical_json(said)).hexdigest()
    except orjson.JSONEncodeError:
        raise PayloadFaults.of(InputError("$", "is nested too deeply")) from None


def _alert(event: Event, content: str, received_at: datetime) -> Alert:
    payload = event.payload
    account = hashlib.sha256(event.routing_key.get_secret_value().encode()).hexdigest()
    timestamp = payload.timestamp if payload is not None else None
    tells_its_time = event.event_action == "trigger" and timestamp is not None
    return Alert(
        format=AlertFormat.PAGERDUTY,
        state=_STATES[event.event_action],
        key=event.dedup_key or _made_key(account, content),
        occurrence=(account, content, "" if tells_its_time else received_at.isoformat()),
        labels={
            **(payload.labels() if payload is not None else {}),
            **({"client": event.client} if event.client else {}),
        },
        title=payload.summary if payload is not None else "",
        description=_details(payload),
        links=_links(event),
        started_at=timestamp or received_at,
        received_at=received_at,
    )


def _made_key(account: str, content: str) -> str:
    """The dedup_key of a trigger that has none: the same one when the call is repeated."""
    return hashlib.sha256(f"{account}/{content}".encode()).hexdigest()[:32]


def _details(payload: TriggerPayload | None) -> str:
    """The custom details as lines for people."""
    if payload is None:
        return ""
    found = flatten("", payload.custom_details)
    return "\n".join(f"{name}: {value}" if name else value for name, value in found.items())


def _links(event: Event) -> tuple[Link, ...]:
    """Every link that leads somewhere; what is none is left out."""
    client = [Link(event.client or "Client", event.client_url)] if event.client_url else []
    return (
        *client,
        *_listed(event.links, url="href", name="text", otherwise="Link"),
        *_listed(event.images, url="src", name="alt", otherwise="Image"),
    )


def _listed(value: object, *, url: str, name: str, otherwise: str) -> Iterator[Link]:
    for each in value if isinstance(value, list) else ():
        if isinstance(each, dict) and (target := optional_text(each.get(url))):
            yield Link(optional_text(each.get(name)) or otherwise, target)
