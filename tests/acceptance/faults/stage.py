"""What a run happens on: PostgreSQL, the broker, proxies before both, and Andon's own processes.

The broker stands behind one small class for each engine. PostgreSQL commits to the disk, and Redis
writes every command to it before it answers, so neither may lose anything when it is killed.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from console.embedded import Postgres, PostgresUrls
from migrations.runner import migrate
from producers.engines import connect_publisher
from producers.outcomes import PublishedOutcome
from tasks.putting_off import WORTH_TELLING
from tests.acceptance.faults.brokers import OUTCOMES_KEPT, Broker
from tests.acceptance.faults.clocks import Clock
from tests.acceptance.faults.fault_traffic import FaultTraffic
from tests.acceptance.faults.idling import hold_idle
from tests.acceptance.faults.older_states import Loss, OlderState
from tests.acceptance.faults.proxy import LOOPBACK, Address, Proxy
from tests.acceptance.faults.spawning import SPAWN
from tests.acceptance.faults.tampering import Tampering
from tests.support.gateways import gateway_environment, port_kept
from tests.support.installation import AUDIT_KEY, Installation, make_installation
from tests.support.shell import andon
from tests.support.workers import WorkerProcess

CLAIM_IDLE = 2.0
"""Seconds after which a worker's unfinished entries are taken over, in a run."""
STATEMENT_LIMIT = 0.8 * CLAIM_IDLE
"""Seconds after which PostgreSQL gives up a worker's statement."""
BATCH_SIZE = 2 * WORTH_TELLING
"""Small, so that faults meet many batches, and large enough for some of one to be put off."""
FAULT_JOURNAL = "faults.jsonl"
"""What faults themselves published."""
_STOPS_WITHIN = 20.0
_PIECES = 40
_IDLE = 1_200
"""More connections than a gateway takes."""
_SCHEDULES = (
    "from worker.schedules import run_schedules; from worker.settings import load_settings; "
    "run_schedules(load_settings())"
)


