"""Importing a vendor's report, end to end: from the command's start to the last row's outcome.

``python -m benchmarks.vendor_report`` measures 100,000 rows of CSV, and the same file once more.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import text

from benchmarks.memory import peak_megabytes
from benchmarks.stage import SOURCE, WORKER, Stage, environment, process, stage
from benchmarks.world import CLIENTS, COMPONENTS, TECHNICAL

MAPPING = """
[kind]
column = "Type"
values = {Fault = "report", Update = "update", Mail = "mail"}

[values.levels]
1 = "critical"
2 = "high"
3 = "medium"
4 = "low"

[requests.report]
procedure = "report_incident"
key = ["Ticket"]
time = {column = "When", format = "%d.%m.%Y %H:%M:%S", zone = "Europe/Berlin"}
[requests.report.inputs]
title = "Summary"
category = "Area"
impact_level = {column = "Impact", values = "levels"}
urgency_level = {column = "Urgency", values = "levels", default = "low"}
client_id = "Customer"
component_id = "Part"
reporter_user_id = "By"
detection_timestamp = {column = "When", format = "%d.%m.%Y %H:%M:%S", zone = "Europe/Berlin"}
severity_flags.p1_outage_no_workaround = {column = "Outage", values = {x = true}, default = false}

[requests.update]
procedure = "update_incident"
key = ["Ticket", "Step"]
time = {column = "When", format = "%d.%m.%Y %H:%M:%S", zone = "Europe/Berlin"}
[requests.update.inputs]
incident_request = {key = ["Ticket"]}
updated_by_user = "By"
change_set.status = {column = "State", values = {Working = "investigating", Fixed = "resolved"}}
note = "Summary"

[requests.mail]
procedure = "record_communication"
key = ["Ticket", "Step"]
time = {column = "When", format = "%d.%m.%Y %H:%M:%S", zone = "Europe/Berlin"}
[requests.mail.inputs]
incident_request = {key = ["Ticket"]}
sender_id = "By"
recipient_type = {value = "client_contacts"}
communication_type = {value = "vendor_mail"}
delivery_method = {value = "email"}
delivery_status = {value = "sent"}
sent_at = {column = "When", format = "%d.%m.%Y %H:%M:%S", zone = "Europe/Berlin"}
"""
_COLUMNS = (
    "Type", "Ticket", "Step", "When", "Summary", "Area", "Impact", "Urgency", "Customer", "Part",
    "By", "Outage", "State",
)  # fmt: skip
_STEPS = ("Fault", "Fault", "Fault", "Fault", "Fault", "Fault", "Fault", "Update", "Mail", "Update")
"""Of ten rows; those that follow a fault speak of the first one of their ten."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of the importer.

    Attributes:
        counts: rows by how they ended.
        cpu_seconds: what the importer itself worked.
        resident_mb: the most memory that it had.
    """

    rows: int
    seconds: float
    cpu_seconds: float
    rows_per_second: float
    resident_mb: float
    counts: dict[str, int]


def rows_of(count: int) -> Iterator[tuple[str, ...]]:
    """The rows of a report; what each says follows from its number."""
    for number in range(count):
        place = number % 10
        kind = _STEPS[place]
        ticket = number if kind == "Fault" else number - place
        second, minute, hour = number % 60, number // 60 % 60, number // 3600 % 24
        technician = number % 1_000 * 100 + TECHNICAL[number % len(TECHNICAL)]
        yield (
            kind,
            f"T{ticket}",
            "" if kind == "Fault" else str(place),
            f"24.09.2025 {hour:02}:{minute:02}:{second:02}",
            f"Checkout answers slowly in region {number}",
            "performance",
            str(number % 4 + 1),
            str(number % 4 + 1),
            str(number % CLIENTS + 1),
            str(number % COMPONENTS + 1),
            str(technician),
            "x" if number % 50 == 0 else "",
            "" if kind == "Fault" else "Working" if place == 7 else "Fixed",
        )


def write_report(path: Path, count: int) -> None:
    """A report of *count* rows."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows(rows_of(count))


def measure(staged: Stage, directory: Path, *, rows: int) -> list[Figures]:
    """Import a report of *rows* rows, and the same one again, beside one worker.

    Raises:
        RuntimeError: a row was not done, or not exactly once.
    """
    report, mapping = directory / "report.csv", directory / "mapping.toml"
    write_report(report, rows)
    mapping.write_text(MAPPING)
    with process(["-c", WORKER], environment(staged.settings)):
        figures = [
            _import(staged, [report, "--mapping", mapping, "--report-id", f"bench-{rows}"], rows)
            for _ in range(2)
        ]
    _check(staged, figures, rows)
    return figures


def _import(staged: Stage, arguments: list[str | Path], rows: int) -> Figures:
    results = Path(arguments[0]).with_suffix(".results.csv")
    began = time.perf_counter()
    command = subprocess.Popen(
        [sys.executable, "-m", "console.app", "import", "vendor-report", *map(str, arguments),
         "--results", str(results), "--source", SOURCE, "--json"],
        env={**os.environ, **environment(staged.settings)},
        stdout=subprocess.PIPE,
    )  # fmt: skip
    peak = 0.0
    while True:
        peak = max(peak, peak_megabytes(command.pid))
        ended, status, usage = os.wait4(command.pid, os.WNOHANG)
        if ended:
            break
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    assert command.stdout is not None
    told = command.stdout.read()
    if status:
        raise RuntimeError(f"the importer ended with {status}: {told.decode()}")
    document = json.loads(told)
    lines = sum(1 for _ in results.open()) - 1
    if lines != rows:
        raise RuntimeError(f"the results have {lines} rows, not {rows}")
    counts = {name: document[name] for name in ("done", "duplicate")}
    cpu = usage.ru_utime + usage.ru_stime
    return Figures(rows, seconds, cpu, rows / seconds, peak, counts)


def _check(staged: Stage, figures: list[Figures], rows: int) -> None:
    expected = [{"done": rows, "duplicate": 0}, {"done": 0, "duplicate": rows}]
    found = [each.counts for each in figures]
    engine = staged.owner
    with engine.connect() as connection:
        ledger = connection.execute(
            text("SELECT count(*) FROM requests WHERE source = :source"), {"source": SOURCE}
        ).scalar_one()
    engine.dispose()
    if found != expected or ledger != rows:
        raise RuntimeError(f"expected {expected} and {rows} requests, found {found} and {ledger}")


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.vendor_report", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--appendfsync", choices=("always", "everysec"), default="always")
    options = parser.parse_args()
    with stage(options.appendfsync) as staged:
        directory = Path(staged.settings.producers_file).parent
        figures = measure(staged, directory, rows=options.rows)
    print(json.dumps([asdict(each) for each in figures], indent=2))


if __name__ == "__main__":
    main()
