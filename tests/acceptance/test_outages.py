"""Outages under load: the worker waits, halts nothing, says so once, and goes on by itself.

Each lasts a few seconds. With ANDON_TEST_OUTAGE_SECONDS the longest one lasts that long
(`make outage`: ten minutes).
"""

import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from sqlalchemy import text
from sqlalchemy.engine import make_url

from console.embedded import PostgresUrls
from migrations.runner import migrate
from models.rabbitmq import connect_rabbitmq, intake_queues, open_channel, undelivered
from models.streams import StreamNames
from producers.client import Client
from tests.acceptance.faults.brokers import at_port
from tests.acceptance.faults.proxy import LOOPBACK, Address, Proxy
from tests.support.installation import AUDIT_KEY, Installation
from tests.support.rabbitmq import rabbitmq_queues
from tests.support.requests import KEY_ID, SECRET, SOURCE, event, report, update
from tests.support.servers import Servers
from tests.support.traffic import Traffic, check_reports
from tests.support.waiting import wait_for
from tests.support.workers import WorkerProcess, pool_of, running

LONG = float(os.environ.get("ANDON_TEST_OUTAGE_SECONDS", "15"))
SHORT = 2.0
SOFT_LIMIT, HARD_LIMIT = 6, 8
"""Below the long outages, in which no process may be taken for one that hangs."""
REPEATED = 3
POOL = 2
AT_ONCE = 1_500
RECOVERED_WITHIN = 120.0
"""The longest pause of the backoff is 10 s."""
BROKER_RECOVERED_WITHIN = 180.0
"""Celery tries to reach its broker every 30 s at last."""

_numbers = count(1)


@dataclass(slots=True)
class Stage:
    """A worker, with servers that can be taken away.

    Attributes:
        traffic: on Redis, which is of this test process alone.
        proxy: the worker's way to RabbitMQ, which others use too.
    """

    servers: Servers
    installation: Installation
    client: Client
    traffic: Traffic | None
    proxy: Proxy | None
    worker: WorkerProcess
    ids: list[str] = field(default_factory=list)
    recovered: list[float] = field(default_factory=list)

    def publish(self, number: int = AT_ONCE) -> None:
        """Put more reports on the intake."""
        fresh = [f"r{len(self.ids) + each}" for each in range(number)]
        self.client.publish([self.client.prepare("report_incident", report(), id=i) for i in fresh])
        self.ids += fresh
        if self.traffic:
            self.traffic.published += number

    def decided(self) -> int:
        """How many reports are done."""
        ((count,),) = self.installation.rows("SELECT count(*) FROM requests")
        return int(count)

    def states(self) -> dict[str, list[str]]:
        """By pool process: the changes of state that it has logged, in order."""
        found = defaultdict(list)
        for line in self.worker.output().splitlines():
            if match := re.search(r"\b(outage_began|outage_over)\b.*\bprocess=(\d+)", line):
                found[match[2]].append(match[1])
        return dict(found)

    def noticed(self) -> int:
        """How many pool processes know at the moment that something is away."""
        return sum(states[-1] == "outage_began" for states in self.states().values())

    def is_over(self) -> bool:
        """Whether every process has noticed, for which each needs something to do."""
        if self.noticed() and self.decided() == len(self.ids):
            self.publish(200)
        return self.noticed() == 0


@contextmanager
def postgres_stopped(stage: Stage) -> Iterator[None]:
    """PostgreSQL is away."""
    stage.installation.superuser.dispose()
    stage.servers.postgres.stop()
    try:
        yield
    finally:
        stage.servers.postgres.start()


@contextmanager
def redis_stopped(stage: Stage) -> Iterator[None]:
    """Redis is away."""
    stage.servers.redis.stop()
    try:
        yield
    finally:
        stage.servers.redis.start()


@contextmanager
def rabbitmq_cut_off(stage: Stage) -> Iterator[None]:
    """The worker does not reach RabbitMQ."""
    assert stage.proxy is not None
    stage.proxy.refuse()
    try:
        yield
    finally:
        stage.proxy.accept()


