"""Andon's settings: read once from the environment (``ANDON_*``), then passed down.

Inside a directory where ``andon up`` runs, whatever the environment leaves out is taken from that
installation (its ``settings.env``), so the other commands find it by themselves.
"""

import difflib
import os
import stat
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from models.audit import AuditKey, AuditKeys
from models.broker_tls import tls_faults
from models.errors import wording
from models.streams import StreamNames
from tasks.rules import Rules

INSTALLATION = Path(".andon")
"""Where ``andon up`` and ``andon demo`` keep everything, below the directory they run in."""
SETTINGS_FILE = "settings.env"


AnySettings = TypeVar("AnySettings", bound="HealthSettings")


class SettingsError(Exception):
    """Settings are missing or wrong; the message names each and says what is expected."""


def read_key(value: SecretStr) -> AuditKey:
    """Read a key written as ``name:hex``.

    Raises:
        ValueError: it is written otherwise, or shorter than 16 bytes.
    """
    name, _, digits = value.get_secret_value().partition(":")
    try:
        secret = bytes.fromhex(digits)
    except ValueError:
        secret = b""
    if not name or len(secret) < 16:
        raise ValueError("must be written NAME:HEX, with at least 32 hex digits")
    return AuditKey(name, secret)


def _read_keys(value: SecretStr) -> tuple[AuditKey, ...]:
    keys = (key.strip() for key in value.get_secret_value().split(","))
    return tuple(read_key(SecretStr(key)) for key in keys if key)


_ENCODE = "percent-encode what is special in its password"


