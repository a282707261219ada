"""The producer that imports: its part of the plan in files, by `andon import vendor-report`.

The importer is killed when a fault asks for it, and started again until it has come to its end, as
it is after an outage. A file is imported whole or again: what was published already is a duplicate.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from random import Random
from typing import Any

import orjson

from producers.client import Client
from producers.imports.files import report_file
from producers.imports.mapping import load_mapping
from producers.imports.requests import RequestMaker, RowRequest
from tests.acceptance.faults.journal import Journal
from tests.acceptance.faults.planning import DONE, Planned
from tests.support.shell import command_environment

_ROOT = Path(__file__).parents[3]
_PATIENCE = 300.0
"""Seconds for which one file is tried; no outage of a run is that long."""
_TRIES = 10
"""More often than this one run of the importer does not publish a request."""
_AGAIN_AFTER = 0.05
_POLLED_EVERY = 0.02
_COMPLETE, _OUT_OF_REACH = (0, 1), 3

_INPUTS: Mapping[str, Sequence[str]] = {
    "report_incident": (
        "title", "category", "impact_level", "urgency_level", "client_id", "component_id",
        "reporter_user_id", "detection_timestamp", "status", "resolution_timestamp", "dedup_key",
        "severity_flags.p2_major_degradation_with_workaround",
    ),
    "update_incident": (
        "updated_by_user", "note", "expected_version", "change_set.category", "change_set.status",
    ),
    "submit_escalation": (
        "escalated_by_user", "escalated_to_user", "escalation_level", "reason",
    ),
    "record_communication": (
        "sender_id", "recipient_id", "communication_type", "delivery_method",
    ),
}  # fmt: skip


@dataclass(slots=True)
class Imports:
    """Imports a plan, file by file.

    Attributes:
        directory: for the files and the importer's log.
        report: the name of the report, which all ids begin with.
        environment: of the importer.
        client: signs as the importer does, so that the journal knows the bytes.
        kills: how often the importer is to be killed, in all; faults count it up.
    """

    directory: Path
    report: str
    environment: Mapping[str, str]
    client: Client
    journal: Journal
    rng: Random
    kills: "Synchronized[int]"
    _killed: int = 0
    _files: int = 0
    _usual: float = 3.0
    """Seconds that the importer took when it came to its end."""
    _last: tuple[Path, Sequence[Planned]] | None = None
    _noted: set[str] = field(default_factory=set)

    @property
    def log(self) -> Path:
        """What the importer says, each time."""
        return self.directory / f"{self.report}.log"

    def take(self, chunk: Sequence[Planned]) -> None:
        """Import *chunk* as a file of its own, to its end."""
        rows = list({planned.key: planned for planned in chunk}.values())
        self._files += 1
        file = self.directory / f"{self.report}-{self._files}.jsonl"
        file.write_bytes(b"".join(_lines(rows)))
        self._note(file, rows)
        self._last = (file, rows)
        self._import(file, rows)

    def finish(self) -> None:
        """Import the last file again, as often as the importer is still to be killed."""
        assert self._last is not None
        while self._killed < self.kills.value:
            self._import(*self._last)

    def _note(self, file: Path, rows: Sequence[Planned]) -> None:
        mapping = self.directory / f"{self.report}-mapping.toml"
        mapping.write_text(_mapping())
        read = load_mapping(mapping)
        maker = RequestMaker(self.report, read, None, datetime.now(UTC))
        for planned, row in zip(rows, report_file(file, read.options).rows(), strict=True):
            asked = maker.make(row)
            assert isinstance(asked, RowRequest), asked
            assert asked.name == planned.id
            if planned.key in self._noted:  # the ledger knows it: it is not published again
                continue
            self._noted.add(planned.key)
            event = self.client.prepare(
                asked.kind.procedure,
                asked.data_with(asked.refers_to),
                id=asked.name,
                time=asked.time,
            )
            self.journal.plan(planned, event.event)

    def _import(self, file: Path, rows: Sequence[Planned]) -> None:
        """Start the importer until it has come to its end."""
        until = time.monotonic() + _PATIENCE
        results = file.with_suffix(".results.jsonl")
        while True:
            self.journal.about_to_publish([planned.key for planned in rows] * _TRIES)
            results.unlink(missing_ok=True)
            code = self._run(file, results)
            if code in _COMPLETE and results.exists():  # a traceback ends with 1, too
                break
            assert code in (_OUT_OF_REACH, None), f"the importer failed with {code}: see {self.log}"
            assert time.monotonic() < until, "the importer does not come to its end"
            time.sleep(_AGAIN_AFTER)
        told = [orjson.loads(line) for line in results.read_bytes().splitlines()]
        assert len(told) == len(rows)
        for planned, row in zip(rows, sorted(told, key=lambda each: each["row"]), strict=True):
            end = DONE if row["outcome"] in ("done", "duplicate") else row["reason"]
            assert end == planned.expected, f"the importer says of {planned.id}: {row}"

    def _run(self, file: Path, results: Path) -> int | None:
        """How one run of the importer ended; None for one that was killed."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "console.app", "import", "vendor-report", str(file)),
                    *("--mapping", str(self.directory / f"{self.report}-mapping.toml")),
                    *("--report-id", self.report, "--results", str(results), "--timeout", "20"),
                ],
                cwd=self.directory,
                env=command_environment(self.environment) | {"PYTHONPATH": str(_ROOT)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        # In the later half of its life, in which it publishes and hears what became of its rows.
        from_then_on = began + self.rng.uniform(0.5, 1) * self._usual
        while (code := process.poll()) is None:
            if self._killed < self.kills.value and time.monotonic() > from_then_on:
                process.kill()
                process.wait(60)
                self._killed += 1
                return None
            time.sleep(_POLLED_EVERY)
        if code in _COMPLETE:
            self._usual = time.monotonic() - began
        return code


def whole(plan: Sequence[Planned], start: int, end: int) -> int:
    """Where a file that begins at *start* has to end, at *end* or later.

    The importer waits until all that it has published is decided, so nothing may refer to a report
    that only a later file brings.
    """
    first = {planned.id: place for place, planned in reversed(list(enumerate(plan)))}
    place = start
    while place < end:
        report = plan[place].report
        end = max(end, first[report] + 1 if report is not None else 0)
        place += 1
    return end


def _lines(rows: Sequence[Planned]) -> Iterator[bytes]:
    """Each row with a time of its own, in order, and never on a full second.

    To a full second the importer would add the row's number.
    """
    now = datetime.now(UTC)
    now = now.replace(microsecond=now.microsecond | 1)
    for number, planned in enumerate(rows):
        cells = {
            "procedure": planned.procedure,
            "key": planned.id.partition("/")[2],
            "time": (now + timedelta(microseconds=2 * number)).isoformat(),
            **dict(_cells(planned.data)),
        }
        yield orjson.dumps(cells) + b"\n"


def _cells(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The columns of a request's inputs; those of an object by its name and theirs."""
    for name, value in data.items():
        if name == "incident_request":
            yield "of", value["id"].partition("/")[2]
        elif isinstance(value, Mapping):
            yield from ((f"{name}.{member}", below) for member, below in value.items())
        else:
            yield name, value


def _mapping() -> str:
    """A mapping whose columns have the names of the inputs."""
    kinds = ", ".join(f'{procedure} = "{procedure}"' for procedure in _INPUTS)
    lines = ['key = ["key"]', "[kind]", 'column = "procedure"', f"values = {{{kinds}}}"]
    for procedure, inputs in _INPUTS.items():
        lines += [
            f"[requests.{procedure}]",
            f'procedure = "{procedure}"',
            'time = {column = "time"}',
            f"[requests.{procedure}.inputs]",
            *(f'{name} = "{name}"' for name in inputs),
        ]
        if procedure != "report_incident":
            lines.append('incident_request = {key = ["of"]}')
    return "\n".join(lines) + "\n"
