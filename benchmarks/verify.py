"""How long `andon audit verify` takes: genuine chains with their ledger, halts and incidents.

    python -m benchmarks.verify --records 1000000 --batch 700

fills a database of its own the way the worker does, by COPY and the audit's own writer, then runs
the command as a process and prints how long that took, and its memory. Of ten messages eight opened
an incident, one halted and one was a duplicate. A batch of 1 is what an idle worker writes: then
each record says how far all chains had come, and all of that is compared.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from sqlalchemy import Engine

from console.embedded import Postgres
from migrations.runner import migrate
from models.audit import AuditEntry, AuditKey, write_audit
from models.database import connect
from models.sql import as_json, copy_rows
from models.tables import Door
from models.tallies import Tally, write_tally
from policy.vocabulary import AuditAction

_KEY = AuditKey("bench", bytes.fromhex("a1" * 32))
_SOURCE = "bench"
_PROCEDURE = "report_incident"
_SEVERITY = {"severity": "P3", "severity_origin": "computed", "stated_severity": None}
_LEDGER = (
    "source", "request_id", "body_hash", "procedure", "halted", "body", "halt_id", "entry",
    "received_at", "decided_at",
)  # fmt: skip
_INCIDENTS = (
    "incident_id", "title", "category", "severity", "severity_origin", "severity_flags",
    "impact_level", "urgency_level", "status", "client_id", "component_id", "reporter_user_id",
    "detection_timestamp", "source", "request_id", "stamps", "version", "reported_at",
    "updated_at",
)  # fmt: skip
_HALTS = (
    "halt_id", "halted_at", "reason", "message", "errors", "source", "request_id", "procedure",
    "door", "entry", "event_bytes", "event_sha256", "key_id", "signature",
)  # fmt: skip


def fill(engine: Engine, records: int, *, batch: int) -> None:
    """Write *records* records with all that belongs to them, *batch* in a transaction."""
    for first in range(0, records, batch):
        _write(engine, range(first, min(first + batch, records)), datetime.now(UTC))


def _write(engine: Engine, numbers: Sequence[int], now: datetime) -> None:
    ledger, incidents, halts, duplicates, entries = [], [], [], [], []
    for n in numbers:
        name, entry, kind = f"r-{n - n % 10 if n % 10 == 9 else n}", f"andon:intake/{n}-0", n % 10
        message = partial(
            AuditEntry, now, procedure=_PROCEDURE, source=_SOURCE, request_id=name, entry=entry
        )
        if kind == 9:
            duplicates.append((entry, now))
            entries.append(message(action=AuditAction.EXECUTE, outcome="duplicate"))
            continue
        number, halted = n + 1, kind == 8
        body = {"reason": "client_not_found"} if halted else {"incident_id": str(number)}
        ledger.append(
            (_SOURCE, name, bytes(32), _PROCEDURE, halted, as_json(body),
             number if halted else None, entry, now, now)
        )  # fmt: skip
        if halted:
            halts.append(
                (number, now, "client_not_found", "", "[]", _SOURCE, name, _PROCEDURE,
                 Door.INTAKE, entry, 0, bytes(32), "bench", "")
            )  # fmt: skip
            entries.append(
                message(action=AuditAction.EXECUTE, outcome="halted", actor="1",
                        subject=f"halt:{number}", reason="client_not_found", context={"errors": 0})
            )  # fmt: skip
        else:
            incidents.append(
                (number, "Title", "software", "P3", "computed", "{}", "medium", "medium", "open",
                 "1", "1", "1", now, _SOURCE, name, "{}", 1, now, now)
            )  # fmt: skip
            entries.append(
                message(action=AuditAction.CREATE, outcome="done", actor="1",
                        subject=f"incident:{number}", context=_SEVERITY)
            )  # fmt: skip
    with engine.begin() as connection:
        copy_rows(connection, "incidents", _INCIDENTS, incidents)
        copy_rows(connection, "halts", _HALTS, halts)
        copy_rows(connection, "duplicates", ("entry", "at"), duplicates)
        tally = Tally(done=len(incidents), halted=len(halts), duplicates=len(duplicates))
        write_tally(connection, Door.INTAKE, tally)
        copy_rows(connection, "requests", _LEDGER, ledger)
        write_audit(connection, _KEY, entries)


def main() -> None:
    """Fill, verify, and say how long each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=700)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        postgres = Postgres(directory / "postgres")
        try:
            urls = postgres.start()
            migrate(urls.owner, worker_role="andon_worker", audit_key=_KEY)
            engine = connect(urls.worker, statement_timeout_ms=0, application="andon bench")
            began = time.monotonic()
            fill(engine, asked.records, batch=asked.batch)
            engine.dispose()
            filled = time.monotonic() - began
            began = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", "console.app", "audit", "verify", "--json"],
                env={
                    **os.environ,
                    "ANDON_DATABASE_URL": urls.worker,
                    "ANDON_BROKER_URL": "redis://localhost",  # neither is used
                    "ANDON_PRODUCERS_FILE": "producers.toml",
                    "ANDON_AUDIT_KEY": f"{_KEY.key_id}:{_KEY.secret.hex()}",
                },
                cwd=directory,
                capture_output=True,
                text=True,
                check=False,
            )
            took = time.monotonic() - began
        finally:
            postgres.stop()
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    found = json.loads(done.stdout)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"{found['records']:,} records, {asked.batch} in a transaction: written in {filled:.0f} s,"
        f" verified and compared in {took:.1f} s; {memory:.0f} MiB at most in a child process"
    )


if __name__ == "__main__":
    main()
