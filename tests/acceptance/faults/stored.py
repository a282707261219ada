"""What is stored and published after a run: the facts that the account is drawn up from."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Row

from models.audit import AuditKeys
from models.audit_verify import Misfit, verify_audit
from producers.outcomes import PublishedOutcome
from tests.acceptance.faults.stage import Stage
from tests.support.installation import AUDIT_KEY
from tests.support.shell import andon

_T = TypeVar("_T")
Record = Row[Any]

# Entries by their places, as publishers and outcomes say them.
_QUERIES = {
    "requests": "SELECT source, request_id, procedure, halted, body, halt_id,"
    " split_part(entry, '#', 1) AS entry FROM requests",
    "halts": "SELECT halt_id, reason, request_id, split_part(entry, '#', 1) AS entry, state,"
    " encode(event_sha256, 'hex') AS sha256 FROM halts",
    "incidents": "SELECT incident_id, request_id, title, status, category, version, dedup_key"
    " FROM incidents",
    "incident_updates": "SELECT incident_id, request_id, field, superseded FROM incident_updates",
    "escalations": "SELECT escalation_id, incident_id, request_id FROM escalations",
    "communications": "SELECT communication_id, incident_id, request_id FROM communications",
    "audit_records": "SELECT split_part(entry, '#', 1) AS entry, outcome, reason, request_id"
    " FROM audit_records",
    "waiting": "SELECT request_id FROM waiting",
    "outbox": "SELECT outbox_id FROM outbox",
}


@dataclass(frozen=True, slots=True)
class Said:
    """What a command says, to be checked against the account, never the other way round."""

    code: int
    document: Any


@dataclass(frozen=True, slots=True)
class Stored:
    """All rows, by table; all outcomes; what the verification of the audit found.

    Attributes:
        status: what `andon status` says.
        verified: what `andon audit verify` says.
        may_be_lost: whether an entry may be, since an older state was put back.
    """

    tables: dict[str, Sequence[Record]]
    outcomes: Sequence[PublishedOutcome]
    misfits: Sequence[Misfit]
    audited: int
    status: Said
    verified: Said
    may_be_lost: Callable[[str], bool]
    losses: int


def read_stored(stage: Stage) -> Stored:
    """Read everything once, when nothing is in motion any more."""
    installation = stage.installation
    installation.superuser.dispose()  # its connections are older than the server
    tables = {name: installation.rows(query) for name, query in _QUERIES.items()}
    verified = verify_audit(installation.superuser, AuditKeys(AUDIT_KEY))
    if stage.losses:
        _said(stage, "status", "--settle", "--reason", "An older state was put back.")
    return Stored(
        tables,
        stage.outcomes(),
        verified.misfits,
        verified.records,
        _said(stage, "status", "--json"),
        _said(stage, "audit", "verify"),
        stage.may_have_lost,
        len(stage.losses),
    )


def _said(stage: Stage, *command: str) -> Said:
    settings = stage.environment(direct=True)
    asked = andon(*command, settings=settings, directory=stage.directory, seconds=120)
    is_document = "--json" in command and asked.stdout
    return Said(asked.code, asked.document if is_document else asked.stdout + asked.stderr)


def grouped(rows: Sequence[_T], key: Callable[[_T], Any]) -> dict[Any, list[_T]]:
    """Rows by their key."""
    found: dict[Any, list[_T]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return dict(found)