def _is_readable(url: str) -> bool:
    """Whether clients find the host: an unencoded / ? or # ends it early, and an @ comes after."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return "@" not in parts.path + parts.query + parts.fragment


def _own_temporary_directory() -> Path:
    return Path(tempfile.gettempdir()) / f"andon-{os.geteuid()}"


class HealthSettings(BaseSettings):
    """What `andon health` needs: no service, and no secret.

    The environment variable of a setting is ``ANDON_`` and its name.
    """

    model_config = SettingsConfigDict(
        env_prefix="ANDON_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    health_directory: Path = Field(
        default_factory=_own_temporary_directory,
        description="where each process leaves its signs of life, for `andon health`",
    )

    @field_validator("health_directory", mode="before")
    @classmethod
    def _blank_is_default(cls, value: object) -> object:
        return _own_temporary_directory() if value == "" else value


class GatewaySettings(HealthSettings):
    """What the gateway needs: neither the worker's rights in the database nor the audit's keys."""

    broker_url: SecretStr = Field(description="redis://… or amqp://…: the intake, and Celery's own")
    broker_ca: Path | None = Field(
        default=None,
        description="a file of the authorities (PEM) that sign the broker's certificate",
    )
    producers_file: Path = Field(description="the producer registry (TOML)")
    namespace: str = Field(
        default="andon",
        pattern=r"^[A-Za-z0-9._-]{1,64}\z",
        description="what the names of all streams and queues begin with",
    )
    intake_limit: int = Field(
        default=1_000_000, ge=1, description="entries in the intake from which clients refuse"
    )
    intake_memory_percent: int = Field(
        default=85,
        ge=1,
        le=100,
        description="how much of its maxmemory Redis may have used before clients refuse",
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_json: bool = Field(default=False, description="log JSON lines instead of text")

    gateway_file: Path | None = Field(
        default=None, description="the gateway's sources and their credentials (TOML)"
    )
    gateway_host: str = Field(default="127.0.0.1", description="the address it listens at")
    gateway_port: int = Field(default=8470, ge=0, le=65_535, description="its port; 0 for any")
    gateway_certificate: Path | None = Field(
        default=None,
        description="its TLS certificate with the chain (PEM); without one, plain HTTP",
    )
    gateway_certificate_key: Path | None = Field(
        default=None, description="the certificate's private key (PEM)"
    )
    gateway_database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL with the gateway's rights, which reads receipts"
    )
    gateway_spool: Path | None = Field(
        default=None, description="the file that keeps what the intake cannot take"
    )

    @field_validator(
        "broker_ca",
        "gateway_file",
        "gateway_spool",
        "gateway_certificate",
        "gateway_certificate_key",
        mode="before",
    )
    @classmethod
    def _blank_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("producers_file", mode="before")
    @classmethod
    def _names_a_file(cls, value: object) -> object:
        if value == "":
            raise ValueError("must name a file")
        return value

    @field_validator("broker_ca")
    @classmethod
    def _can_be_read(cls, value: Path | None) -> Path | None:
        if value is not None and not (value.is_file() and os.access(value, os.R_OK)):
            raise ValueError("names no file that can be read")
        return value

    @field_validator("broker_url")
    @classmethod
    def _known_broker(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if not url.startswith(("redis://", "rediss://", "amqp://", "amqps://")):
            raise ValueError("must begin with redis://, rediss://, amqp:// or amqps://")
        if not _is_readable(url):
            raise ValueError(f"is not a URL that can be read: {_ENCODE}")
        if (fault := tls_faults(url)) is not None:
            raise ValueError(fault)
        return value

    @field_validator(
        "database_url", "owner_database_url", "gateway_database_url", check_fields=False
    )
    @classmethod
    def _known_database(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None or (not value.get_secret_value() and info.field_name != "database_url"):
            return None
        if not value.get_secret_value().startswith(("postgresql://", "postgresql+psycopg://")):
            raise ValueError("must begin with postgresql+psycopg://")
        try:
            host = make_url(value.get_secret_value()).host or ""
        except (ArgumentError, ValueError):
            host = "@"
        if "@" in host or not _is_readable(value.get_secret_value()):
            raise ValueError(f"is not a URL that can be read: {_ENCODE}")
        return value

    @property
    def streams(self) -> StreamNames:
        """The names of the streams."""
        return StreamNames(self.namespace)


class Settings(GatewaySettings):
    """Every setting, with its meaning."""

    database_url: SecretStr = Field(description="PostgreSQL, with the worker's rights")
    owner_database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL, with the owner's rights: migrate, directory load, audit prune",
    )
    audit_key: SecretStr = Field(description="NAME:HEX, the key that new audit records carry")
    retired_audit_keys: SecretStr = Field(
        default=SecretStr(""), description="former audit keys, NAME:HEX, separated by commas"
    )

    local_source: str = Field(default="local", description="the source of `andon send`")
    worker_role: str = Field(
        default="andon_worker", description="the database role that migrate gives its rights to"
    )
    gateway_role: str = Field(
        default="andon_gateway", description="the role that may read receipts, and nothing else"
    )

    outcomes_kept: int = Field(
        default=100_000, ge=1_000, description="about how many outcomes their stream keeps"
    )
    batch_size: int = Field(default=700, ge=1, le=2_000, description="requests in a transaction")
    claim_idle: Annotated[timedelta, Field(ge=timedelta(seconds=1))] = Field(
        default=timedelta(seconds=15),
        description="seconds after which a worker's unfinished entries are taken over",
    )
    batch_time_limit: int = Field(
        default=60, ge=5, description="seconds after which a pool process that hangs is killed"
    )
    batch_soft_time_limit: int = Field(
        default=45,
        ge=3,  # a drain takes up to a second, and its last batch
        validate_default=True,  # against the hard limit
        description="seconds after which it ends itself, if it still can; below the former",
    )
    concurrency: int = Field(default=2, ge=1, le=256, description="pool processes of a worker")

    clients_may_report: bool = Field(
        default=False, description="client contacts may report for their own client"
    )
    ledger_retention_days: int | None = Field(
        default=None, ge=1, description="days that identities are kept; for ever if unset"
    )
    audit_retention_months: int | None = Field(
        default=None, ge=1, description="months that `audit prune` leaves; for ever if unset"
    )
    halt_retention_days: int = Field(
        default=30, ge=0, description="days that a settled halt keeps its request"
    )
    patience: Annotated[timedelta, Field(ge=timedelta(0))] = Field(
        default=timedelta(seconds=60),
        description="seconds that a request waits for a report that should have come",
    )
    key_patience: Annotated[timedelta, Field(ge=timedelta(0), le=timedelta(minutes=5))] = Field(
        default=timedelta(seconds=10),
        description="seconds that a message waits for its key, if the registry does not have it",
    )
    longest_wait: Annotated[timedelta, Field(ge=timedelta(0))] = Field(
        default=timedelta(hours=24),
        description="seconds after which one waits for nothing else that came before it",
    )

    @field_validator("claim_idle", "patience", "key_patience", "longest_wait", mode="before")
    @classmethod
    def _seconds(cls, value: object) -> object:
        if isinstance(value, str):
            try:
                return timedelta(seconds=float(value))
            except (ValueError, OverflowError):
                raise ValueError("must be a number of seconds") from None
        return value

    @field_validator("audit_key")
    @classmethod
    def _one_key(cls, value: SecretStr) -> SecretStr:
        read_key(value)
        return value

    @field_validator("retired_audit_keys")
    @classmethod
    def _several_keys(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        names = [key.key_id for key in _read_keys(value)]
        if "audit_key" in info.data:
            names.append(read_key(info.data["audit_key"]).key_id)
        if len(names) > len(set(names)):
            raise ValueError("has a name that stands twice, or is that of ANDON_AUDIT_KEY")
        return value

    @field_validator("batch_soft_time_limit")
    @classmethod
    def _below_hard_limit(cls, value: int, info: ValidationInfo) -> int:
        if value >= info.data.get("batch_time_limit", value + 1):
            raise ValueError("must be below ANDON_BATCH_TIME_LIMIT")
        return value

    @property
    def rules(self) -> Rules:
        """What of this decides about requests."""
        days = self.ledger_retention_days
        return Rules(
            clients_may_report=self.clients_may_report,
            ledger_retention=None if days is None else timedelta(days=days),
            patience=self.patience,
            key_patience=self.key_patience,
            longest_wait=self.longest_wait,
        )

    @property
    def statement_timeout_ms(self) -> int:
        """How long a statement may run: below the claim idle time (DESIGN 7)."""
        return int(self.claim_idle.total_seconds() * 800)

    @property
    def owner_url(self) -> str:
        """Where the owner connects; the worker's own URL if no other is set."""
        return (self.owner_database_url or self.database_url).get_secret_value()

    def current_audit_key(self) -> AuditKey:
        """The key for new records."""
        return read_key(self.audit_key)

    def audit_keys(self) -> AuditKeys:
        """All keys, to verify with."""
        return AuditKeys(self.current_audit_key(), _read_keys(self.retired_audit_keys))


