"""The users of deploy/redis on a real server: what each may do, and what it may not.

docs/rights.md has the same as a table.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis
from redis.exceptions import NoPermissionError

from console.embedded import PostgresUrls
from models.results import Done
from models.streams import Lane, StreamNames
from producers.client import Client
from producers.faults import IntakeUnreachable
from tests.support.gateways import alertmanager_payload, gateway_environment, gateway_running
from tests.support.installation import Installation, make_installation
from tests.support.redis_users import RedisUsers, redis_with_users
from tests.support.requests import KEY_ID, SECRET, SOURCE, report
from tests.support.shell import andon
from tests.support.waiting import wait_for
from tests.support.workers import running

NAMES = StreamNames()
URGENT, BULK = NAMES.intake(), NAMES.intake(Lane.BULK)
LARGEST = f"{2**64 - 1}-{2**64 - 1}"
FIELDS = ("event", "e", "key", KEY_ID, "signature", "s")


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisUsers]:
    """The server with these users."""
    with redis_with_users(tmp_path_factory.mktemp("redis")) as made:
        yield made


@pytest.fixture
def admin(users: RedisUsers) -> Iterator[redis.Redis]:
    """The administrator, on an intake that holds one request and one outcome."""
    with users.client("admin") as client:
        client.flushall()
        client.xadd(URGENT, {"event": "of somebody else"})
        client.xadd(BULK, {"event": "of somebody else"})
        client.xadd(NAMES.outcomes, {"event": "{}"})
        client.xadd(NAMES.halts, {"event": "{}"})
        client.xgroup_create(URGENT, NAMES.group, id="0")
        yield client


@pytest.fixture
def installation(
    database: PostgresUrls, users: RedisUsers, admin: redis.Redis, tmp_path: Path
) -> Iterator[Installation]:
    """An installation whose worker is the user `worker`."""
    admin.flushall()
    made = make_installation(database, users.url("worker"), tmp_path)
    yield made
    made.close()


PUBLISHES = [("XADD", URGENT, "*", *FIELDS), ("XADD", BULK, "*", *FIELDS)]
ASKS_LENGTH = [("XLEN", URGENT), ("XLEN", BULK)]
READS_OUTCOMES = [
    ("XREAD", "STREAMS", NAMES.outcomes, "0"),
    ("XREVRANGE", NAMES.outcomes, "+", "-"),
    ("XREVRANGE", NAMES.halts, "+", "-"),
]
LOOKS = [
    ("XINFO", "STREAM", URGENT),
    ("XINFO", "GROUPS", URGENT),
    ("XINFO", "CONSUMERS", URGENT, NAMES.group),
    ("EVAL_RO", "return redis.call('XLEN', KEYS[1])", "1", URGENT),
    ("INFO",),
]
READS_REQUESTS = [
    ("XRANGE", URGENT, "-", "+"),
    ("XREVRANGE", BULK, "+", "-"),
    ("XREAD", "STREAMS", URGENT, "0"),
    ("XREADGROUP", "GROUP", NAMES.group, "c", "STREAMS", URGENT, ">"),
    ("DUMP", URGENT),
    ("COPY", URGENT, "mine"),
    ("XINFO", "STREAM", URGENT, "FULL"),
]
REMOVES = [
    ("DEL", URGENT),
    ("UNLINK", URGENT),
    ("XDEL", URGENT, "1-1"),
    ("XTRIM", URGENT, "MAXLEN", "0"),
    ("XACK", URGENT, NAMES.group, "1-1"),
    ("XSETID", URGENT, LARGEST),
    ("XGROUP", "DESTROY", URGENT, NAMES.group),
    ("RENAME", URGENT, "elsewhere"),
    ("EXPIRE", URGENT, "1"),
    ("SET", URGENT, "x"),
    ("RESTORE", URGENT, "0", "x"),
]
FORGES = [
    ("XADD", NAMES.outcomes, "*", "event", "forged"),
    ("XADD", NAMES.halts, "*", "event", "forged"),
    ("LPUSH", "andon:tasks", "a task of Celery's"),
    ("PUBLISH", "andon", "x"),
]
RULES = [
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "appendonly", "no"),
    ("ACL", "LIST"),
    ("ACL", "SETUSER", "me", "on"),
    ("ACL", "WHOAMI"),
    ("SHUTDOWN", "NOSAVE"),
    ("MONITOR",),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("REPLICAOF", "NO", "ONE"),
    ("SCRIPT", "FLUSH"),
    ("FUNCTION", "LIST"),
    ("MODULE", "LIST"),
    ("SWAPDB", "0", "1"),
    ("BGREWRITEAOF",),
    ("SAVE",),
]
SCRIPTS = [
    ("EVAL", "return redis.call('XRANGE', KEYS[1], '-', '+')", "1", URGENT),
    ("EVAL", "return redis.call('DEL', KEYS[1])", "1", URGENT),
]

MAY = {
    "gateway": [*PUBLISHES, *ASKS_LENGTH, ("INFO",), ("TIME",)],
    "producer": [*PUBLISHES, *ASKS_LENGTH, *READS_OUTCOMES, ("INFO",)],
    "reader": READS_OUTCOMES,
    "monitor": ASKS_LENGTH + LOOKS,
    "worker": PUBLISHES + ASKS_LENGTH + READS_OUTCOMES + LOOKS + READS_REQUESTS[:4],
}
MAY_NOT = {
    "gateway": READS_REQUESTS + REMOVES + FORGES + RULES + SCRIPTS + READS_OUTCOMES + LOOKS[:4],
    "producer": READS_REQUESTS + REMOVES + FORGES + RULES + SCRIPTS + LOOKS[:4],
    "reader": PUBLISHES + READS_REQUESTS + REMOVES + FORGES + RULES + SCRIPTS + ASKS_LENGTH + LOOKS,
    "monitor": PUBLISHES + REMOVES + FORGES + RULES + SCRIPTS + READS_REQUESTS[2:6],
    "worker": [*RULES, ("XADD", "elsewhere", "*", "a", "b"), ("PUBLISH", "andon", "x")],
}


def cells(rights: dict[str, Sequence[tuple[str, ...]]]) -> list[tuple[str, tuple[str, ...]]]:
    """Each user with each command."""
    return [(user, command) for user, commands in rights.items() for command in commands]


@pytest.mark.parametrize(("user", "command"), cells(MAY))
@pytest.mark.usefixtures("admin")
def test_a_user_may(users: RedisUsers, user: str, command: tuple[str, ...]) -> None:
    """What a component needs, it is let do."""
    with users.client(user) as client:
        client.execute_command(*command)


@pytest.mark.parametrize(("user", "command"), cells(MAY_NOT))
@pytest.mark.usefixtures("admin")
def test_a_user_may_not(users: RedisUsers, user: str, command: tuple[str, ...]) -> None:
    """What a component does not need, it is refused."""
    with users.client(user) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command)


def test_nobody_is_the_default_user(users: RedisUsers) -> None:
    """Without a name and a password there is no way in."""
    with (
        redis.Redis(port=users.port) as nobody,
        pytest.raises((redis.AuthenticationError, redis.ResponseError)),
    ):
        nobody.ping()


def test_users_survive_a_restart(tmp_path: Path) -> None:
    """Those of the file, and those that an administrator has made and saved."""
    with redis_with_users(tmp_path) as users, users.client("admin") as admin:
        admin.execute_command("ACL", "SETUSER", "alerts", "on", ">own", "%W~andon:intake", "+xadd")
        admin.execute_command("ACL", "SAVE")
    with redis_with_users(tmp_path) as users:
        with redis.Redis(port=users.port, username="alerts", password="own") as alerts:
            alerts.xadd(URGENT, {"event": "e"})
        with users.client("gateway") as gateway:
            assert gateway.xlen(URGENT) == 1


def test_everything_works_with_these_rights(installation: Installation, users: RedisUsers) -> None:
    """Worker, gateway, producer, reader and monitoring do all their work; the sum comes out."""
    environment = installation.environment()
    theirs = gateway_environment(installation, ANDON_BROKER_URL=users.url("gateway"))
    with running(environment, installation.directory) as worker:
        with Client(users.url("producer"), source=SOURCE, key_id=KEY_ID, secret=SECRET) as producer:
            outcome = producer.waiting(timeout=30).report_incident(**report())
            assert isinstance(outcome, Done)
            producer.report_incident(**report(reporter_user_id="leaver"))
        with gateway_running(theirs, installation.directory) as gateway:
            assert gateway.call("/v1/alertmanager", alertmanager_payload()).status == 202
            assert gateway.call("/readyz").status == 200

        def decided() -> bool:
            found = andon(
                "status",
                "--json",
                settings=environment | {"ANDON_BROKER_URL": users.url("monitor")},
                directory=installation.directory,
            )
            assert found.code == 0, found.stderr
            account = found.document["account"]
            return bool(account["holds"] and account["done"] + account["halted"] == 3)

        wait_for(decided, what="everything is decided")
        replayed = andon(
            "halts", "replay", "1", "--wait", settings=environment, directory=installation.directory
        )
        assert replayed.code == 1, replayed.stderr  # it halts again
        assert "outage" not in worker.output()
        assert "NoPermission" not in worker.output()


def test_entries_that_a_producer_removes_are_missed(
    installation: Installation, users: RedisUsers
) -> None:
    """An ACL cannot refuse XADD … MAXLEN 0; the sum of `andon status` tells of what it took."""
    with users.client("producer") as producer:
        producer.execute_command("XADD", URGENT, "*", *FIELDS)
        producer.execute_command("XADD", URGENT, "MAXLEN", "0", "*", *FIELDS)
    found = andon(
        "status", "--json", settings=installation.environment(), directory=installation.directory
    )
    assert found.code == 1
    assert found.document["account"]["missing"] == 2


def test_a_stream_that_a_producer_ended_is_told_and_put_right(
    installation: Installation, users: RedisUsers, admin: redis.Redis
) -> None:
    """An ACL cannot refuse the largest number; status tells, and two commands put it right."""
    environment = installation.environment()
    with users.client("producer") as theirs:
        theirs.execute_command("XADD", URGENT, LARGEST, *FIELDS)
    with Client(
        users.url("producer"), source=SOURCE, key_id=KEY_ID, secret=SECRET, retry_for=0
    ) as producer:
        with pytest.raises(IntakeUnreachable, match="Nothing was accepted"):
            producer.report_incident(**report())
        found = andon("status", "--json", settings=environment, directory=installation.directory)
        assert [each["code"] for each in found.document["warnings"]] == ["lane_ahead"]
        with running(environment, installation.directory) as worker:
            wait_for(lambda: "redis_lane_ahead" in worker.output(), what="the worker's warning")
            wait_for(lambda: not admin.xlen(URGENT), what="the entry to be halted")
            now = f"{time.time_ns() // 1_000_000}-0"
            added = admin.xinfo_stream(URGENT)["entries-added"]
            admin.execute_command("XSETID", URGENT, now, "ENTRIESADDED", added, "MAXDELETEDID", now)
            admin.execute_command("XGROUP", "SETID", URGENT, NAMES.group, now)
            outcome = producer.waiting(timeout=30).report_incident(**report())
            assert isinstance(outcome, Done)
        found = andon("status", "--json", settings=environment, directory=installation.directory)
        assert (found.code, found.document["warnings"]) == (0, [])


@pytest.mark.usefixtures("admin")
def test_what_one_multi_took_of_it_is_accepted_and_not_published_again(
    users: RedisUsers, admin: redis.Redis
) -> None:
    """Of five events Redis takes two: two are told as accepted, and no copy of them comes."""
    admin.delete(URGENT)
    admin.xadd(URGENT, {"event": "e"}, id=f"{2**64 - 1}-{2**64 - 3}")
    with Client(
        users.url("producer"), source=SOURCE, key_id=KEY_ID, secret=SECRET, retry_for=1
    ) as producer:
        events = [producer.requests.report_incident(**report()) for _ in range(5)]
        with pytest.raises(IntakeUnreachable, match="2 events were accepted") as failed:
            producer.publish(events)
    assert len(failed.value.entries) == 2
    assert admin.xlen(URGENT) == 3
