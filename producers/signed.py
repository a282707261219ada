"""Events that are ready to be published: signed bytes, and the identity they were made with."""

import os
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from models.events import MAX_EVENT_BYTES, Event, read_event
from models.outcomes import Identity
from models.signatures import sign, verify

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class NotPublishable(ValueError):
    """No event can be made of this; the message says why."""


class SignedEvent(NamedTuple):
    """The three fields of an intake entry, and whose request it is.

    Attributes:
        identity: None for bytes that are no CloudEvent; the worker will halt those.
        event: the exact bytes that are published.
        signature: hex HMAC-SHA256 of them.
    """

    identity: Identity | None
    event: bytes
    key_id: str
    signature: str


def sign_event(
    event: bytes, *, key_id: str, secret: bytes, identity: Identity | None = None
) -> SignedEvent:
    """Sign the bytes of one event.

    Args:
        event: a whole event, exactly as it is to be published.
        key_id: which key of the source's *secret* is.
        secret: the key.
        identity: the event's, where it is known already; else it is read from the event.

    Raises:
        NotPublishable: the event is larger than an intake takes.
    """
    if len(event) > MAX_EVENT_BYTES:
        raise NotPublishable(
            f"the event has {len(event):,} bytes; an event may have {MAX_EVENT_BYTES:,}"
        )
    return SignedEvent(identity or _identity(event), event, key_id, sign(event, secret))


def signed_anew(event: SignedEvent, *, source: str, key_id: str, secret: bytes) -> SignedEvent:
    """*event* as its source signs now: what was kept while the key was changed, by the new one.

    Nothing but key and signature changes. Events of other sources stay as they are.
    """
    if event.key_id == key_id and verify(event.event, event.signature, secret):
        return event
    identity = _identity(event.event)
    if identity is None or identity.source != source:
        return event
    return event._replace(key_id=key_id, signature=sign(event.event, secret))


def _identity(event: bytes) -> Identity | None:
    read = read_event(event)
    return Identity(read.envelope.source, read.envelope.id) if isinstance(read, Event) else None


def fresh_id(now: datetime) -> str:
    """A UUID of version 7 (RFC 9562) that sorts by time, down to the microsecond."""
    milliseconds, fraction = divmod((now - _EPOCH) // _MICROSECOND, 1000)
    sortable = milliseconds << 80 | 7 << 76 | fraction << 66
    # uuid.UUID would check all that and take twice as long.
    text = f"{sortable | 2 << 62 | int.from_bytes(os.urandom(8)) >> 2:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
