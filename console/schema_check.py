"""Whether the migrations make the tables of `models.tables`: `python -m console.schema_check`.

For the checks before a commit. It starts a PostgreSQL of its own, and that is gone afterwards.
"""

import sys
import tempfile
from pathlib import Path

from sqlalchemy import create_engine

from console.embedded import Postgres
from migrations.runner import differences, migrate
from models.audit import AuditKey


def schema_differences() -> list[str]:
    """Where a freshly migrated database and the tables disagree; empty when they agree."""
    with tempfile.TemporaryDirectory(prefix="andon-schema-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # root's server runs as somebody else
        postgres = Postgres(directory / "postgres", durable=False)
        url = postgres.start().owner
        try:
            migrate(url, worker_role="andon_worker", audit_key=AuditKey("check", bytes(32)))
            engine = create_engine(url)
            with engine.connect() as connection:
                found = differences(connection)
            engine.dispose()
        finally:
            postgres.stop()
    return [str(difference) for difference in found]


def main() -> int:
    """Print the differences; 1 if there are any."""
    found = schema_differences()
    for difference in found:
        sys.stdout.write(f"migrations and tables differ: {difference}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