class Stage:
    """Everything that a run happens on.

    Args:
        directory: for all files; open to all users, since PostgreSQL may run as another one.
        broker: not started yet.
        tampering: what is done to the workers, or to the gateway.
        settings: environment variables, besides those that every run needs.
        seed: of the run.
        bulk: how many copies of one message come at once.

    Attributes:
        clocks: of the processes, by their names.
        losses: what may be lost, where an older state was put back.
        slow_stops: workers that were told to stop and had to be killed.
        importer_kills: how often the importer is to be killed, in all; its producer starts it, and
            does that.
    """

    def __init__(
        self,
        directory: Path,
        broker: Broker,
        *,
        tampering: Tampering = Tampering.NONE,
        settings: Mapping[str, str] | None = None,
        seed: int = 0,
        bulk: int = 200,
    ) -> None:
        self.directory = directory
        self.broker = broker
        self.postgres = Postgres(directory / "postgres", durable=True)
        self.to_postgres = Proxy(self._postgres_address)
        self.slow_stops = 0
        self.importer_kills: Synchronized[int] = SPAWN.Value("q", 0)
        self.clocks = {
            name: Clock(directory / f"{name}.clock") for name in ("worker", "schedules", "gateway")
        }
        self.losses: list[Loss] = []
        self._older_broker = OlderState(directory / "redis/appendonlydir", directory / "redis-then")
        self._older_postgres = OlderState(directory / "postgres/data", directory / "postgres-then")
        self._seed, self._bulk = seed, bulk
        self._traffic: FaultTraffic | None = None
        self._tampering = tampering
        self._extra = dict(settings or {})
        self._urls = PostgresUrls("", "", "", "")
        self._postgres_port = 0
        self._groups: set[int] = set()
        self._later: list[threading.Timer] = []
        self._worker: WorkerProcess | None = None
        self._schedules: WorkerProcess | None = None
        self._gateway: WorkerProcess | None = None
        self._gateway_port = 0
        self._installation: Installation | None = None
        self._cleaning = ExitStack()

    @property
    def installation(self) -> Installation:
        """Settings and database, reached directly."""
        assert self._installation is not None
        return self._installation

    @property
    def worker(self) -> WorkerProcess:
        """The worker that was started last."""
        assert self._worker is not None
        return self._worker

    @property
    def gateway(self) -> WorkerProcess:
        """The gateway that was started last."""
        assert self._gateway is not None
        return self._gateway

    @property
    def traffic(self) -> FaultTraffic:
        """What faults bring along."""
        assert self._traffic is not None
        return self._traffic

    @property
    def gateway_url(self) -> str:
        """Where every gateway of the run listens."""
        return f"http://{LOOPBACK}:{self._gateway_port}"

    @property
    def proxies(self) -> tuple[Proxy, ...]:
        """All proxies."""
        return (self.to_postgres, self.broker.to_workers, self.broker.to_producers)

    def __enter__(self) -> "Stage":
        with ExitStack() as cleaning:
            cleaning.callback(self.postgres.stop)
            self._urls = self.postgres.start()
            migrate(self._urls.owner, worker_role="andon_worker", audit_key=AUDIT_KEY)
            self._postgres_port = self.to_postgres.start()
            cleaning.callback(self.to_postgres.stop)
            cleaning.callback(self.broker.stop)
            self.broker.start()
            self._installation = make_installation(self._urls, self.broker.url, self.directory)
            cleaning.callback(self._installation.close)
            cleaning.callback(self._end_processes)
            self._gateway_port = cleaning.enter_context(port_kept())
            self._traffic = FaultTraffic(
                self.broker, self.directory / FAULT_JOURNAL, bulk=self._bulk, seed=self._seed
            )
            cleaning.callback(self._traffic.close)
            self.start_worker()
            self.start_schedules()
            self.start_gateway()
            self._cleaning = cleaning.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.calm_down()
        self._cleaning.close()

    def environment(self, *, direct: bool = False) -> dict[str, str]:
        """Andon's settings; through the proxies, unless *direct*."""
        url = make_url(self._urls.worker)
        proxied = url.set(host=LOOPBACK, port=self._postgres_port, query={})
        through = {
            "ANDON_DATABASE_URL": proxied.render_as_string(hide_password=False),
            "ANDON_BROKER_URL": self.broker.worker_url,
        }
        if direct:
            through = {"ANDON_BROKER_URL": self.broker.url}
        return {
            **self.installation.environment(),
            "ANDON_NAMESPACE": self.broker.names.namespace,
            "ANDON_CLAIM_IDLE": str(CLAIM_IDLE),
            "ANDON_BATCH_SIZE": str(BATCH_SIZE),
            "ANDON_OUTCOMES_KEPT": str(OUTCOMES_KEPT),
            "ANDON_PATIENCE": "600",
            **through,
            **self._extra,
        }

    def importer_environment(self) -> dict[str, str]:
        """The settings of an importer, which reaches the broker as producers do.

        And PostgreSQL directly: it only reads there, and ends whenever it is cut off. Through the
        workers' proxy, which seldom leaves it two seconds, it would come to its end in calm alone.
        """
        registry = self.directory / "importer-producers.toml"  # a command takes no half of one
        shutil.copy(self.installation.settings.producers_file, registry)
        return {
            **self.environment(direct=True),
            "ANDON_BROKER_URL": self.broker.producer_url,
            "ANDON_PRODUCERS_FILE": str(registry),
        }

    def start_worker(self) -> None:
        """Start another worker."""
        self._worker = self._start("worker", self._tampering.worker)

    def start_schedules(self) -> None:
        """Start the schedules."""
        self._schedules = self._start("schedules", _SCHEDULES)

    def start_gateway(self) -> None:
        """Start another gateway, which reaches the broker as producers do."""
        own = gateway_environment(
            self.installation,
            ANDON_BROKER_URL=self.broker.producer_url,
            ANDON_NAMESPACE=self.broker.names.namespace,
            ANDON_GATEWAY_PORT=str(self._gateway_port),
        )
        self._gateway = self._start("gateway", self._tampering.gateway, own)

    def kill_main(self) -> None:
        """Kill the worker's main process; its pool processes find out by themselves."""
        self.worker.process.kill()
        self.worker.process.wait(60)

    def terminate_worker(self) -> bool:
        """Stop the worker softly; whether it ended by itself."""
        try:
            self.worker.terminate(seconds=_STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            self.worker.kill()
            self.slow_stops += 1
            return False
        return True

    def kill_schedules(self) -> None:
        """Kill the schedules."""
        assert self._schedules is not None
        self._schedules.kill()

    def revive(self) -> None:
        """Start again whatever has ended by itself, as a supervisor does."""
        for process, start in (
            (self._worker, self.start_worker),
            (self._schedules, self.start_schedules),
            (self._gateway, self.start_gateway),
        ):
            if process is not None and process.process.poll() is not None:
                start()

    def remember_broker(self) -> None:
        """Keep a copy of what the broker has now."""
        assert self.broker.server is not None
        self._older_broker.begin()
        self.broker.server.kill()
        self._older_broker.make()
        self.broker.restart()

    def put_back_broker(self) -> None:
        """Have the broker be what it was when it was remembered, as docs/operating.md says."""
        assert self.broker.server is not None
        self.worker.kill()
        self.gateway.kill()
        self.broker.server.kill()
        self.losses.append(self._older_broker.put_back())
        self.broker.restart()
        self.start_worker()
        self.start_gateway()

    def remember_postgres(self) -> None:
        """Keep a copy of what PostgreSQL has now."""
        self._older_postgres.begin()
        undecided = self.broker.undecided()
        self.postgres.kill()
        self._older_postgres.make(undecided)
        self.postgres.start()

    def put_back_postgres(self) -> None:
        """Have PostgreSQL be what it was when it was remembered, as docs/operating.md says."""
        self.postgres.kill()
        self.losses.append(self._older_postgres.put_back())
        self.postgres.start()
        told = andon("restored", settings=self.environment(direct=True), directory=self.directory)
        assert told.code == 0, told.stderr

    def may_have_lost(self, entry: str) -> bool:
        """Whether an older state was put back that may not have this entry, or its decision."""
        return any(loss.may_have(entry) for loss in self.losses)

    def save_registry_slowly(self, seconds: float) -> None:
        """Save the registry as it is: emptied first, then a piece at a time."""
        path = self.installation.settings.producers_file
        content = path.read_bytes()
        step = -(-len(content) // _PIECES)
        with path.open("r+b", buffering=0) as file:
            file.truncate()
            for start in range(0, len(content), step):
                time.sleep(seconds / _PIECES)
                file.write(content[start : start + step])

    def hold_idle(self, seconds: float) -> None:
        """Keep more connections to the gateway open than it takes, and send nothing by them."""
        hold_idle(self._gateway_port, connections=_IDLE, seconds=seconds)

    def decided_entries(self) -> list[str]:
        """Entries that have halted or were duplicates, and of some others."""
        with suppress(psycopg.Error), self._asking() as connection:
            found = connection.execute(
                "SELECT split_part(entry, '#', 1) FROM halts"
                " UNION SELECT split_part(entry, '#', 1) FROM duplicates ORDER BY 1"
            ).fetchall()
            return [entry for (entry,) in found]
        return []

    def terminate_backends(self) -> None:
        """Have PostgreSQL itself end the sessions of all workers."""
        with suppress(psycopg.Error), self._asking() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = 'andon_worker'"
            )

    def decided(self) -> int | None:
        """How many requests have been decided; None if PostgreSQL does not answer."""
        with suppress(psycopg.Error), self._asking() as connection:
            found = connection.execute("SELECT count(*) FROM requests").fetchone()
            return int(found[0]) if found else None
        return None

    def is_drained(self) -> bool:
        """Whether nothing is left to be decided or published."""
        with self._asking() as connection:
            found = connection.execute(
                "SELECT (SELECT count(*) FROM waiting) + (SELECT count(*) FROM outbox)"
            ).fetchone()
        return found == (0,) and self.broker.left() == 0

    def outcomes(self) -> list[PublishedOutcome]:
        """Everything on the stream of outcomes."""
        publisher = connect_publisher(self.broker.url, names=self.broker.names)
        reader = publisher.outcomes("0")
        found: list[PublishedOutcome] = []
        while read := reader.read(block=1.0):
            found += read
        publisher.close()
        return found

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something after a while, whatever else happens meanwhile."""
        timer = threading.Timer(seconds, action)
        timer.daemon = True
        self._later.append(timer)
        timer.start()

    def signal_later(self, seconds: float, pid: int, number: signal.Signals) -> None:
        """Send a signal after a while, if the process still is there."""

        def send() -> None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

        self.later(seconds, send)

    def calm_down(self) -> None:
        """Wait for everything that was to happen later, and mend the proxies."""
        for timer in self._later:
            timer.join()
        self._later.clear()
        for proxy in self.proxies:
            proxy.heal()
        for clock in self.clocks.values():
            clock.set()
        self.broker.empty()

    def fresh_worker(self) -> None:
        """Leave one healthy worker, and the schedules."""
        self._end_processes()
        self.start_worker()
        self.start_schedules()

    def _start(
        self, name: str, code: str, environment: Mapping[str, str] | None = None
    ) -> WorkerProcess:
        log = self.directory / f"{name}.log"
        code = f"{self.clocks[name].code}\n{code}"
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", code],
                env={
                    **os.environ,
                    "TMPDIR": str(self.directory),
                    **(environment or self.environment()),
                },
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._groups.add(process.pid)
        return WorkerProcess(process, log)

    def _end_processes(self) -> None:
        """End every process that was started here, with what has outlived its parent."""
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self._groups.clear()
        for started in (self._worker, self._schedules, self._gateway):
            if started is not None:
                started.process.wait(60)

    def _asking(self) -> psycopg.Connection:
        url = make_url(self._urls.superuser).set(drivername="postgresql")
        return psycopg.connect(
            url.render_as_string(hide_password=False), connect_timeout=2, autocommit=True
        )

    def _postgres_address(self) -> Address:
        url = make_url(self._urls.superuser)
        host, port = url.query.get("host"), url.query.get("port", "5432")
        if isinstance(host, str):
            return Address(path=Path(host) / f".s.PGSQL.{port}")
        return Address(port=url.port or 0)