def load_settings(directory: Path | None = None) -> Settings:
    """Read the settings; the environment wins over an installation in *directory*.

    Args:
        directory: where to look for ``.andon``; the working directory if not given.

    Raises:
        SettingsError: naming every setting that is missing or wrong.
    """
    return read_settings((directory or Path.cwd()) / INSTALLATION / SETTINGS_FILE)


def load_gateway_settings(directory: Path | None = None) -> GatewaySettings:
    """Read those settings that the gateway needs, as :func:`load_settings` does.

    Raises:
        SettingsError: naming every setting that is missing or wrong.
    """
    return _read(GatewaySettings, (directory or Path.cwd()) / INSTALLATION / SETTINGS_FILE)


def load_health_settings(directory: Path | None = None) -> HealthSettings:
    """Read what `andon health` needs, as :func:`load_settings` does.

    Raises:
        SettingsError: naming every setting that is wrong.
    """
    return _read(HealthSettings, (directory or Path.cwd()) / INSTALLATION / SETTINGS_FILE)


def read_settings(file: Path, **own: SecretStr | Path) -> Settings:
    """Read the settings of the installation whose *file* this is.

    Args:
        file: may be missing; the environment wins over it.
        own: settings that neither of them changes, by their names.

    Raises:
        SettingsError: naming every setting that is missing, wrong or does not exist.
    """
    return _read(Settings, file, **own)


def _read(kind: type[AnySettings], file: Path, **own: SecretStr | Path) -> AnySettings:
    _check_owner(file)
    faults = [
        f"  {name}: is no setting{_suggestion(name)}"
        for name in sorted({*os.environ, *dotenv_values(file)} - _OF_COMPOSE)
        if name.upper().startswith("ANDON_")
        and name.upper() not in _names()
        and not name.upper().startswith("ANDON_TEST_")
    ]
    settings = None
    try:
        settings = kind(_env_file=file, **own)  # type: ignore[arg-type]  # a field each
    except ValidationError as error:
        faults = [
            f"  ANDON_{'_'.join(map(str, fault['loc'])).upper()}: {_say(fault)}"
            for fault in error.errors(include_url=False)
        ] + faults
    if settings is None or faults:
        hint = "" if file.exists() else f"\nNo installation of `andon up` is at {file.parent}."
        raise SettingsError("\n".join(["Settings are missing or wrong:", *faults]) + hint)
    return settings


def _check_owner(file: Path) -> None:
    """Settings say which database and which keys are used: only their owner may have written them.

    Raises:
        SettingsError: somebody else could have.
    """
    try:
        found = file.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from None
    if found.st_uid not in (os.geteuid(), 0) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SettingsError(
            f"{file} belongs to another user, or can be written to by others, so its settings are"
            f" not taken. If it is yours: chmod 600 {file}"
        )


_OF_COMPOSE = frozenset(
    (
        "ANDON_OWNER_PASSWORD",
        "ANDON_WORKER_PASSWORD",
        "ANDON_GATEWAY_PASSWORD",
        "ANDON_CONFIG_DIRECTORY",
        "ANDON_GATEWAY_DIRECTORY",
    )
)
"""What `.env` has besides, for docker-compose.yml alone."""


def _names() -> frozenset[str]:
    return frozenset(f"ANDON_{name.upper()}" for name in Settings.model_fields)


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name.upper(), _names(), 1)
    return f"; is {near[0]} meant?" if near else ""


def _say(fault: ErrorDetails) -> str:
    return "is not set" if fault["type"] == "missing" else wording(fault)
