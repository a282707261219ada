"""The gateway's configuration: which sources come in, how they prove it, and what maps them.

A TOML file, one table a source, named as the producer registry names it::

    [sources.alertmanager-prod]
    accepts = ["alertmanager"]            # alertmanager, grafana, pagerduty, cloudevents
    mapping = "mapping-alertmanager.toml" # beside this file; not needed for cloudevents
    basic = [{ username = "alertmanager", password = "…" }]

    [sources.grafana]
    accepts = ["grafana"]
    mapping = "mapping-grafana.toml"
    hmac = [{ secret = "…", timestamp_header = "X-Grafana-Alerting-Timestamp" }]

There is no source without a credential, and so no way in for nobody. Several credentials of a kind
let one be changed without a pause. Tokens, passwords and routing keys may be given as the hex
digits of their SHA-256, ``sha256:…``: they are long and random, so that a fast hash is enough.
The file may say where it ends (`models.whole_files`).
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from models.file_errors import file_errors
from models.inputs import Name
from models.registry import KeyId
from models.secret_files import SecretFileFault, read_secret_toml
from producers.gateway.alerts import AlertFormat

SHORTEST_SECRET = 16
"""Characters; what is shorter can be guessed."""
ROUTING_KEY_LENGTH = 32
"""PagerDuty's; its clients check it."""
FRESH_SECONDS = 300
"""How far a signed timestamp may be from our clock."""

_HASHED = "sha256:"
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
_USERNAME = re.compile(r"[^:\x00-\x1f\x7f]{1,255}\Z")


class GatewayFileError(Exception):
    """The configuration cannot be used; the message names the file and every fault."""


class Format(StrEnum):
    """What a source may send, each by its own path."""

    ALERTMANAGER = AlertFormat.ALERTMANAGER.value
    GRAFANA = AlertFormat.GRAFANA.value
    PAGERDUTY = AlertFormat.PAGERDUTY.value
    CLOUDEVENTS = "cloudevents"


