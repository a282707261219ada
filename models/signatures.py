"""Signatures of events: hex HMAC-SHA256 over the exact bytes that were published.

The records of the audit carry the same kind of MAC, each kind in a domain of its own.
"""

import hmac
from functools import lru_cache


def sign(event: bytes, secret: bytes) -> str:
    """The hex HMAC-SHA256 of *event* under *secret*."""
    return mac_of(secret, event).hexdigest()


def mac_of(secret: bytes, message: bytes, *, domain: bytes = b"") -> hmac.HMAC:
    """The HMAC-SHA256 of *domain* and *message* under *secret*."""
    mac = _keyed(secret, domain).copy()
    mac.update(message)
    return mac


@lru_cache(maxsize=256)
def _keyed(secret: bytes, domain: bytes) -> hmac.HMAC:
    """The state that such a MAC begins with: to copy it costs less than to make it."""
    return hmac.new(secret, domain, "sha256")


def verify(event: bytes, signature: str, secret: bytes) -> bool:
    """Whether *signature* is that of *event*; compared in constant time."""
    return hmac.compare_digest(sign(event, secret).encode(), signature.encode("utf-8", "replace"))
