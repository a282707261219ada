"""Bringing a database to the current schema, and giving the worker's role its rights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from models.audit import AuditKey, AuditKeys
from models.audit_heads import prepare_heads, wrong_heads
from models.audit_partitions import make_partitions
from models.receipts import RECEIPT_COLUMNS
from models.tables import metadata

_WORKER_MAY = {
    "SELECT": (
        "clients",
        "vendors",
        "users",
        "products",
        "components",
        "subscriptions",
        "audit_anchors",
    ),
    "SELECT, INSERT": ("incident_updates", "audit_records", "settlements"),
    "SELECT, UPDATE": ("audit_chains",),
    "SELECT, INSERT, UPDATE": (
        "incidents",
        "escalations",
        "communications",
        "halts",
        "retentions",
        "registry_in_force",
    ),
    "SELECT, INSERT, UPDATE, DELETE": (
        "requests",
        "waiting",
        "dedup_keys",
        "attempts",
        "in_hand",
        "signs_of_life",
        "outbox",
        "tallies",
        "duplicates",
    ),
}
"""The least rights that the worker gets along with; of the audit it may not change a record.

It has none on the partitions of the audit, which are reached through ``audit_records`` alone.
"""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a migration did.

    Attributes:
        before: the revision found, None for an empty database.
        after: the revision reached.
        role: the role that was given its rights; None if there is no such role, in which case
            the worker can only connect as the owner.
        former_keys: the retired keys that the audit's heads carried until now; empty if nothing
            was signed again.
        wrong_heads: the chains of the audit whose heads are not genuine.
    """

    before: str | None
    after: str
    role: str | None
    former_keys: tuple[str, ...] = ()
    wrong_heads: tuple[int, ...] = ()


def migrate(
    url: str,
    *,
    worker_role: str,
    audit_key: AuditKey,
    retired_keys: Sequence[AuditKey] = (),
    gateway_role: str = "andon_gateway",
) -> Migrated:
    """Bring a database to the current schema, give the worker its rights, sign the audit's heads.

    Args:
        url: the database, with its owner's rights.
        worker_role: the role that the worker connects as.
        audit_key: signs the heads of a new database's chains, and those that still carry one of
            *retired_keys*.
        retired_keys: the former keys.
        gateway_role: the role that the gateway reads receipts as; there need be none.

    Raises:
        AuditError: heads are missing in a database that has been used, or cannot be vouched for.
            Nothing is changed then.
    """
    keys = AuditKeys(audit_key, tuple(retired_keys))
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            before = current_revision(connection)
            command.upgrade(_config(connection), "head")
            make_partitions(connection)
            role = worker_role if _role_exists(connection, worker_role) else None
            if role is not None:
                _grant(connection, role)
            if _role_exists(connection, gateway_role):
                _grant_receipts(connection, gateway_role)
            former = prepare_heads(connection, keys)
            wrong = wrong_heads(connection, keys)
            after = current_revision(connection)
    finally:
        engine.dispose()
    return Migrated(before, after or head_revision(), role, tuple(sorted(former)), wrong)


def current_revision(connection: Connection) -> str | None:
    """The schema revision that the database is at; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str:
    """The schema revision that this version of Andon needs."""
    head = ScriptDirectory.from_config(_config(None)).get_current_head()
    if head is None:
        raise RuntimeError("no migrations are packaged")
    return head


def differences(connection: Connection) -> list[Any]:
    """Where the migrated database and ``models.tables`` disagree; empty when they agree."""
    partitions = set(connection.execute(_PARTITIONS).scalars())

    def is_ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name not in partitions

    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "include_name": is_ours}
    )
    return list(compare_metadata(context, metadata))


# A table that is a partition follows the table it belongs to.
_PARTITIONS = text("SELECT relname FROM pg_class WHERE relispartition AND relkind IN ('r', 'p')")


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _role_exists(connection: Connection, role: str) -> bool:
    found = connection.execute(text("SELECT FROM pg_roles WHERE rolname = :role"), {"role": role})
    return found.first() is not None


def _grant(connection: Connection, role: str) -> None:
    """Give *role* its rights and take away all others; again and again, with the same result."""
    quoted = connection.dialect.identifier_preparer.quote(role)
    connection.execute(text(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {quoted}"))
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {quoted}"))
    connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {quoted}"))
    connection.execute(text(f"GRANT SELECT ON alembic_version TO {quoted}"))
    connection.execute(text(f"GRANT EXECUTE ON FUNCTION audit_partitions_ahead() TO {quoted}"))
    for rights, tables in _WORKER_MAY.items():
        connection.execute(text(f"GRANT {rights} ON {', '.join(tables)} TO {quoted}"))


def _grant_receipts(connection: Connection, role: str) -> None:
    """Let *role* read what became of requests: not what they hold, and nothing else."""
    quoted = connection.dialect.identifier_preparer.quote(role)
    columns = ", ".join(RECEIPT_COLUMNS)
    connection.execute(text(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {quoted}"))
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {quoted}"))
    connection.execute(text(f"GRANT SELECT ({columns}) ON requests TO {quoted}"))