def digest_of(secret: str) -> bytes:
    """The SHA-256 of a secret as a sender gives it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _configured_digest(secret: SecretStr) -> bytes:
    """The SHA-256 of a secret as the file has it: itself, or hashed already."""
    text = secret.get_secret_value()
    if text.startswith(_HASHED):
        return bytes.fromhex(text.removeprefix(_HASHED))
    return digest_of(text)


def _fault(message: str) -> PydanticCustomError:
    return PydanticCustomError("configuration", "{message}", {"message": message})


def _check_secret(secret: SecretStr, *, shortest: int = SHORTEST_SECRET) -> SecretStr:
    text = secret.get_secret_value()
    if text.startswith(_HASHED):
        if not re.fullmatch(r"[0-9a-f]{64}", text.removeprefix(_HASHED)):
            raise _fault("sha256: must be followed by 64 hex digits in lower case")
    elif len(text) < shortest:
        raise _fault(f"must have {shortest} characters at least, as from: openssl rand -hex 16")
    return secret


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class BasicCredential(_Part):
    """A user name and a password, as HTTP's basic authentication sends them."""

    username: str
    password: SecretStr

    @field_validator("username")
    @classmethod
    def _fits_the_header(cls, value: str) -> str:
        if not _USERNAME.match(value):
            raise _fault("must be 1 to 255 characters without a colon and control characters")
        return value

    @field_validator("password")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        return _check_secret(value)

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the password."""
        return _configured_digest(self.password)


class HmacCredential(_Part):
    """A key that Grafana signs its bodies with.

    Attributes:
        header: the request's header that holds the signature.
        timestamp_header: the one that holds the time, where Grafana is told to sign it too; then
            what is older than five minutes is refused.
    """

    secret: SecretStr
    header: str = "X-Grafana-Alerting-Signature"
    timestamp_header: str | None = None

    @field_validator("secret")
    @classmethod
    def _not_hashed(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value().startswith(_HASHED):
            raise _fault("must be the key itself: a signature cannot be checked with its hash")
        return _check_secret(value)

    @field_validator("header", "timestamp_header")
    @classmethod
    def _header_name(cls, value: str | None) -> str | None:
        if value is not None and not _HEADER_NAME.match(value):
            raise _fault("is not the name of a header")
        return value


class GatewaySource(_Part):
    """One source: what it may send, how it proves itself, and what its alerts are mapped by."""

    accepts: Annotated[frozenset[Format], Field(min_length=1)]
    mapping: Path | None = None
    bearer: tuple[SecretStr, ...] = ()
    basic: tuple[BasicCredential, ...] = ()
    routing_keys: tuple[SecretStr, ...] = ()
    hmac: tuple[HmacCredential, ...] = ()
    key: KeyId | None = None
    spool: bool | None = None

    @field_validator("bearer")
    @classmethod
    def _long_enough(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        return tuple(_check_secret(secret) for secret in value)

    @field_validator("routing_keys")
    @classmethod
    def _as_pagerduty_makes_them(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in value:
            text = _check_secret(secret, shortest=ROUTING_KEY_LENGTH).get_secret_value()
            if not text.startswith(_HASHED) and len(text) != ROUTING_KEY_LENGTH:
                raise _fault(f"must have {ROUTING_KEY_LENGTH} characters, as PagerDuty's have")
        return value

    @model_validator(mode="after")
    def _is_complete(self) -> "GatewaySource":
        faults = [fault for each in sorted(self.accepts) for fault in self._missing_for(each)]
        if faults:
            raise _fault("; ".join(dict.fromkeys(faults)))
        return self

    def _missing_for(self, accepted: Format) -> Iterator[str]:
        if accepted is not Format.CLOUDEVENTS and self.mapping is None:
            yield "needs a mapping, which says what its alerts become"
        match accepted:
            case Format.PAGERDUTY if not self.routing_keys:
                yield "needs routing_keys, to accept pagerduty"
            case Format.GRAFANA if not (self.bearer or self.basic or self.hmac):
                yield "needs bearer, basic or hmac, to accept grafana"
            case Format.ALERTMANAGER | Format.CLOUDEVENTS if not (self.bearer or self.basic):
                yield f"needs bearer or basic, to accept {accepted}"
            case _:
                return

    @property
    def spools(self) -> bool:
        """Whether what the intake cannot take is kept on the disk; Grafana does not send twice."""
        return Format.GRAFANA in self.accepts if self.spool is None else self.spool

    def bearer_digests(self) -> Iterator[bytes]:
        """The SHA-256 of each bearer token."""
        return map(_configured_digest, self.bearer)

    def routing_key_digests(self) -> Iterator[bytes]:
        """The SHA-256 of each routing key."""
        return map(_configured_digest, self.routing_keys)


class GatewayFile(_Part):
    """All sources that come in through the gateway, by name."""

    sources: Annotated[Mapping[Name, GatewaySource], Field(min_length=1)]

    @model_validator(mode="after")
    def _credentials_tell_sources_apart(self) -> "GatewayFile":
        owners: dict[object, str] = {}
        for name, source in self.sources.items():
            for kind, what in _telling(source):
                other = owners.setdefault((kind, what), name)
                if other != name:
                    raise _fault(f"{other} and {name} have the same {kind}")
        return self


def _telling(source: GatewaySource) -> Iterator[tuple[str, object]]:
    for digest in source.bearer_digests():
        yield "bearer token", digest
    for digest in source.routing_key_digests():
        yield "routing key", digest
    for basic in source.basic:
        yield "username", basic.username
    for hmac in source.hmac:
        yield "hmac secret", hmac.secret.get_secret_value()


def load_gateway_file(path: Path) -> GatewayFile:
    """Read the configuration; mapping files are found beside it.

    Raises:
        GatewayFileError: the file is missing, cut off, another user's, open to others, or at fault
            (every fault named).
    """
    try:
        document = read_secret_toml(path).document
    except SecretFileFault as fault:
        raise GatewayFileError(f"ANDON_GATEWAY_FILE: {fault}") from None
    try:
        return GatewayFile.model_validate(document)
    except ValidationError as error:
        faults = [f"  {fault.path} {fault.message}" for fault in file_errors(error, document)]
        raise GatewayFileError("\n".join([f"{path} is at fault:", *faults])) from None
