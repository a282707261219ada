"""What a worker has in hand: one message as it was delivered, not yet looked into."""

from datetime import datetime
from typing import NamedTuple

from models.tables import Door


class Delivery(NamedTuple):
    """One message, with what is known about its way here.

    Attributes:
        entry: names the message for good, however often it is delivered (``models.entries``).
        event: the bytes that were published.
        key_id: which key the producer says it signed with.
        signature: hex HMAC-SHA256 of *event*.
        received_at: when it was accepted, by the broker's clock, which may be wrong, or
            ``UNTOLD``; of a request that waited, when it was first received (``tasks.decode``).
        deliveries: how often it has been handed to a worker, this time included.
        waiting: it has been here before, was authentic, and has waited since for a report.
        last_look: it has waited long enough; it is decided now, report or not.
        set_aside: it was set aside before, and its time has come.
    """

    entry: str
    door: Door
    event: bytes
    key_id: str
    signature: str
    received_at: datetime
    deliveries: int = 1
    waiting: bool = False
    last_look: bool = False
    set_aside: bool = False
