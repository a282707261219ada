"""Real servers for the tests: one PostgreSQL and one Redis a test process, a database a test.

Nothing here replaces a part of Andon. The servers come from the wheels of the extra `embedded`,
live in a temporary directory and are gone when the tests are.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import hypothesis
import pytest
import redis
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from console.embedded import Postgres, PostgresUrls, Redis
from migrations.runner import migrate
from tests.support.installation import AUDIT_KEY, Installation, make_installation
from tests.support.servers import Servers

_numbers = count(1)

# Commands print as wide as somebody's shell says; pytest-xdist says it to its processes, too.
os.environ.pop("COLUMNS", None)

# The same examples each time, so that a run is red for what was changed and not by chance; with
# HYPOTHESIS_PROFILE=search new ones, which is worth an hour now and then. How long one takes says
# nothing on a machine that runs several things at once.
hypothesis.settings.register_profile("andon", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "andon"))


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A PostgreSQL whose database is migrated, and a Redis; both of this test process only."""
    with tempfile.TemporaryDirectory(prefix="andon-test-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        postgres = Postgres(directory / "postgres", durable=False)
        cache = Redis(directory / "redis", appendfsync="everysec")
        try:
            urls = postgres.start()
            migrate(urls.owner, worker_role="andon_worker", audit_key=AUDIT_KEY)
            yield Servers(urls, cache.start(), postgres, cache)
        finally:
            cache.stop()
            postgres.stop()


@pytest.fixture
def database(servers: Servers) -> Iterator[PostgresUrls]:
    """A database of the current schema, with nothing in it, for one test."""
    name = f"test_{next(_numbers)}"
    admin = create_engine(  # the test may restart the server
        servers.postgres_urls.superuser, isolation_level="AUTOCOMMIT", poolclass=NullPool
    )
    template = make_url(servers.postgres_urls.owner).database
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template} OWNER andon_owner"))
        # The template's rights on the database itself do not come with it.
        connection.execute(text(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC"))
        connection.execute(text(f"GRANT CONNECT ON DATABASE {name} TO andon_worker, andon_gateway"))
    try:
        yield servers.urls_of(name)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


@pytest.fixture
def broker(servers: Servers) -> Iterator[redis.Redis]:
    """The Redis of this test process, empty."""
    client = redis.Redis.from_url(servers.redis_url)
    client.flushall()
    yield client
    with suppress(redis.ConnectionError):  # the test may have killed it
        client.flushall()
    client.close()


@pytest.fixture
def installation(
    database: PostgresUrls,
    broker: redis.Redis,  # noqa: ARG001  # emptied for the test
    servers: Servers,
    tmp_path: Path,
) -> Iterator[Installation]:
    """Everything a worker, a producer or a command needs, with a small organisation loaded."""
    made = make_installation(database, servers.redis_url, tmp_path)
    yield made
    made.close()
