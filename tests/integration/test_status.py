"""`andon status`: what is under way, and whether every accepted request is accounted for."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
import redis

from console.troubles import Observed, troubles
from models.audit_partitions import following
from models.streams import Lane, StreamNames
from producers.client import Client
from tests.support.draining import drain
from tests.support.installation import Installation
from tests.support.requests import KEY_ID, SECRET, SOURCE, report, update
from tests.support.servers import Servers
from tests.support.shell import Finished, andon
from tests.support.waiting import wait_for
from tests.support.workers import running
from worker.redis_intake import make_groups

NAMES = StreamNames()


@pytest.fixture
def client(servers: Servers, broker: redis.Redis) -> Iterator[Client]:
    """A client of the tests' source, on an empty intake."""
    broker.flushall()
    with Client(servers.redis_url, source=SOURCE, key_id=KEY_ID, secret=SECRET) as made:
        yield made


def status(installation: Installation, *arguments: str, **settings: str) -> Finished:
    """Run the command against the installation."""
    return andon(
        "status",
        *arguments,
        settings=installation.environment() | settings,
        directory=installation.directory,
    )


def test_every_accepted_request_is_accounted_for(
    installation: Installation, client: Client
) -> None:
    """Done, halted, duplicate, waiting and undelivered ones add up to those accepted; exit 0."""
    first = client.prepare("report_incident", report())
    follow_up = update(incident_id=None, incident_request={"id": "never"})
    client.publish(
        [
            first,
            first,
            client.prepare("report_incident", report(reporter_user_id="leaver")),
            client.prepare("update_incident", follow_up),
        ]
    )
    drain(installation)
    client.publish([client.prepare("report_incident", report())], lane=Lane.BULK)
    found = status(installation, "--json")
    assert found.code == 0, found.stderr
    assert found.document["account"] == {
        "accepted": 5,
        "counted_by": "stream",
        "done": 1,
        "halted": 1,
        "duplicates": 1,
        "pending": 2,
        "settled": 0,
        "in_motion": False,
        "missing": 0,
        "holds": True,
    }
    assert found.document["intake"]["bulk"]["undelivered"] == 1
    assert found.document["waiting"] == 1
    assert found.document["halts"] == {"open": {"user_inactive": 1}, "replaying": 0}
    assert found.document["streams"] == {"outcomes": 3, "halts": 1}
    assert found.document["schema"]["revision"] == found.document["schema"]["needed"]


def test_a_lost_request_shows(
    installation: Installation, client: Client, broker: redis.Redis
) -> None:
    """An entry that somebody deleted is missing from the sum; exit 1."""
    client.publish([client.prepare("report_incident", report())] * 2)
    ((number, _), _) = broker.xrange(NAMES.intake())
    broker.xdel(NAMES.intake(), number)
    drain(installation)
    found = status(installation, "--json")
    assert found.code == 1
    assert found.document["account"]["missing"] == 1
    assert "1 missing" in status(installation).stdout


def test_orphans_show(installation: Installation, client: Client, broker: redis.Redis) -> None:
    """Entries of a consumer that was deleted are never delivered again; they are named; exit 1."""
    client.publish([client.prepare("report_incident", report()) for _ in range(3)])
    make_groups(broker, NAMES)
    broker.xreadgroup(NAMES.group, "dead", {NAMES.intake(): ">"}, count=2)
    broker.xgroup_delconsumer(NAMES.intake(), NAMES.group, "dead")
    found = status(installation, "--json")
    assert found.code == 1
    assert found.document["intake"]["urgent"] == {
        "accepted": 3,
        "undelivered": 1,
        "pending": 0,
        "orphans": 2,
    }


