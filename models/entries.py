"""The names of intake entries.

Outside, an entry of a Redis stream is told by its place, ``stream/number``. That is no identity:
after a failover to a replica that lagged, or a clock put back, Redis gives a number out again. So
inside, its name says what stood there, too: ``stream/number#digest``. The names that RabbitMQ's
messages and plain tasks have are made of digests as they are, and are the same inside and outside.
"""

from hashlib import sha256

_DIGITS = 16


def entry_name(place: str, *, event: bytes, key_id: bytes, signature: bytes) -> str:
    """The name of what stands at *place*: the same for each delivery of it, and for nothing else.

    Args:
        place: ``stream/number``.
        event: the entry's fields, as they are in the stream.
        key_id: likewise.
        signature: likewise; other bytes than another's are another message, whoever is right.
    """
    content = b"%d %d %b%b%b" % (len(key_id), len(signature), key_id, signature, event)
    return f"{place}#{sha256(content).hexdigest()[:_DIGITS]}"


def place_of(name: str) -> str:
    """The entry's name as it is published: without the digest, if it carries one."""
    place, mark, digest = name.rpartition("#")
    return place if mark and len(digest) == _DIGITS else name


def names_at(place: str, *, event: bytes, key_id: bytes, signature: bytes) -> tuple[str, str]:
    """The names that a message may have inside which was published at *place*, on either engine."""
    return place, entry_name(place, event=event, key_id=key_id, signature=signature)