@contextmanager
def both_stopped(stage: Stage) -> Iterator[None]:
    """Both are away, and Redis is back first."""
    with postgres_stopped(stage), redis_stopped(stage):
        yield


def undone(*statements: str, by: str) -> Callable[[Stage], AbstractContextManager[None]]:
    """Something done to the database, and undone."""

    @contextmanager
    def outage(stage: Stage) -> Iterator[None]:
        stage.installation.execute(*statements)
        try:
            yield
        finally:
            stage.installation.execute(by)

    return outage


def refusing(state: str) -> Callable[[Stage], AbstractContextManager[None]]:
    """PostgreSQL answers each new incident with this SQLSTATE."""
    return undone(
        f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; END $$
        """,
        "CREATE TRIGGER refuse BEFORE INSERT ON incidents EXECUTE FUNCTION refuse()",
        by="DROP FUNCTION refuse() CASCADE",
    )


@contextmanager
def table_locked(stage: Stage) -> Iterator[None]:
    """Somebody holds a lock, so that each try takes a while."""
    with stage.installation.superuser.begin() as connection:
        connection.execute(text("LOCK TABLE incidents IN ACCESS EXCLUSIVE MODE"))
        yield


OUTAGES: dict[str, Callable[[Stage], AbstractContextManager[None]]] = {
    "postgres": postgres_stopped,
    "redis": redis_stopped,
    "both": both_stopped,
    "table": undone(
        "ALTER TABLE incidents RENAME TO incidents_away",
        by="ALTER TABLE incidents_away RENAME TO incidents",
    ),
    "right": undone(
        "REVOKE INSERT ON incidents FROM andon_worker",
        by="GRANT INSERT ON incidents TO andon_worker",
    ),
    # What PostgreSQL answers when its disk is full; filling one takes a file system of its own.
    "disk": refusing("53100"),
    "lock": table_locked,
    "rabbitmq": rabbitmq_cut_off,
}
BROKER_AWAY = ("redis", "both", "rabbitmq")
ON_REDIS = ("postgres", "redis", "both", "table", "right", "disk", "lock")


@pytest.fixture
def database(servers: Servers) -> PostgresUrls:
    """A database to which no fixture keeps a connection, since its server is restarted."""
    urls = servers.postgres.create_database(f"outages_{next(_numbers)}")
    migrate(urls.owner, worker_role="andon_worker", audit_key=AUDIT_KEY)
    return urls


@dataclass(frozen=True, slots=True)
class Place:
    """An intake: where clients and workers reach it, and what lies between."""

    url: str
    worker_url: str
    names: StreamNames
    traffic: Traffic | None = None
    proxy: Proxy | None = None


@contextmanager
def on_redis(broker: redis.Redis, servers: Servers) -> Iterator[Place]:
    """The Redis of this test process."""
    yield Place(servers.redis_url, servers.redis_url, StreamNames(), traffic=Traffic(broker))


@contextmanager
def on_rabbitmq() -> Iterator[Place]:
    """RabbitMQ, behind a proxy; at the end nothing is left in it, dead letters neither."""
    with rabbitmq_queues() as (url, names):
        parts = urlsplit(url)
        proxy = Proxy(lambda: Address(parts.hostname or LOOPBACK, parts.port or 5672))
        port = proxy.start()
        try:
            yield Place(url, at_port(url, port), names, proxy=proxy)
        finally:
            proxy.stop()
        broker = connect_rabbitmq(url)
        channel = open_channel(broker)
        assert [undelivered(channel, queue) for queue in intake_queues(names)] == [0, 0, 0]
        broker.close()


@pytest.fixture
def stage(
    request: pytest.FixtureRequest,
    servers: Servers,
    installation: Installation,
    broker: redis.Redis,
    tmp_path: Path,
) -> Iterator[Stage]:
    """A worker that takes over after a second, with small batches, so that many are under way.

    A patient one takes no slow statement for an outage, on no machine.
    """
    kind = getattr(request, "param", "redis")
    with ExitStack() as open_things:
        place = open_things.enter_context(
            on_rabbitmq() if kind == "rabbitmq" else on_redis(broker, servers)
        )
        client: Client = open_things.enter_context(
            Client(place.url, source=SOURCE, key_id=KEY_ID, secret=SECRET, names=place.names)
        )
        environment = installation.environment() | {
            "ANDON_BROKER_URL": place.worker_url,
            "ANDON_NAMESPACE": place.names.namespace,
            "ANDON_CLAIM_IDLE": "30" if kind == "patient" else "1",
            "ANDON_BATCH_SIZE": "100",
            "ANDON_BATCH_SOFT_TIME_LIMIT": str(SOFT_LIMIT),
            "ANDON_BATCH_TIME_LIMIT": str(HARD_LIMIT),
            "ANDON_CONCURRENCY": str(POOL),
        }
        worker = open_things.enter_context(running(environment, tmp_path))
        yield Stage(servers, installation, client, place.traffic, place.proxy, worker)


def endure(stage: Stage, name: str, *, seconds: float) -> None:
    """Have one outage under load, and see the worker go on."""
    reads_on = name not in BROKER_AWAY
    stage.publish()
    wait_for(lambda: stage.decided() > len(stage.ids) - AT_ONCE, what="full swing")
    with OUTAGES[name](stage):
        until = time.monotonic() + seconds
        if reads_on:
            stage.publish(100)
            wait_for(lambda: stage.noticed() == POOL, what="outage noticed by all")
        wait_for(lambda: time.monotonic() > until, seconds=seconds + 60, what="time")
    began = time.monotonic()
    within = RECOVERED_WITHIN if reads_on else BROKER_RECOVERED_WITHIN
    wait_for(lambda: stage.decided() == len(stage.ids), seconds=within, what="recovery")
    stage.recovered.append(time.monotonic() - began)


def check_effects(installation: Installation, ids: list[str]) -> None:
    """Each report opened one incident, and nothing was halted."""
    opened = [i for (i,) in installation.rows("SELECT request_id FROM incidents")]
    assert sorted(opened) == sorted(ids)
    outcomes = installation.rows(
        "SELECT outcome, count(*) FROM audit_records WHERE entry IS NOT NULL GROUP BY outcome"
    )
    assert [tuple(row) for row in outcomes] == [("done", len(ids))]
    assert installation.rows("SELECT FROM halts") == []
    assert installation.rows("SELECT FROM attempts") == []


def check(stage: Stage) -> None:
    """Nothing is lost, doubled or halted, and each process said each change of state once."""
    wait_for(stage.is_over, what="end noticed by all")
    wait_for(lambda: stage.decided() == len(stage.ids), what="all done")
    if stage.traffic:
        stage.traffic.wait_until_empty()
        assert stage.traffic.unacknowledged() == 0
    assert stage.worker.terminate() == 0
    check_effects(stage.installation, stage.ids)
    if stage.traffic:
        check_reports(stage.installation, stage.traffic, stage.ids)
    for states in stage.states().values():
        assert states == ["outage_began", "outage_over"] * (len(states) // 2), states


@pytest.mark.parametrize(
    ("stage", "name", "seconds", "times"),
    [
        pytest.param("redis", "postgres", LONG, 1, id="postgres-long"),
        pytest.param("redis", "redis", LONG, 1, id="redis-long"),
        *(pytest.param("redis", name, SHORT, REPEATED, id=name) for name in ON_REDIS),
        # Here a process keeps what it has in hand, and has to stay in touch with the broker.
        pytest.param("rabbitmq", "postgres", LONG, 1, id="rabbitmq-postgres-long"),
        pytest.param("rabbitmq", "rabbitmq", SHORT, REPEATED, id="rabbitmq"),
    ],
    indirect=["stage"],
)
def test_an_outage_is_waited_out(stage: Stage, name: str, seconds: float, times: int) -> None:
    """The same processes go on by themselves; no halt, no loss, a line for each change of state."""
    pool = sorted(wait_for(lambda: pool_of(stage.worker), what="pool"))
    for _ in range(times):
        endure(stage, name, seconds=seconds)
    assert sorted(pool_of(stage.worker)) == pool
    assert stage.worker.process.poll() is None
    print(f"recovered after {[round(each, 1) for each in stage.recovered]} s")
    check(stage)
    if name not in BROKER_AWAY:  # while Redis is away nobody has anything to do
        assert len(stage.states()) == POOL


def test_one_waiting_request_in_an_outage_is_no_news_twice(stage: Stage) -> None:
    """A process that finds nothing to do meanwhile does not take the outage for over."""
    stage.publish()
    wait_for(lambda: stage.decided() == len(stage.ids), what="all done")
    before = stage.states()
    with OUTAGES["lock"](stage):
        stage.publish(1)
        until = time.monotonic() + 4 * SHORT
        wait_for(lambda: stage.noticed() > 0, what="outage noticed")
        wait_for(lambda: time.monotonic() > until, what="time")
        states = stage.states()
    for process, said in states.items():
        assert said[len(before.get(process, ())) :] in ([], ["outage_began"]), states
    check(stage)


@pytest.mark.parametrize("stage", ["patient"], indirect=True)
def test_collisions_run_again_unseen(stage: Stage) -> None:
    """Serialization failures, the first times, are neither an outage nor anybody's halt."""
    stage.installation.execute(
        "CREATE SEQUENCE collisions",
        "GRANT USAGE ON SEQUENCE collisions TO andon_worker",
        """
        CREATE FUNCTION collide() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('collisions') <= 6 THEN
                RAISE EXCEPTION 'collision' USING ERRCODE = '40001';
            END IF;
            RETURN NULL;
        END $$
        """,
        "CREATE TRIGGER collide AFTER INSERT ON incidents EXECUTE FUNCTION collide()",
    )
    stage.publish()
    wait_for(lambda: stage.decided() == len(stage.ids), what="all done")
    ((collisions,),) = stage.installation.rows("SELECT last_value FROM collisions")
    assert collisions > 6
    assert stage.states() == {}
    check(stage)


@pytest.mark.parametrize("stage", ["patient"], indirect=True)
def test_a_deadlock_runs_again_unseen(stage: Stage) -> None:
    """Whichever side PostgreSQL lets go of, the updates are done once, and nobody waits for long.

    The worker locks incidents in the order of their ids; the other side locks the last one first,
    and then the first, for which the worker is ahead of it.
    """
    name = make_url(stage.installation.urls.worker).database
    stage.installation.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '100ms'")
    stage.publish(2)
    wait_for(lambda: stage.decided() == 2, what="two incidents")
    (first,), (last,) = stage.installation.rows("SELECT incident_id FROM incidents ORDER BY 1")
    lock = "SELECT FROM incidents WHERE incident_id = %s FOR UPDATE"
    url = make_url(stage.installation.urls.superuser).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False)) as other:
        other.execute("SET deadlock_timeout = '60s'")  # so that the worker's side finds it
        other.execute(lock, [last])
        updates = [event("update_incident", update(incident_id=str(i))) for i in (first, last)]
        stage.client.publish([stage.client.sign(one) for one in updates])
        wait_for(
            lambda: stage.installation.rows(
                "SELECT FROM pg_stat_activity WHERE usename = 'andon_worker'"
                " AND wait_event_type = 'Lock'"
            ),
            what="the worker waits",
        )
        other.execute(lock, [first])
    wait_for(lambda: stage.decided() == 4, what="two updates")
    ((deadlocks,),) = wait_for(
        lambda: stage.installation.rows(
            "SELECT deadlocks FROM pg_stat_database"
            " WHERE datname = current_database() AND deadlocks > 0"
        ),
        what="deadlock counted",
    )
    assert deadlocks == 1
    assert stage.installation.rows("SELECT count(*) FROM incident_updates") == [(2,)]
    assert stage.installation.rows("SELECT FROM halts") == []
    assert stage.states() == {}
    assert stage.worker.terminate() == 0
