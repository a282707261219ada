"""An installation for one test: settings, registry, database, and a pipeline to run by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Engine, Row, create_engine, text

from console.embedded import PostgresUrls
from models.audit import AuditKey
from models.database import connect
from models.deliveries import Delivery
from models.registry import RegistryFile
from tasks.pipeline import Means, Pipeline
from tasks.verdicts import Verdict
from tests.support.organisation import insert_organisation
from tests.support.requests import KEY_ID, SECRET, SOURCE
from worker.settings import Settings

AUDIT_KEY = AuditKey("audit-test", bytes.fromhex("cd" * 32))

REGISTRY = f"""
[sources.{SOURCE}]
procedures = "any"
users = "any"
[[sources.{SOURCE}.keys]]
id = "{KEY_ID}"
secret = "{SECRET.hex()}"

[sources.narrow]
procedures = ["report_incident"]
users = ["manager"]
require_severity_flags = true
[[sources.narrow.keys]]
id = "narrow-1"
secret = "{SECRET.hex()}"
"""


@dataclass(slots=True)
class Installation:
    """What one test works on."""

    settings: Settings
    urls: PostgresUrls
    directory: Path
    superuser: Engine
    pipeline: Pipeline
    _engines: list[Engine] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """The settings as environment variables, for real processes."""
        return {
            "ANDON_DATABASE_URL": self.urls.worker,
            "ANDON_OWNER_DATABASE_URL": self.urls.owner,
            "ANDON_BROKER_URL": self.settings.broker_url.get_secret_value(),
            "ANDON_PRODUCERS_FILE": str(self.settings.producers_file),
            "ANDON_AUDIT_KEY": f"{AUDIT_KEY.key_id}:{AUDIT_KEY.secret.hex()}",
            "ANDON_KEY_PATIENCE": "0",  # most tests are about something else
            "ANDON_LOCAL_SOURCE": SOURCE,
        }

    def process(self, *deliveries: Delivery) -> list[Verdict]:
        """Run a batch through the pipeline, in this process."""
        return [verdict for part in self.pipeline.process(deliveries) for verdict in part]

    def rows(self, statement: str, **values: Any) -> Sequence[Row[Any]]:
        """What a query finds, asked as the superuser."""
        with self.superuser.begin() as connection:
            return connection.execute(text(statement), values).all()

    def execute(self, *statements: str) -> None:
        """Change something behind Andon's back, as the superuser."""
        with self.superuser.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def close(self) -> None:
        """Close all connections."""
        self.superuser.dispose()
        self.pipeline.engine.dispose()


def make_installation(urls: PostgresUrls, redis_url: str, directory: Path) -> Installation:
    """Set up an installation in an empty database and *directory*."""
    producers = directory / "producers.toml"
    producers.write_text(REGISTRY)
    producers.chmod(0o600)
    settings = Settings(
        _env_file=None,
        database_url=SecretStr(urls.worker),
        owner_database_url=SecretStr(urls.owner),
        broker_url=SecretStr(redis_url),
        producers_file=producers,
        audit_key=SecretStr(f"{AUDIT_KEY.key_id}:{AUDIT_KEY.secret.hex()}"),
        local_source=SOURCE,
        key_patience=timedelta(0),
    )
    superuser = create_engine(urls.superuser)
    with superuser.begin() as connection:
        insert_organisation(connection)
    engine = connect(urls.worker, statement_timeout_ms=10_000, application="andon test")
    means = Means(RegistryFile(producers), settings.rules, AUDIT_KEY)
    return Installation(settings, urls, directory, superuser, Pipeline(engine, means))