def test_what_a_worker_has_in_hand_is_in_motion(
    installation: Installation, client: Client, broker: redis.Redis
) -> None:
    """Entries that were read and not acknowledged are shown with the process that holds them."""
    client.publish([client.prepare("report_incident", report()) for _ in range(3)])
    make_groups(broker, NAMES)
    broker.xreadgroup(NAMES.group, "holder", {NAMES.intake(): ">"}, count=2)
    found = status(installation, "--json")
    assert found.code == 0
    assert found.document["account"]["in_motion"]
    (holder,) = found.document["workers"]
    assert (holder["name"], holder["pending"]) == ("holder", 2)


@pytest.mark.parametrize(
    ("setting", "url", "name"),
    [
        ("ANDON_BROKER_URL", "redis://:hunter2@127.0.0.1:1/0", "redis"),
        ("ANDON_DATABASE_URL", "postgresql+psycopg://me:hunter2@127.0.0.1:1/andon", "postgresql"),
    ],
)
def test_a_service_out_of_reach_is_named_without_its_password(
    installation: Installation, setting: str, url: str, name: str
) -> None:
    """Exit 3; what the other service says is shown all the same."""
    found = status(installation, "--json", **{setting: url})
    assert found.code == 3
    assert "127.0.0.1:1" in found.stderr
    assert "hunter2" not in found.stderr + found.stdout
    services = found.document["services"]
    assert [each for each, state in services.items() if not state["reachable"]] == [name]
    assert (found.document["tallies"] is None) == (name == "postgresql")
    assert (found.document["intake"] is None) == (name == "redis")


def test_partitions_of_the_audit_that_were_not_made_show(installation: Installation) -> None:
    """How far ahead they are made, and whether records go to the default one meanwhile."""
    made = following(datetime.now(UTC).replace(day=1))
    gone = following(made)
    installation.execute(f"DROP TABLE audit_records_{gone:%Y_%m}")
    record = """
        INSERT INTO audit_records (chain, sequence, at, action, outcome, context, key_id, mac)
        VALUES (7, {}, '{:%Y-%m-02}', 'execute', 'done', '{{}}', 'k', '')
    """
    installation.execute(record.format(1, made), record.format(2, gone))
    found = status(installation, "--json").document["audit"]
    assert found == {"made_until": f"{made:%Y-%m}", "in_default": 1}
    installation.execute(record.format(3, datetime(1999, 1, 1, tzinfo=UTC)))
    said = status(installation).stdout
    assert f"partitions are made until {made:%Y-%m}" in said
    assert "default partition: 2" in said


def test_the_table_says_it_in_words(installation: Installation, client: Client) -> None:
    """People get the figures and one line that says whether the sum comes out."""
    client.publish([client.prepare("report_incident", report(client_id="nobody"))])
    drain(installation)
    found = status(installation)
    assert found.code == 0, found.stderr
    assert "client_not_found" in found.stdout
    assert "1 accepted = 0 done + 1 halted + 0 duplicates + 0 pending" in found.stdout


def codes(found: Finished) -> dict[str, bool]:
    """The troubles that status tells, and whether each is grave."""
    return {each["code"]: each["is_grave"] for each in found.document["troubles"]}


def wait_for_code(installation: Installation, code: str) -> Finished:
    """Ask until this trouble is told, and grave."""

    def asked() -> Finished | None:
        found = status(installation, "--json")
        return found if codes(found).get(code) else None

    return cast("Finished", wait_for(asked, seconds=60, what=code))


@pytest.mark.parametrize("how", ["never started", "killed", "stopped"])
def test_it_is_not_green_while_requests_wait_and_nobody_works(
    installation: Installation, client: Client, tmp_path: Path, how: str
) -> None:
    """Without a worker, after it was killed or stopped: exit 1, with how long the oldest waits."""
    with ExitStack() as stack:
        if how != "never started":
            worker = stack.enter_context(running(installation.environment(), tmp_path))
            client.publish([client.prepare("report_incident", report())])
            wait_for(lambda: installation.rows("SELECT FROM requests"), what="a decision")
            if how == "killed":
                worker.kill()
            else:
                os.killpg(worker.process.pid, signal.SIGSTOP)
        client.publish([client.prepare("report_incident", report()) for _ in range(20)])
        found = wait_for_code(installation, "nobody_asks")
        assert found.code == 1
        assert found.document["oldest_seconds"]["urgent"] > 10
        assert "Nobody works: 20 requests wait" in found.stderr
        assert "✓" not in status(installation).stdout


