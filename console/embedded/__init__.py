"""Real PostgreSQL and Redis for a machine that has none: for a first run, and for the tests.

The programs come from wheels (extra `embedded`) or, for Redis, from the PATH. Everything a server
keeps lives in one directory and survives restarts; nothing listens beyond this machine.
"""

from console.embedded.errors import AlreadyRunning, EmbeddedError, StartFailed, Unavailable
from console.embedded.postgres import Postgres, PostgresUrls
from console.embedded.redis import Redis
from console.embedded.services import Embedded, Services

__all__ = [
    "AlreadyRunning",
    "Embedded",
    "EmbeddedError",
    "Postgres",
    "PostgresUrls",
    "Redis",
    "Services",
    "StartFailed",
    "Unavailable",
]
