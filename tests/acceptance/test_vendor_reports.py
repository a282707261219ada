"""Vendors' reports beside real workers: whatever is killed, nothing is lost or doubled."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import orjson

from tests.support.installation import Installation
from tests.support.rabbitmq import rabbitmq_queues
from tests.support.reports import change, fault, write_csv, write_mapping
from tests.support.requests import KEY_ID
from tests.support.shell import andon, command_environment
from tests.support.waiting import wait_for
from tests.support.workers import WorkerProcess, running

TICKETS, KILLS = 2_500, 6
SEED = 20_250_925


def rows_of_tickets(count: int = TICKETS) -> list[dict[str, str]]:
    """Each ticket's report, then its way to the end, between the others' rows."""
    return [
        row
        for steps in (
            [fault(f"T{n}") for n in range(count)],
            [change(f"T{n}", 1) for n in range(count)],
            [change(f"T{n}", 2, State="Fixed") for n in range(count)],
        )
        for row in steps
    ]


def arguments(file: Path, mapping: Path) -> Sequence[str]:
    """The command line after `andon`."""
    return (
        "import", "vendor-report", str(file), "--mapping", str(mapping), "--report-id", "june",
        "--results", "results.jsonl",
    )  # fmt: skip


def schedules(
    environment: Mapping[str, str], directory: Path
) -> AbstractContextManager[WorkerProcess]:
    """The schedules beside the worker: what refers to a report that is not decided yet waits."""
    return running(environment, directory, what="run_schedules")


def import_until(
    installation: Installation, command: Sequence[str], how: signal.Signals, seconds: float
) -> int | None:
    """Begin an import, end it by a signal so many seconds after its first publication."""
    before = _seen(installation)
    process = subprocess.Popen(
        [sys.executable, "-m", "console.app", *command],
        cwd=installation.directory,
        env=command_environment(installation.environment()) | {"PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(
        lambda: process.poll() is not None or _seen(installation) > before, what="rows decided"
    )
    time.sleep(seconds)  # the moment is the test's, and drawn
    process.send_signal(how)
    return process.wait(120)


def _seen(installation: Installation) -> int:
    ((count,),) = installation.rows("SELECT count(*) FROM requests")
    return int(count)


def test_killing_the_importer_and_repeating_loses_and_doubles_nothing(
    installation: Installation, tmp_path: Path
) -> None:
    """Killed at drawn moments, its worker too: at the end each row has had its effect, in order."""
    draw = random.Random(SEED)  # noqa: S311  # the same moments each time
    rows = rows_of_tickets()
    command = arguments(write_csv(tmp_path / "june.csv", rows), write_mapping(tmp_path))
    environment = installation.environment() | {"ANDON_CLAIM_IDLE": "1"}
    codes = []
    for _ in range(KILLS):
        with running(environment, tmp_path) as worker, schedules(environment, tmp_path):
            codes.append(import_until(installation, command, signal.SIGKILL, draw.uniform(0, 0.4)))
            if draw.random() < 0.5:
                worker.kill()
    assert -signal.SIGKILL in codes, "every import had come to its end before it was killed"
    with running(environment, tmp_path), schedules(environment, tmp_path):
        ended = andon(
            *command,
            settings=installation.environment(),
            directory=installation.directory,
            seconds=120,
        )
    assert ended.code == 0, ended.stderr
    told = [
        orjson.loads(line)
        for line in (installation.directory / "results.jsonl").read_bytes().splitlines()
    ]
    assert [each["row"] for each in told] == list(range(2, len(rows) + 2))
    assert {each["outcome"] for each in told} <= {"done", "duplicate"}
    assert installation.rows("SELECT count(*), count(DISTINCT request_id) FROM requests") == [
        (len(rows), len(rows))
    ]
    assert installation.rows("SELECT count(*) FROM halts") == [(0,)]
    assert installation.rows("SELECT status, count(*) FROM incidents GROUP BY status") == [
        ("resolved", TICKETS)
    ]
    changes = installation.rows(
        "SELECT field, count(*) FROM incident_updates WHERE field IN ('status', 'note')"
        " GROUP BY field ORDER BY field"
    )
    assert changes == [("note", 2 * TICKETS), ("status", 2 * TICKETS)]


def test_ctrl_c_tells_what_is_undecided_and_the_next_run_goes_on(
    installation: Installation, tmp_path: Path
) -> None:
    """Exit 130, without a traceback; the results hold what was known by then."""
    rows = rows_of_tickets()
    command = arguments(write_csv(tmp_path / "june.csv", rows), write_mapping(tmp_path))
    environment = installation.environment()
    with running(environment, tmp_path), schedules(environment, tmp_path):
        code = import_until(installation, command, signal.SIGINT, 0)
        assert code == 130
        told = (installation.directory / "results.jsonl").read_bytes().splitlines()
        assert 0 < len(told) <= len(rows)
        ended = andon(
            *command,
            settings=installation.environment(),
            directory=installation.directory,
            seconds=120,
        )
    assert ended.code == 0, ended.stderr
    assert installation.rows("SELECT count(*) FROM requests") == [(len(rows),)]


def test_an_import_by_way_of_rabbitmq_is_no_other(
    installation: Installation, tmp_path: Path
) -> None:
    """What became of the rows is asked of the ledger and the halts, whatever carries the requests;
    so is what became of those that a worker cannot take for ours.
    """
    rows = rows_of_tickets(300)
    command = arguments(write_csv(tmp_path / "june.csv", rows), write_mapping(tmp_path))
    with rabbitmq_queues() as (url, names):
        settings = installation.environment() | {
            "ANDON_BROKER_URL": url,
            "ANDON_NAMESPACE": names.namespace,
        }
        strange = tmp_path / "strange.toml"
        strange.write_text(
            installation.settings.producers_file.read_text().replace(KEY_ID, "strange-1")
        )
        strange.chmod(0o600)
        with running(settings, tmp_path), schedules(settings, tmp_path):
            ended, again, unknown = (
                andon(
                    *command,
                    "--json",
                    *more,
                    settings=settings | {"ANDON_PRODUCERS_FILE": str(registry)},
                    directory=installation.directory,
                )
                for registry, more in (
                    (installation.settings.producers_file, ()),
                    (installation.settings.producers_file, ()),
                    (strange, ("--report-id", "other")),
                )
            )
    assert (ended.code, again.code, unknown.code) == (0, 0, 1)
    assert ended.document["done"] == again.document["duplicate"] == len(rows)
    assert unknown.document["halted"] == len(rows)
    assert {each["reason"] for each in unknown.document["not_done"]} == {"unauthenticated"}
