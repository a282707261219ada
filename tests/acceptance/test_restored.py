"""After a restore of PostgreSQL no number is given out twice, and Redis may be the older one."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from console.embedded import Postgres, Redis
from console.restored import MARGIN
from migrations.runner import migrate
from models.streams import EVENT, KEY, SIGNATURE, StreamNames
from producers.client import Client
from tests.support.draining import drain
from tests.support.installation import AUDIT_KEY, Installation, make_installation
from tests.support.rabbitmq import rabbitmq_queues
from tests.support.requests import KEY_ID, SECRET, SOURCE, event, report, update
from tests.support.shell import Finished, andon
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.support.workers import running

NAMES = StreamNames()
START = (
    "from worker.settings import load_settings; from worker.run import run_worker;"
    " run_worker(load_settings())"
)


@dataclass(slots=True)
class Stage:
    """An installation on servers of its own, whose directories can be copied and put back."""

    installation: Installation
    files: Path
    postgres: Postgres
    redis: Redis
    traffic: Traffic

    def run(self, *arguments: str) -> Finished:
        """Run a command."""
        made = self.installation
        return andon(*arguments, settings=made.environment(), directory=made.directory)

    def decide(self, *events: bytes) -> list[dict[str, object]]:
        """Have *events* decided in this process; the outcomes' data, in order."""
        known = len(self.traffic.outcomes())
        self.traffic.put(*events)
        drain(self.installation)
        return [outcome["data"] for outcome in self.traffic.outcomes()[known:]]

    def copy_postgres(self, place: Path) -> None:
        """Back PostgreSQL up."""
        self._stop_postgres()
        _copy(self.files, place)
        self.postgres.start()

    def put_back_postgres(self, place: Path) -> None:
        """Restore that backup."""
        self._stop_postgres()
        shutil.rmtree(self.files)
        _copy(place, self.files)
        self.postgres.start()

    def _stop_postgres(self) -> None:
        self.installation.pipeline.engine.dispose()
        self.installation.superuser.dispose()
        self.postgres.stop()


def _copy(source: Path, target: Path) -> None:
    """Copy a directory with the owners of its files."""
    subprocess.run(["cp", "-a", source, target], check=True)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Everything started, with the tests' organisation loaded."""
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)  # root's server runs as somebody else
    postgres = Postgres(tmp_path / "postgres", durable=False)
    cache = Redis(tmp_path / "redis", appendfsync="everysec")
    urls = postgres.start()
    try:
        url = cache.start()
        migrate(urls.owner, worker_role="andon_worker", audit_key=AUDIT_KEY)
        installation = make_installation(urls, url, tmp_path)
        client = redis.Redis.from_url(url)
        yield Stage(installation, tmp_path / "postgres", postgres, cache, Traffic(client))
        client.close()
        installation.close()
    finally:
        cache.stop()
        postgres.stop()


def incident_of(outcome: dict[str, object]) -> int:
    """The number of the incident that an outcome names."""
    assert outcome["outcome"] == "done", outcome
    result = outcome["result"]
    assert isinstance(result, dict)
    return int(result["incident_id"])


def test_numbers_told_before_a_restore_are_never_given_out_again(
    stage: Stage, tmp_path: Path
) -> None:
    """A follow-up on an incident that the restore forgot finds none, and new numbers are beyond.

    Until `andon restored` the worker waits, and status says why. The audit says who ran it.
    """
    first = incident_of(stage.decide(event("report_incident", report(), id="kept"))[0])
    stage.copy_postgres(tmp_path / "backup")
    lost = incident_of(stage.decide(event("report_incident", report(), id="forgotten"))[0])
    assert lost == first + 1
    (halted,) = stage.decide(
        event("report_incident", report(reporter_user_id="leaver"), id="refused")
    )
    stage.put_back_postgres(tmp_path / "backup")

    told = stage.run("status", "--json")
    assert told.code == 1
    assert "put_back" in [trouble["code"] for trouble in told.document["troubles"]]
    with running(stage.installation.environment(), tmp_path) as worker:
        stage.traffic.put(
            event("report_incident", report(), id="new"),
            event("update_incident", update(incident_id=str(lost)), id="follow-up"),
        )
        wait_for(lambda: "andon restored" in worker.output(), what="a worker that says so")
        assert stage.installation.rows("SELECT FROM incidents WHERE request_id = 'new'") == []

        rehearsed = stage.run("restored", "--dry-run", "--json")
        assert rehearsed.code == 0, rehearsed.stderr
        assert not rehearsed.document["changed"]
        done = stage.run("restored")
        assert done.code == 0, done.stderr
        stage.traffic.wait_until_empty()
    outcomes = stage.traffic.outcomes_by_id()
    assert incident_of(outcomes["new"][-1]) == lost + MARGIN + 1
    assert outcomes["follow-up"][-1]["halt"]["reason"] == "incident_not_found"
    assert int(outcomes["follow-up"][-1]["halt"]["id"]) > int(halted["halt"]["id"])  # type: ignore[index]  # a halt
    ((context,),) = stage.installation.rows(
        "SELECT context FROM audit_records WHERE subject = 'database:restored'"
    )
    assert {"account", "host", "heads", "told"} <= context.keys()
    assert stage.run("audit", "verify").code == 0
    codes = [each["code"] for each in stage.run("status", "--json").document["troubles"]]
    assert "put_back" not in codes


