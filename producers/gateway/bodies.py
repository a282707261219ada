"""Reading the body of a request, within limits of size and time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.requests import ClientDisconnect, Request

from producers.gateway.admission import Place
from producers.gateway.alerts import MAX_PAYLOAD_BYTES
from producers.gateway.door import STRANGER_SECONDS

MAX_BODY_BYTES = MAX_PAYLOAD_BYTES
"""PagerDuty's limit; an event of the intake has half of it at most."""
BODY_SECONDS = 20.0
"""For a whole body; whoever sends more slowly keeps others from a place."""

_LINGER_SECONDS, _LINGER_BYTES = 1.0, 2 * 1024 * 1024


class BodyRefused(Exception):
    """The body is not read any further, and the connection is closed behind the answer.

    Attributes:
        status: what the sender is answered.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def read_body(request: Request, place: Place) -> bytes:
    """The whole body, however it is sent.

    Args:
        request: whose.
        place: what it takes up, of all that is under way; who has not proven itself has less time.

    Raises:
        Overloaded: too much is under way.
        BodyRefused: it is too large, too slow, compressed, or was broken off.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise BodyRefused(415, f"The content coding {encoding[:64]!r} is not read; send it plain.")
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared[:20]) > MAX_BODY_BYTES:
        await _linger(request.stream())
        raise _too_large()
    seconds = BODY_SECONDS if place.is_proven else STRANGER_SECONDS
    try:
        async with asyncio.timeout(seconds):
            return await _collect(request, place)
    except TimeoutError:
        raise BodyRefused(408, f"The body did not arrive within {seconds:.0f} s.") from None
    except ClientDisconnect:
        raise BodyRefused(400, "The body was broken off.") from None


async def _collect(request: Request, place: Place) -> bytes:
    body, parts = bytearray(), request.stream()
    async for part in parts:
        body += part
        if len(body) > MAX_BODY_BYTES:
            body.clear()
            await _linger(parts)
            raise _too_large()
        place.hold(len(part))
    return bytes(body)


async def _linger(parts: AsyncIterator[bytes]) -> None:
    """Read on for a moment, and keep nothing.

    A connection that is closed with something unread is reset, and a sender that is still writing
    would not see the answer (RFC 9112, 9.6).
    """
    left = _LINGER_BYTES
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(_LINGER_SECONDS):
            async for part in parts:
                left -= len(part)
                if left < 0:
                    return


def _too_large() -> BodyRefused:
    return BodyRefused(413, f"A body may have {MAX_BODY_BYTES:,} bytes.")
