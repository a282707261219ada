"""Signatures of events: hex HMAC-SHA256 over the exact bytes that were published."""

import hmac
from functools import lru_cache


def sign(event: bytes, secret: bytes) -> str:
    """The hex HMAC-SHA256 of *event* under *secret*."""
    mac = _keyed(secret).copy()
    mac.update(event)
    return mac.hexdigest()


@lru_cache(maxsize=256)
def _keyed(secret: bytes) -> hmac.HMAC:
    """The state that a MAC under *secret* begins with: to copy it costs less than to make it."""
    return hmac.new(secret, digestmod="sha256")


def verify(event: bytes, signature: str, secret: bytes) -> bool:
    """Whether *signature* is that of *event*; compared in constant time."""
    return hmac.compare_digest(sign(event, secret).encode(), signature.encode("utf-8", "replace"))
