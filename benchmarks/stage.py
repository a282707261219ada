"""The stage of a benchmark: real servers, and processes to measure, gone when it is over."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import redis
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url

from benchmarks.world import load_world
from console.embedded import Postgres, Redis
from migrations.runner import migrate
from worker.settings import Settings

SOURCE, KEY_ID, SECRET = "bench", "bench-1", bytes.fromhex("5e" * 32)
BATCH_SIZE: int = Settings.model_fields["batch_size"].default
_AUDIT_KEY = "bench:" + "a1" * 32
_REGISTRY = f"""
[sources.{SOURCE}]
procedures = "any"
users = "any"
[[sources.{SOURCE}.keys]]
id = "{KEY_ID}"
secret = "{SECRET.hex()}"
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """One installation in one database.

    Attributes:
        settings: the worker's.
        superuser_url: for copies of the database.
    """

    settings: Settings
    superuser_url: str

    def copy(self, name: str) -> "Stage":
        """The same installation on a copy of the database, which nobody may be connected to now.

        A copy of this name that there was before is dropped, and Redis is emptied: outcomes of
        another database would tell of numbers that this one has not given out.
        """
        self.redis.flushall()
        template = make_url(self.settings.owner_url)
        server = create_engine(
            make_url(self.superuser_url).set(database="postgres"), isolation_level="AUTOCOMMIT"
        )
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
            connection.exec_driver_sql(
                f"CREATE DATABASE {name} TEMPLATE {template.database} OWNER {template.username}"
            )
            connection.exec_driver_sql("CHECKPOINT")
        server.dispose()
        urls = {
            "database_url": _renamed(self.settings.database_url.get_secret_value(), name),
            "owner_database_url": _renamed(self.settings.owner_url, name),
        }
        return Stage(self.settings.model_copy(update=urls), self.superuser_url)

    @property
    def owner(self) -> Engine:
        """A new engine that connects as the owner."""
        return create_engine(self.settings.owner_url)

    @property
    def redis(self) -> redis.Redis:
        """A new client of the intake's Redis."""
        return redis.Redis.from_url(self.settings.broker_url.get_secret_value())


def _renamed(url: str, database: str) -> SecretStr:
    return SecretStr(make_url(url).set(database=database).render_as_string(hide_password=False))


@contextmanager
def stage(
    appendfsync: Literal["always", "everysec"], *, batch_size: int = BATCH_SIZE
) -> Iterator[Stage]:
    """A durable PostgreSQL and a Redis of their own, migrated, with the world of the benchmarks."""
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        postgres = Postgres(directory / "postgres")
        server = Redis(directory / "redis", appendfsync=appendfsync)
        try:
            urls = postgres.start()
            producers = directory / "producers.toml"
            producers.write_text(_REGISTRY)
            producers.chmod(0o600)
            settings = Settings(
                database_url=SecretStr(urls.worker),
                owner_database_url=SecretStr(urls.owner),
                broker_url=SecretStr(server.start()),
                producers_file=producers,
                audit_key=SecretStr(_AUDIT_KEY),
                outcomes_kept=10_000_000,
                log_level="warning",
                batch_size=batch_size,
            )
            migrate(
                urls.owner,
                worker_role=settings.worker_role,
                audit_key=settings.current_audit_key(),
            )
            staged = Stage(settings, urls.superuser)
            engine = staged.owner
            load_world(engine)
            engine.dispose()
            yield staged
        finally:
            server.stop()
            postgres.stop()


WORKER = "import worker.run, worker.settings as s; worker.run.run_worker(s.load_settings())"
"""The program of a worker, for ``python -c``."""


def environment(settings: Settings, *, concurrency: int = 2) -> dict[str, str]:
    """The settings for a process, as environment variables."""
    return {
        "ANDON_DATABASE_URL": settings.database_url.get_secret_value(),
        "ANDON_BROKER_URL": settings.broker_url.get_secret_value(),
        "ANDON_PRODUCERS_FILE": str(settings.producers_file),
        "ANDON_AUDIT_KEY": _AUDIT_KEY,
        "ANDON_OUTCOMES_KEPT": str(settings.outcomes_kept),
        "ANDON_BATCH_SIZE": str(settings.batch_size),
        "ANDON_CONCURRENCY": str(concurrency),
        "ANDON_LOG_LEVEL": "warning",
    }


@contextmanager
def process(arguments: Sequence[str], extra: Mapping[str, str]) -> Iterator[int]:
    """A Python process for the time of a measurement; its id. If it fails, its output is shown."""
    with tempfile.TemporaryFile() as log:
        started = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, **extra},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield started.pid
            if started.poll() is not None:
                log.seek(0)
                raise RuntimeError(log.read().decode(errors="replace"))
        finally:
            started.send_signal(signal.SIGTERM)
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)
                started.wait()


def wait_until(condition: Callable[[], bool], *, seconds: float = 300) -> None:
    """Ask *condition* every few milliseconds until it is true.

    Raises:
        TimeoutError: it has not become true within *seconds*.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("a measurement did not come to its end")
        time.sleep(0.005)
