"""A broker that refuses is an outage like any other: waited for, and told in words."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from tests.support.installation import Installation
from tests.support.requests import event, report
from tests.support.servers import Servers
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.support.workers import WorkerProcess, running

FAULTY = """
from worker import intake_step
from worker.run import run_worker
from worker.settings import load_settings

def broken(self):
    raise RuntimeError("a bug")

intake_step.Ringer.start = broken
run_worker(load_settings())
"""
START = (
    "from worker.settings import load_settings; from worker.run import run_worker;"
    " run_worker(load_settings())"
)
PASSWORD = "password-of-the-refused"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A way in which Redis refuses, and how that ends."""

    begin: Callable[[redis.Redis], object]
    end: Callable[[redis.Redis], object]
    words: str


def _user(*rules: str) -> Callable[[redis.Redis], object]:
    return lambda client: client.execute_command("ACL", "SETUSER", "refused", *rules)


REFUSALS = {
    "a replica": Refusal(
        lambda client: client.replicaof("127.0.0.1", "1"),
        lambda client: client.replicaof("NO", "ONE"),
        "READONLY",
    ),
    "another password": Refusal(
        _user("resetpass", ">another"), _user("resetpass", f">{PASSWORD}"), "WRONGPASS"
    ),
    "no right at all": Refusal(_user("-@all"), _user("+@all"), "NOPERM"),
    "no right to read": Refusal(_user("-xreadgroup"), _user("+xreadgroup"), "NOPERM"),
    "no right to listen": Refusal(_user("-brpop"), _user("+brpop"), "NOPERM"),
}


def url_of_user(servers: Servers) -> str:
    """The URL of the tests' Redis for a user whose rights are taken away."""
    place = urlsplit(servers.redis_url)
    return f"redis://refused:{PASSWORD}@{place.hostname}:{place.port}/0"


def goes_on(installation: Installation, traffic: Traffic, name: str) -> None:
    """What is published is decided."""
    wait_for(
        lambda: traffic.put(event("report_incident", report(), id=name)), what="a broker that takes"
    )
    wait_for(
        lambda: installation.rows("SELECT FROM requests WHERE request_id = :name", name=name),
        seconds=90,
        what="a decision",
    )


@pytest.mark.parametrize("when", ["before it starts", "while it runs"])
@pytest.mark.parametrize("how", REFUSALS)
def test_a_redis_that_refuses_is_waited_for(
    servers: Servers,
    installation: Installation,
    broker: redis.Redis,
    tmp_path: Path,
    how: str,
    when: str,
) -> None:
    """The worker lives, says in words what is the matter, and goes on by itself; no traceback."""
    refusal, traffic = REFUSALS[how], Traffic(broker)
    _user("reset", "on", f">{PASSWORD}", "~*", "&*", "+@all")(broker)
    environment = installation.environment() | {"ANDON_BROKER_URL": url_of_user(servers)}
    try:
        if when == "before it starts":
            refusal.begin(broker)
        # `running` waits for a worker that is ready; this one may not get there.
        with running(environment, tmp_path, what="refused", code=START) as worker:
            if when == "while it runs":
                goes_on(installation, traffic, "before")
                refusal.begin(broker)
                _disconnect(broker)
                if how != "a replica":
                    traffic.put(event("report_incident", report(), id="meanwhile"))
            said = wait_for(lambda: _told(worker, refusal.words), seconds=90, what=refusal.words)
            assert said
            refusal.end(broker)
            goes_on(installation, traffic, "after")
            assert worker.process.poll() is None
            assert "Traceback" not in worker.output()
            assert worker.terminate() == 0
    finally:
        broker.replicaof("NO", "ONE")
        broker.execute_command("ACL", "DELUSER", "refused")


def _disconnect(broker: redis.Redis) -> None:
    """Let everybody sign in again; a connection keeps the password that it came with."""
    broker.execute_command("CLIENT", "KILL", "USER", "refused")


def _told(worker: WorkerProcess, words: str) -> bool:
    assert worker.process.poll() is None, worker.output()
    return f"({words})" in worker.output()


def test_a_rabbitmq_that_refuses_is_waited_for(installation: Installation, tmp_path: Path) -> None:
    """A wrong password is told in words, and ends no worker."""
    url = os.environ.get("ANDON_TEST_AMQP_URL")
    if not url:
        pytest.skip("ANDON_TEST_AMQP_URL is not set")
    place = urlsplit(url)
    wrong = f"amqp://guest:wrong@{place.hostname}:{place.port or 5672}/"
    environment = installation.environment() | {"ANDON_BROKER_URL": wrong}
    with running(environment, tmp_path, what="refused", code=START) as worker:
        wait_for(lambda: _told(worker, "ACCESS_REFUSED"), seconds=60, what="words")
        assert "Traceback" not in worker.output()


def test_a_worker_that_ends_by_a_fault_says_so(installation: Installation, tmp_path: Path) -> None:
    """Its exit code is not 0, so that whoever keeps it running sees it."""
    with running(installation.environment(), tmp_path, what="faulty", code=FAULTY) as worker:
        assert worker.process.wait(60) != 0
