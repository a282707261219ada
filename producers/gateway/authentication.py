"""Who is asking: bearer tokens, user names and passwords, routing keys, and signed bodies.

Nothing that a sender gives is compared with a secret directly. Both sides are hashed, and the
hashes looked up below a key that this process drew for itself, so that the time a look-up takes
tells nothing about what would have been right.
"""

import base64
import binascii
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers

from producers.gateway.configuration import (
    FRESH_SECONDS,
    GatewayFile,
    GatewaySource,
    HmacCredential,
    digest_of,
)


@dataclass(frozen=True, slots=True)
class Caller:
    """A source that has proven itself."""

    name: str
    source: GatewaySource


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody that we know; why, for whoever set the sender up."""

    message: str


UNKNOWN = Refused("No source of this gateway has this credential.")
MISSING = Refused("A credential is needed: Authorization: Bearer TOKEN, or Basic.")


@dataclass(slots=True)
class Authentication:
    """Tells whose a credential is.

    Args:
        file: the sources with their credentials.
        now: the clock, in seconds since 1970.
    """

    file: GatewayFile
    now: Callable[[], float] = time.time
    _blind: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _owners: Mapping[bytes, Caller] = field(init=False, repr=False)
    _signing: list[tuple[Caller, HmacCredential]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        owners: dict[bytes, Caller] = {}
        self._signing = []
        for name, source in self.file.sources.items():
            caller = Caller(name, source)
            for digest in source.bearer_digests():
                owners[self._tag("bearer", digest)] = caller
            for digest in source.routing_key_digests():
                owners[self._tag("routing key", digest)] = caller
            for basic in source.basic:
                owners[self._tag("basic", basic.digest, basic.username)] = caller
            self._signing += [(caller, credential) for credential in source.hmac]
        self._owners = owners

    def _tag(self, kind: str, digest: bytes, username: str = "") -> bytes:
        name = username.encode("utf-8", "surrogateescape")
        return hmac.digest(self._blind, b"\0".join((kind.encode(), name, digest)), "sha256")

    def by_header(self, headers: Headers) -> Caller | Refused:
        """Whose the ``Authorization`` header is."""
        scheme, _, credential = headers.get("authorization", "").partition(" ")
        match scheme.lower():
            case "":
                return MISSING
            case "bearer":
                return self._owner(self._tag("bearer", digest_of(credential.strip())))
            case "basic":
                return self._by_password(credential.strip())
            case _:
                return MISSING

    def _by_password(self, credential: str) -> Caller | Refused:
        try:
            text = base64.b64decode(credential, validate=True).decode()
        except (binascii.Error, ValueError):
            return UNKNOWN
        username, _, password = text.partition(":")
        return self._owner(self._tag("basic", digest_of(password), username))

    def by_routing_key(self, routing_key: str) -> Caller | Refused:
        """Whose PagerDuty's routing key is."""
        return self._owner(self._tag("routing key", digest_of(routing_key)))

    def _owner(self, tag: bytes) -> Caller | Refused:
        return self._owners.get(tag, UNKNOWN)

    def by_signature(self, headers: Headers, body: bytes) -> Caller | Refused:
        """Which source's key has signed the body, as Grafana signs.

        Every key is tried: the sender does not say which one is its own.
        """
        found: Caller | Refused = UNKNOWN
        for caller, credential in self._signing:
            answer = self._signed(headers, body, credential)
            if answer is True:
                found = caller
            elif isinstance(answer, Refused) and not isinstance(found, Caller):
                found = answer
        return found

    def _signed(self, headers: Headers, body: bytes, credential: HmacCredential) -> bool | Refused:
        given = headers.get(credential.header)
        if given is None:
            return False
        stamp = None
        if credential.timestamp_header is not None:
            stamp = headers.get(credential.timestamp_header, "")
        signed = body if stamp is None else f"{stamp}:".encode() + body
        expected = hmac.digest(credential.secret.get_secret_value().encode(), signed, "sha256")
        if not hmac.compare_digest(expected.hex().encode(), given.lower().encode()):
            return False
        if stamp is not None and not self._is_fresh(stamp):
            return Refused("The signature's timestamp is more than five minutes from our clock.")
        return True

    def _is_fresh(self, stamp: str) -> bool:
        return stamp.isdecimal() and abs(int(stamp[:12]) - self.now()) <= FRESH_SECONDS