def test_without_outcomes_somebody_has_to_say_how_far(stage: Stage) -> None:
    """Where the stream is gone too, nothing is guessed: exit 2; with a margin it goes on."""
    stage.decide(event("report_incident", report()))
    stage.traffic.client.delete(NAMES.outcomes)
    refused = stage.run("restored")
    assert refused.code == 2
    assert "--margin" in refused.stderr
    done = stage.run("restored", "--margin", "5000", "--json")
    assert done.code == 0, done.stderr
    assert done.document["numbers"]["incidents_incident_id_seq"]["beyond"] == 5_001
    (outcome,) = stage.decide(event("report_incident", report()))
    assert incident_of(outcome) == 5_002


def test_an_older_redis_doubles_nothing_and_the_sum_is_begun_anew(stage: Stage) -> None:
    """Decided entries that come again are duplicates of themselves; what is lost is settled."""
    kept = event("report_incident", report(), id="kept")
    stage.traffic.put(kept)
    entries = stage.traffic.client.xrange(NAMES.intake())
    drain(stage.installation)
    stage.decide(*(event("report_incident", report(), id=f"later-{each}") for each in range(3)))
    stage.traffic.client.flushall()  # the backup held the first entry alone
    for number, fields in entries:
        stage.traffic.client.xadd(
            NAMES.intake(),
            {name: fields[name.encode()] for name in (EVENT, KEY, SIGNATURE)},
            id=number,
        )
    drain(stage.installation)
    assert len(stage.installation.rows("SELECT FROM incidents")) == 4
    broken = stage.run("status", "--json")
    assert broken.code == 1
    assert broken.document["account"]["missing"] == -3

    assert stage.run("status", "--settle").code == 2
    settled = stage.run("status", "--settle", "--reason", "Redis came back older")
    assert settled.code == 0, settled.stderr
    found = stage.run("status", "--json")
    assert found.code == 0, found.stderr
    assert found.document["account"]["holds"]
    assert found.document["settlement"]["reason"] == "Redis came back older"
    assert "Redis came back older" in stage.run("status").stdout
    ((context,),) = stage.installation.rows(
        "SELECT context FROM audit_records WHERE subject = 'account:intake'"
    )
    assert context["entries"] == -3
    assert {"account", "host"} <= context.keys()
    stage.decide(event("report_incident", report(), id="one-more"))
    assert stage.run("status", "--json").document["account"]["holds"]


def test_what_is_in_motion_is_not_settled_by_chance(stage: Stage) -> None:
    """While a process has entries in hand, what is missing is not known: exit 2, unless named."""
    stage.decide(event("report_incident", report()))
    stage.traffic.put(event("report_incident", report()))
    stage.traffic.client.xreadgroup(NAMES.group, "holder", {NAMES.intake(): ">"})
    stage.traffic.client.xadd(NAMES.intake(), {EVENT: "x"})
    (lost,) = stage.traffic.client.xrevrange(NAMES.intake(), count=1)
    stage.traffic.client.xdel(NAMES.intake(), lost[0])
    refused = stage.run("status", "--settle", "--reason", "x")
    assert (refused.code, "in motion" in refused.stderr) == (2, True)
    assert stage.run("status", "--settle", "--reason", "x", "--even-in-motion").code == 0
    assert stage.run("status", "--json").document["account"]["missing"] == 0


def test_on_rabbitmq_what_was_told_is_read_as_well(
    installation: Installation, tmp_path: Path
) -> None:
    """A database that has given out less than outcomes tell: the worker waits, then goes beyond."""
    with rabbitmq_queues() as (url, names):
        environment = installation.environment() | {
            "ANDON_BROKER_URL": url,
            "ANDON_NAMESPACE": names.namespace,
        }

        def run(*arguments: str) -> Finished:
            return andon(*arguments, settings=environment, directory=tmp_path)

        with (
            Client(url, source=SOURCE, key_id=KEY_ID, secret=SECRET, names=names) as client,
            running(environment, tmp_path) as worker,
        ):
            position = client.position()
            first = client.prepare("report_incident", report(), id="first")
            client.publish([first])
            next(iter(client.wait([first.identity], since=position, timeout=60)))
            worker.kill()
            installation.execute(
                "DELETE FROM incidents",
                "DELETE FROM requests",
                "SELECT setval('incidents_incident_id_seq', 1, false)",
            )
            told = run("status", "--json")
            assert told.code == 1
            assert "put_back" in [each["code"] for each in told.document["troubles"]]
            client.publish([client.prepare("report_incident", report(), id="second")])
            found = installation.rows
            with running(environment, tmp_path, what="again", code=START) as again:
                wait_for(lambda: "andon restored" in again.output(), what="a worker that waits")
                assert run("restored").code == 0
                wait_for(lambda: found("SELECT FROM incidents"), seconds=60, what="a decision")
    assert found("SELECT incident_id FROM incidents") == [(MARGIN + 2,)]