def test_a_worker_at_work_is_told_without_trouble(
    installation: Installation, client: Client, tmp_path: Path
) -> None:
    """With worker and schedules: when somebody last asked, decided and swept; exit 0."""
    environment = installation.environment()
    with running(environment, tmp_path), running(environment, tmp_path, what="run_schedules"):
        client.publish([client.prepare("report_incident", report())])
        wait_for(lambda: installation.rows("SELECT FROM requests"), what="a decision")

        def at_work() -> Finished | None:
            found = status(installation, "--json")
            assert found.code == 0, found.stderr
            return found if None not in found.document["activity"].values() else None

        found = cast("Finished", wait_for(at_work, what="signs of all"))
        assert not any(codes(found).values())
        assert "nobody_sweeps" not in codes(found)
        kinds = {sign["kind"] for sign in found.document["activity"]["processes"]}
        assert kinds == {"pool", "schedules"}


def test_it_tells_when_the_schedules_do_not_run(installation: Installation, client: Client) -> None:
    """Told as long as nothing waits for them, and grave once something waits beyond patience."""
    found = status(installation, "--json")
    assert (found.code, codes(found)["nobody_sweeps"]) == (0, False)
    follow_up = update(incident_id=None, incident_request={"id": "never"})
    client.publish([client.prepare("update_incident", follow_up)])
    drain(installation)
    installation.execute("UPDATE waiting SET received_at = received_at - interval '2 minutes'")
    found = status(installation, "--json")
    assert found.code == 1
    assert codes(found)["nobody_sweeps"]


def test_a_brake_is_told_with_its_cause(
    installation: Installation, client: Client, tmp_path: Path
) -> None:
    """A worker that may not go on says why in PostgreSQL, for whoever asks elsewhere."""
    installation.execute("UPDATE audit_chains SET head_mac = sha256('garbled')")
    with running(installation.environment(), tmp_path):
        client.publish([client.prepare("report_incident", report())])

        def braked() -> Finished | None:
            found = status(installation, "--json")
            return found if "brake_is_on" in codes(found) else None

        found = cast("Finished", wait_for(braked, seconds=60, what="the brake"))
        assert "was changed, so the chain is not" in found.stderr


def test_a_redis_that_takes_no_writes_is_told(
    installation: Installation, client: Client, broker: redis.Redis
) -> None:
    """A replica, or one at its maxmemory: exit 1, in words."""
    client.publish([client.prepare("report_incident", report())])
    drain(installation)
    try:
        broker.config_set("maxmemory", 1)
        found = status(installation, "--json")
        assert (found.code, codes(found)["no_writes"]) == (1, True)
        assert "OOM" in found.document["broker"]["refuses"]
        assert codes(found)["memory_fills"] is False
        broker.config_set("maxmemory", 0)
        broker.replicaof("127.0.0.1", "1")
        found = status(installation, "--json")
        assert "READONLY" in found.document["broker"]["refuses"]
    finally:
        broker.config_set("maxmemory", 0)
        broker.replicaof("NO", "ONE")


def test_clocks_that_differ_are_told() -> None:
    """By more than a second, in words that say whose is ahead of PostgreSQL's."""
    observed = Observed(
        intake=None,
        broker=None,
        consumers=[],
        figures=None,
        activity=None,
        told={},
        ahead={"PostgreSQL": 0.2, "Redis": -299.0},
        looks_every=5,
        patience=timedelta(seconds=60),
        key_patience=timedelta(0),
    )
    (trouble,) = troubles(observed)
    assert trouble.code == "clocks_differ"
    assert "that of Redis is 5 min behind that of PostgreSQL" in trouble.text
