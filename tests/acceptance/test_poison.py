"""Requests that end, exhaust or hold the process that runs them: each is halted, and nothing else.

Both engines: what a dead process held comes back by the consumer group of Redis, or by RabbitMQ.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
import redis

from models.rabbitmq import connect_rabbitmq, intake_queues, open_channel, undelivered
from models.streams import StreamNames
from policy.explanations import EXPLANATIONS
from policy.halts import Reason
from producers.client import Client
from tests.support.installation import Installation
from tests.support.rabbitmq import rabbitmq_queues
from tests.support.requests import KEY_ID, SECRET, SOURCE, report
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.support.workers import pool_of, running

Place = tuple[str, StreamNames]

INNOCENT = 300
BESIDE_EACH = 40
"""So many innocent requests lie between two deadly ones."""
RUNS_ALONE = 3
RUNS_IN_COMPANY = 2
"""A request runs alone from its third delivery on."""
SOFT_LIMIT, HARD_LIMIT = 3, 5

# A worker that some titles kill or hold. Each process notes beforehand what it is about to die of,
# and whether it runs that request alone. What the kernel kills for want of memory gets SIGKILL;
# where a limit is set, as by ulimit, an allocation fails instead, and every later one.
DEADLY_WORKER = """
import ctypes, os, resource, signal
from tasks.drain import Drain
from tasks.procedures import DECIDE
from worker.run import run_worker
from worker.settings import load_settings

alone = False

def hang():
    while True:
        pass

def hang_whatever_is_raised():
    while True:
        try:
            hang()
        except BaseException:
            pass

leaked = []

def leak():
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + 64_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    size = 1 << 24
    while size > 500:
        try:
            leaked.append(bytearray(size))
        except MemoryError:
            size //= 2
    raise MemoryError

DEATHS = {
    "hard exit": lambda: os._exit(1),
    "segmentation fault": lambda: ctypes.string_at(0),
    "killed by the kernel": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "leaks": leak,
    "hangs": hang,
    "hangs for good": hang_whatever_is_raised,
}
decide, run_alone = DECIDE["report_incident"], Drain._alone

def deadly(request, facts):
    if death := DEATHS.get(request.inputs.title):
        with open(os.environ["DEATHS"], "a") as deaths:
            print(request.inputs.title, os.getpid(), alone, sep="|", file=deaths)
        death()
    return decide(request, facts)

def noting(drain, delivery):
    global alone
    alone = True
    try:
        yield from run_alone(drain, delivery)
    finally:
        alone = False

DECIDE["report_incident"], Drain._alone = deadly, noting
run_worker(load_settings())
"""
DEADLY = (
    "hard exit",
    "segmentation fault",
    "killed by the kernel",
    "leaks",
    "hangs",
    "hangs for good",
)


@pytest.fixture(params=["redis", "rabbitmq"])
def place(request: pytest.FixtureRequest, installation: Installation) -> Iterator[Place]:
    """An intake on each engine."""
    if request.param == "redis":
        yield installation.settings.broker_url.get_secret_value(), StreamNames()
    else:
        with rabbitmq_queues() as found:
            yield found


@pytest.fixture
def client(place: Place) -> Iterator[Client]:
    """A client of the tests' source."""
    url, names = place
    with Client(url, source=SOURCE, key_id=KEY_ID, secret=SECRET, names=names) as made:
        yield made


def left(place: Place) -> int:
    """How many entries the intake still has, dead letters included."""
    url, names = place
    if url.startswith("redis"):
        with redis.Redis.from_url(url) as connection:
            traffic = Traffic(connection, names)
            return traffic.left() + traffic.unacknowledged()
    broker = connect_rabbitmq(url)
    channel = open_channel(broker)
    count = sum(undelivered(channel, queue) for queue in intake_queues(names))
    broker.close()
    return count


def test_what_kills_or_holds_its_process_is_halted_alone(
    installation: Installation, place: Place, client: Client, tmp_path: Path
) -> None:
    """Three processes each are lost, the halt says so, and all requests beside them are done."""
    url, names = place
    deaths = tmp_path / "deaths"
    environment = installation.environment() | {
        "ANDON_BROKER_URL": url,
        "ANDON_NAMESPACE": names.namespace,
        "ANDON_BATCH_TIME_LIMIT": str(HARD_LIMIT),
        "ANDON_BATCH_SOFT_TIME_LIMIT": str(SOFT_LIMIT),
        "DEATHS": str(deaths),
    }
    innocent = [client.prepare("report_incident", report(), id=f"r{n}") for n in range(INNOCENT)]
    deadly = [client.prepare("report_incident", report(title=one), id=one) for one in DEADLY]
    groups = [innocent[n : n + BESIDE_EACH] for n in range(0, INNOCENT, BESIDE_EACH)]
    events = list(chain.from_iterable(chain(*zip(groups, ([d] for d in deadly), strict=False))))
    events += chain.from_iterable(groups[len(deadly) :])
    assert len(events) == INNOCENT + len(DEADLY)

    since = client.position()
    client.publish(events)
    with running(environment, tmp_path, code=DEADLY_WORKER) as worker:
        wanted = [event.identity for event in events if event.identity]
        told = list(client.wait(wanted, since=since, timeout=240))
        assert len(pool_of(worker)) == 2
        assert worker.terminate() == 0
        log = worker.output()

    halted = {o["request"]["id"]: o["halt"] for o in told if o["outcome"] == "halted"}
    assert halted.keys() == set(DEADLY)
    for halt in halted.values():
        assert halt["reason"] == Reason.WORKER_LOST
        assert "3 processes" in halt["message"]
    assert EXPLANATIONS[Reason.WORKER_LOST].meaning

    _check_deaths(deaths.read_text(), log)
    _check_books(installation)
    wait_for(lambda: left(place) == 0, what="empty intake")


def _check_deaths(noted: str, log: str) -> None:
    rows = [line.split("|") for line in noted.splitlines()]
    assert len({pid for _, pid, _ in rows}) == len(rows)
    alone = Counter(title for title, _, was_alone in rows if was_alone == "True")
    assert alone == dict.fromkeys(DEADLY, RUNS_ALONE)
    in_company = [title for title, _, was_alone in rows if was_alone == "False"]
    assert 1 <= len(in_company) <= RUNS_IN_COMPANY * len(DEADLY)

    # A process that ends itself says where it was; one that cannot is killed.
    said = [line for line in log.splitlines() if "batch_took_too_long" in line]
    in_hang = [line for line in said if "place=__main__:" in line]
    assert len(in_hang) == RUNS_ALONE + in_company.count("hangs"), said
    assert log.count("Hard time limit") == RUNS_ALONE + in_company.count("hangs for good")
    assert "outage_began" not in log


def _check_books(installation: Installation) -> None:
    """Every innocent request has one effect, every deadly one its halt, and nobody else has any."""
    names = sorted(f"r{n}" for n in range(INNOCENT))
    assert sorted(i for (i,) in installation.rows("SELECT request_id FROM incidents")) == names
    assert sorted(i for (i,) in installation.rows("SELECT request_id FROM halts")) == sorted(DEADLY)
    ((done, halted, duplicates),) = installation.rows(
        "SELECT sum(done), sum(halted), sum(duplicates) FROM tallies"
    )
    assert (done, halted, duplicates) == (INNOCENT, len(DEADLY), 0)
    audited = installation.rows(
        "SELECT outcome, count(*) FROM audit_records WHERE entry IS NOT NULL GROUP BY outcome"
    )
    assert dict(iter(audited)) == {"done": INNOCENT, "halted": len(DEADLY)}
    assert installation.rows("SELECT FROM attempts") == []
