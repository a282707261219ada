"""`andon health`: a process that hangs is told from one that waits, and from one that is gone."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
import redis
from sqlalchemy import text

from console.embedded import Postgres
from console.health import BEGIN_SECONDS, fault_of
from tests.support.gateways import gateway_environment, gateway_running
from tests.support.installation import Installation
from tests.support.requests import event, report
from tests.support.servers import Servers
from tests.support.shell import Finished, andon, finished
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.support.workers import WorkerProcess, pool_of, running
from worker.signs_of_life import Kind, Signs

ROOT = Path(__file__).parents[2]
HANGING_WORKER = """
import time
from worker import intake_step, signs_of_life
from worker.run import run_worker
from worker.settings import load_settings

signs_of_life.TURNS_WITHIN = 5
intake_step.Ringer._bury = lambda self: time.sleep(3600)
run_worker(load_settings())
"""
ON_A_FULL_DISK = """
import resource, signal, sys
import structlog
from pathlib import Path
from worker.signs_of_life import Kind, SignsOfLife

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
signs = SignsOfLife(Path("signs"), Kind.WORKER, hangs_after=1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
signs.turned()
signs.braked("away")
SignsOfLife(Path("others"), Kind.POOL, hangs_after=1).turned()
print("went on")
"""
IMPATIENT_SCHEDULES = """
from worker import runtime
from worker.schedules import run_schedules
from worker.settings import load_settings

runtime.SILENCE = 2
run_schedules(load_settings())
"""
SILENT_AT_ONCE = """
from models import database
from worker import runtime
from worker.schedules import run_schedules
from worker.settings import load_settings

database._SESSION |= {"lock_timeout": "0"}
database._COMMITS_HANG = "SET statement_timeout = 0; SELECT count(*) < 0 FROM incidents"
runtime.SILENCE = 2
run_schedules(load_settings())
"""
HANGING_SCHEDULES = """
import threading
from worker import runtime
from worker.schedules import run_schedules
from worker.settings import load_settings

runtime.Runtime._silence = 2.0
runtime.Runtime.compact = lambda self: threading.Event().wait()
run_schedules(load_settings())
"""


@pytest.fixture
def environment(installation: Installation, tmp_path: Path) -> dict[str, str]:
    """Settings of processes whose signs of life are of this test alone."""
    return {**installation.environment(), "ANDON_HEALTH_DIRECTORY": str(tmp_path / "health")}


@pytest.fixture
def worker(environment: dict[str, str], tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker, ready."""
    with running(environment, tmp_path) as made:
        yield made


def health(environment: dict[str, str], directory: Path, *arguments: str) -> Finished:
    """Run the command, with nothing but the directory: no service, no secret."""
    name = "ANDON_HEALTH_DIRECTORY"
    return andon("health", *arguments, settings={name: environment[name]}, directory=directory)


def wait_until(
    code: int, environment: dict[str, str], directory: Path, *arguments: str, seconds: float = 30
) -> Finished:
    """Ask until the command ends with *code*."""

    def asked() -> Finished | None:
        found = health(environment, directory, *arguments)
        return found if found.code == code else None

    return cast("Finished", wait_for(asked, seconds=seconds, what=f"exit {code} of andon health"))


def test_a_worker_at_work_is_healthy_and_one_that_has_ended_is_gone(
    worker: WorkerProcess, environment: dict[str, str], tmp_path: Path
) -> None:
    """Exit 0 with each process in words; after its end exit 1, and no file is left behind."""
    found = wait_until(0, environment, tmp_path, "worker")
    pool = pool_of(worker)
    assert f"worker {worker.process.pid}: goes on" in found.stdout
    assert all(f"pool process {pid} of worker {worker.process.pid}" in found.stdout for pid in pool)
    document = health(environment, tmp_path, "worker", "--json").document
    assert document["healthy"]
    assert {each["pid"] for each in document["processes"]} == {worker.process.pid, *pool}
    assert health(environment, tmp_path, "schedules").code == 1
    assert worker.terminate() == 0
    gone = health(environment, tmp_path, "worker")
    assert (gone.code, gone.stdout) == (1, "")
    assert "No worker runs here" in gone.stderr
    assert list((tmp_path / "health").iterdir()) == []


def test_a_killed_worker_is_gone(
    worker: WorkerProcess, environment: dict[str, str], tmp_path: Path
) -> None:
    """What a killed process left does not pass for one that lives, nor for one that hangs."""
    wait_until(0, environment, tmp_path, "worker")
    worker.kill()
    gone = health(environment, tmp_path, "worker", "--json")
    assert gone.code == 1
    assert gone.document == {"healthy": False, "processes": []}


@pytest.mark.parametrize("which", ["main", "pool"])
def test_a_stopped_process_is_found(
    worker: WorkerProcess, environment: dict[str, str], tmp_path: Path, which: str
) -> None:
    """SIGSTOP of the main process or of one of its pool: exit 1, naming it; SIGCONT mends it."""
    wait_until(0, environment, tmp_path, "worker")
    pid = worker.process.pid if which == "main" else pool_of(worker)[0]
    os.kill(pid, signal.SIGSTOP)
    found = wait_until(1, environment, tmp_path, "worker")
    assert f"process {pid} of worker" in found.stdout or f"worker {pid}:" in found.stdout
    assert "is stopped by a signal" in found.stdout
    os.kill(pid, signal.SIGCONT)
    wait_until(0, environment, tmp_path, "worker")


def test_a_main_loop_that_does_not_turn_is_found(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Where the worker's main process hangs in a call: exit 1, after the time that it stated."""
    with running(environment, tmp_path, code=HANGING_WORKER):
        found = wait_until(1, environment, tmp_path, "worker")
        assert "its main loop has not turned" in found.stdout


def test_schedules_that_hang_in_a_job_are_found(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Outside of PostgreSQL; the job is named."""
    with running(environment, tmp_path, what="run_schedules", code=HANGING_SCHEDULES):

        def told() -> Finished | None:
            found = health(environment, tmp_path, "schedules")
            return found if "in its compact" in found.stdout else None

        found = cast("Finished", wait_for(told, seconds=60, what="what hangs"))
        assert found.code == 1


def test_a_gateway_that_is_stopped_is_found(
    installation: Installation, environment: dict[str, str], tmp_path: Path
) -> None:
    """Its event loop leaves signs of life; SIGSTOP: exit 1."""
    settings = {**gateway_environment(installation), **environment}
    with gateway_running(settings, tmp_path) as gateway:
        found = wait_until(0, environment, tmp_path, "gateway")
        assert f"gateway {gateway.process.process.pid}: goes on" in found.stdout
        os.kill(gateway.process.process.pid, signal.SIGSTOP)
        assert "is stopped" in wait_until(1, environment, tmp_path, "gateway").stdout


def test_a_full_disk_does_not_stop_a_process(tmp_path: Path) -> None:
    """What cannot be written is left out, and whoever says it goes on."""
    command = [sys.executable, "-c", ON_A_FULL_DISK]
    done = finished(command, settings={"PYTHONPATH": str(ROOT)}, directory=tmp_path)
    assert (done.code, done.stdout) == (0, "went on\n"), done.stderr
    assert "no_signs_of_life" in done.stderr


def test_an_outage_is_no_reason_to_restart(
    servers: Servers, installation: Installation, environment: dict[str, str], tmp_path: Path
) -> None:
    """While PostgreSQL is away the worker is healthy, and says for what it waits; exit 0."""
    traffic = Traffic(redis.Redis.from_url(servers.redis_url))
    postgres: Postgres = servers.postgres
    with running(environment, tmp_path), running(environment, tmp_path, what="run_schedules"):
        wait_until(0, environment, tmp_path)
        postgres.stop()
        try:
            traffic.put(event("report_incident", report()))

            def waiting() -> str:
                found = health(environment, tmp_path)
                assert found.code == 0, found.stdout
                return found.stdout if "a restart would not help" in found.stdout else ""

            said = wait_for(waiting, seconds=60, what="a brake that is told")
            assert "for what is away" in said
        finally:
            postgres.start()
        installation.superuser.dispose()
        traffic.wait_until_empty()
        assert health(environment, tmp_path, "worker").code == 0


def test_what_was_sent_and_never_begins_is_told() -> None:
    """Main loop and pool both live, and nothing that the one sends reaches the other."""
    sent = Signs(
        Kind.WORKER,
        pid=2**22 + 1,
        of=1,
        hangs_after=60,
        turns_within=60,
        turned_at=30,
        unbegun_since=10,
    )
    assert fault_of(sent, now=10 + BEGIN_SECONDS) is None
    assert "no pool process has begun" in str(fault_of(sent, now=11 + BEGIN_SECONDS))


def test_schedules_hang_up_on_a_postgresql_that_is_silent(
    installation: Installation, environment: dict[str, str], tmp_path: Path
) -> None:
    """Stopped in the middle of a statement, it neither answers nor hangs up: that is an outage.

    Once it answers again the schedules sweep again, without a restart.
    """
    postgres = _processes_of_postgresql(installation)
    with running(
        environment, tmp_path, what="run_schedules", code=IMPATIENT_SCHEDULES
    ) as schedules:
        wait_until(0, environment, tmp_path, "schedules")
        os.kill(postgres()[0], signal.SIGSTOP)  # first, so that it starts no more of them
        for pid in postgres():
            os.kill(pid, signal.SIGSTOP)
        try:
            wait_for(_braked(environment, tmp_path), seconds=60, what="a brake")
            assert "postgresql_is_silent" in schedules.output()
        finally:
            for pid in postgres():
                os.kill(pid, signal.SIGCONT)
        wait_for(lambda: "outage_over" in schedules.output(), seconds=60, what="a sweep")


def test_schedules_hang_up_on_a_postgresql_that_is_silent_from_the_first(
    installation: Installation, environment: dict[str, str], tmp_path: Path
) -> None:
    """What is asked of a connection as soon as it is open may be what gets no answer."""
    with installation.superuser.begin() as holding:
        holding.execute(text("LOCK TABLE incidents IN ACCESS EXCLUSIVE MODE"))
        with running(environment, tmp_path, what="run_schedules", code=SILENT_AT_ONCE) as schedules:
            wait_for(_braked(environment, tmp_path), seconds=60, what="a brake")
            assert "postgresql_is_silent" in schedules.output()


def _braked(environment: dict[str, str], tmp_path: Path) -> Callable[[], bool]:
    """Asked again and again: whether the schedules say that they wait for a service."""

    def waiting() -> bool:
        found = health(environment, tmp_path, "schedules")
        return found.code == 0 and "a restart would not help" in found.stdout

    return waiting


def _processes_of_postgresql(installation: Installation) -> Callable[[], list[int]]:
    """Asked again and again: its main process, and all that it has started."""
    ((backend,),) = installation.rows("SELECT pg_backend_pid()")
    listing = ["ps", "-A", "-o", "pid=,ppid="]

    def rows() -> list[tuple[int, int]]:
        listed = subprocess.run(listing, capture_output=True, text=True, check=True)
        pairs = (line.split() for line in listed.stdout.splitlines())
        return [(int(pid), int(parent)) for pid, parent in pairs]

    main = dict(rows())[backend]
    return lambda: [main, *(pid for pid, parent in rows() if parent == main)]
