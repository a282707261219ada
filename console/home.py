"""An installation in one directory: its servers, its settings and its registry, kept over restarts.

``andon up`` and ``andon demo`` run in one. The settings are written where the other commands find
them (`worker.settings`); what somebody adds to that file stays.
"""

import os
import secrets
import shlex
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from console.embedded import Embedded, Services
from console.embedded.memory import write_private
from console.failures import wrong_usage
from console.intake import newest_key
from console.local_gateway import gateway_variables, make_gateway_files
from console.producer_keys import Rights, add_key
from migrations.runner import migrate
from models.registry import Registry, load_registry
from worker.settings import INSTALLATION, SETTINGS_FILE, Settings, read_settings

_ABOUT = """\
# Written by `andon up`; commands in this directory take their settings from here. It holds secrets.
# The lines below are renewed at every start. Others, such as ANDON_CONCURRENCY='4', stay.
"""


@dataclass(frozen=True, slots=True)
class Home:
    """A running installation, whose database is at this version's schema.

    Attributes:
        directory: where commands find it: ``.andon`` is below.
        servers: its PostgreSQL and its Redis.
        variables: the settings of its own, as environment variables; they contain secrets.
    """

    directory: Path
    servers: Embedded
    settings: Settings
    variables: Mapping[str, str] = field(repr=False)


@contextmanager
def opened_home(directory: Path, *, durable: bool = True) -> Iterator[Home]:
    """Start the servers of the installation in *directory*, and stop them at the end.

    Args:
        directory: made if it is missing.
        durable: see `console.embedded.Postgres`.

    Raises:
        EmbeddedError: the servers cannot be had; `AlreadyRunning` if somebody runs them already.
        Failure: it cannot be made, or somebody else could have put there what is in it.
    """
    place = directory.absolute() / INSTALLATION
    _make_private(place)
    servers = Embedded(place, durable=durable)
    with servers as services:
        (place / ".gitignore").write_text("*\n")
        variables = _variables(place, services)
        _write_settings(place / SETTINGS_FILE, variables)
        settings = _settings(place / SETTINGS_FILE, services, variables)
        _give_local_source_a_key(settings)
        make_gateway_files(place, settings.local_source)
        migrate(
            settings.owner_url,
            worker_role=settings.worker_role,
            gateway_role=settings.gateway_role,
            audit_key=settings.audit_keys().current,
            retired_keys=settings.audit_keys().retired,
        )
        yield Home(directory.absolute(), servers, settings, variables)


def _make_private(place: Path) -> None:
    """Make the directory; one that is there already has to be ours alone to write to.

    Programs are run in it, and its settings say which database and which keys are used.
    """
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise wrong_usage(f"{place} cannot be made: {error.strerror}.") from None
    for found in (place.lstat(), place.stat()):
        if found.st_uid != os.geteuid():
            raise wrong_usage(f"{place} belongs to another user: use a directory of your own.")
    if place.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise wrong_usage(
            f"{place} can be written to by others, who may have changed what is in it. If you trust"
            f" them: chmod 700 {shlex.quote(str(place))}"
        )


def _variables(place: Path, services: Services) -> dict[str, str]:
    """What an installation settles itself; the audit key is made once and kept."""
    kept = dotenv_values(place / SETTINGS_FILE)
    audit_key = kept.get("ANDON_AUDIT_KEY")
    if not audit_key and _has_audit(services.postgres.owner):
        raise wrong_usage(
            f"{place / SETTINGS_FILE} has lost ANDON_AUDIT_KEY, without which the audit neither"
            " verifies nor goes on: bring the file back from a backup. Nothing was changed."
        )
    return {
        "ANDON_DATABASE_URL": services.postgres.worker,
        "ANDON_OWNER_DATABASE_URL": services.postgres.owner,
        "ANDON_BROKER_URL": services.redis_url,
        "ANDON_PRODUCERS_FILE": str(place / "producers.toml"),
        "ANDON_HEALTH_DIRECTORY": str(place / "health"),
        "ANDON_AUDIT_KEY": audit_key or f"audit-{secrets.token_hex(4)}:{secrets.token_hex(32)}",
        **gateway_variables(place, services.postgres.gateway, kept),
    }


def _has_audit(owner_url: str) -> bool:
    """Whether the database has been used, and so has records under a key."""
    engine = create_engine(owner_url)
    try:
        with engine.connect() as connection:
            found = connection.execute(text("SELECT to_regclass('audit_chains')")).scalar_one()
    finally:
        engine.dispose()
    return found is not None


def _write_settings(file: Path, variables: Mapping[str, str]) -> None:
    """Renew the lines of *variables*, and leave every other line of the file as it is."""
    before = file.read_text().splitlines() if file.exists() else _ABOUT.splitlines()
    others = [line for line in before if line.partition("=")[0].strip() not in variables]
    lines = [*others, *(f"{name}={_quoted(value)}" for name, value in variables.items())]
    write_private(file, "\n".join(lines) + "\n")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _settings(file: Path, services: Services, variables: Mapping[str, str]) -> Settings:
    """The settings of this installation, whatever the environment says of its own ones."""
    return read_settings(
        file,
        database_url=SecretStr(services.postgres.worker),
        owner_database_url=SecretStr(services.postgres.owner),
        broker_url=SecretStr(services.redis_url),
        producers_file=Path(variables["ANDON_PRODUCERS_FILE"]),
        audit_key=SecretStr(variables["ANDON_AUDIT_KEY"]),
    )


def _give_local_source_a_key(settings: Settings) -> None:
    """The local source may ask for everything, on behalf of everybody; its key is made once."""
    path, source = settings.producers_file, settings.local_source
    registry = load_registry(path) if path.exists() else Registry()
    if newest_key(registry, source) is None:
        rights = None if source in registry.sources else Rights(procedures="any", users="any")
        add_key(path, source, rights)
