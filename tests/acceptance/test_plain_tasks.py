"""The four procedures as plain Celery tasks, called as a foreign program would."""

import base64
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from celery import Celery

from models.signatures import sign
from tasks.plain import entry_of
from tests.support.installation import Installation
from tests.support.requests import (
    KEY_ID,
    SECRET,
    communication,
    escalation,
    event,
    report,
    update,
)
from tests.support.traffic import Traffic, read_books
from tests.support.waiting import wait_for
from tests.support.workers import running

OPENED = {"incident_id": None, "incident_request": {"id": "opens"}}


class Caller:
    """A program that speaks Celery and knows Andon's queue, and nothing else of Andon."""

    def __init__(self, app: Celery, queue: str) -> None:
        self._app = app
        self._queue = queue

    def send(self, procedure: str, message: bytes, *, secret: bytes = SECRET) -> str:
        """Send one signed event, and return the entry that its task has for Andon."""
        task_id = str(uuid.uuid4())
        args = (message.decode(), KEY_ID, sign(message, secret))
        self.call(f"andon.{procedure}", *args, task_id=task_id)
        return entry_of(task_id, *args)

    def call(self, name: str, *args: object, task_id: str, **kwargs: object) -> None:
        """Call a task with anything, under any id."""
        self._app.send_task(name, args=args, kwargs=kwargs, queue=self._queue, task_id=task_id)


@contextmanager
def caller(installation: Installation) -> Iterator[Caller]:
    """A caller, whose connections are closed afterwards."""
    url = installation.settings.broker_url.get_secret_value()
    with Celery("elsewhere", broker=url, set_as_current=False) as app:
        yield Caller(app, f"{installation.settings.namespace}:tasks")


def test_plain_tasks_are_another_door_to_the_same_pipeline(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """All four run, a bad signature halts, and one identity by both doors has one effect."""
    traffic = Traffic(broker)
    with running(installation.environment(), tmp_path) as worker, caller(installation) as door:
        opening = event("report_incident", report(), id="opens")
        door.send("report_incident", opening)
        wait_for(lambda: "opens" in traffic.outcomes_by_id(), what="the report's outcome")

        door.send("update_incident", event("update_incident", update(**OPENED), id="updates"))
        door.send(
            "submit_escalation", event("submit_escalation", escalation(**OPENED), id="escalates")
        )
        door.send(
            "record_communication",
            event("record_communication", communication(**OPENED), id="records"),
        )
        halts = event("report_incident", report(client_id="nobody"), id="halts")
        door.send("report_incident", halts)
        forged = door.send("report_incident", event("report_incident", report()), secret=b"x" * 16)
        garbage = door.send("report_incident", b"not JSON")
        # The event itself says what it asks for, whichever task carries it.
        door.send("update_incident", event("report_incident", report(), id="by another task"))

        traffic.put(opening, event("report_incident", report(), id="intake first"))
        traffic.wait_until_empty()
        again = event("report_incident", report(title="something else"), id="intake first")
        conflict = door.send("report_incident", again)
        wait_for(lambda: conflict in traffic.outcomes_by_entry(), what="the last outcome")
        wait_for(lambda: len(traffic.outcomes_by_entry()) == 10, what="all outcomes")
        assert worker.terminate() == 0

    by_id, by_entry = traffic.outcomes_by_id(), traffic.outcomes_by_entry()
    for done in ("updates", "escalates", "records", "by another task"):
        assert [one["outcome"] for one in by_id[done]] == ["done"], done
    assert by_id["halts"][0]["halt"]["reason"] == "client_not_found"
    assert by_entry[forged][0]["request"] == {"entry": forged}
    assert by_entry[forged][0]["halt"]["reason"] == "unauthenticated"
    assert by_entry[garbage][0]["halt"]["reason"] == "malformed"
    assert by_entry[conflict][0]["halt"]["reason"] == "idempotency_conflict"
    assert len(by_id["opens"]) == 2
    assert by_id["opens"][0] == by_id["opens"][1]
    assert len(installation.rows("SELECT FROM incidents")) == 3
    assert {halt["entry"] for halt in traffic.halts()} >= {forged, garbage, conflict}
    doors = dict(installation.rows("SELECT door, sum(done + halted) FROM tallies GROUP BY door"))
    assert doors == {"task": 9, "intake": 1}
    books = read_books(installation, traffic)
    assert (books.accepted, books.done, books.duplicates) == (2, 1, 1)
    assert books.balanced, books


def test_a_plain_task_survives_its_process(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """A task whose pool process is killed runs again, and its effect stays one."""
    traffic = Traffic(broker)
    marker = tmp_path / "died"
    environment = installation.environment() | {"DIED": os.fspath(marker)}
    with running(environment, tmp_path, code=DIES_ONCE) as worker, caller(installation) as door:
        door.send("report_incident", event("report_incident", report(), id="r1"))
        wait_for(lambda: "r1" in traffic.outcomes_by_id(), what="outcome")
        assert marker.exists()
        assert worker.terminate() == 0
    assert [i for (i,) in installation.rows("SELECT request_id FROM incidents")] == ["r1"]
    assert installation.rows("SELECT done, duplicates FROM tallies") == [(1, 0)]


def test_no_caller_can_make_a_task_come_back_for_ever(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """Whatever the arguments and the id, a task is decided or halted; none takes another's place.

    Of what is not even a task of Andon's, nothing that it holds is logged.
    """
    traffic = Traffic(broker)
    name, title = "andon.report_incident", "Checkout of ACME is down"
    first, second = (event("report_incident", report(), id=each) for each in ("first", "second"))
    faulty = [event("report_incident", report(severity="P9"), id=f"faulty{n}") for n in range(2)]
    with running(installation.environment(), tmp_path) as worker, caller(installation) as door:
        door.call(name, first.decode(), {"a": 1}, "00", task_id="no text")
        door.call(name, task_id="nothing")
        door.call(name, first.decode(), KEY_ID, "", "more", task_id="too much")
        door.call(name, task_id="unknown", message=title)
        door.call(name, b"not JSON".decode(), KEY_ID, "00", task_id="i" * 40_000)
        for message in (first, second, *faulty):
            door.call(name, message.decode(), KEY_ID, sign(message, SECRET), task_id="same")
            door.call(name, message.decode(), KEY_ID, "forged", task_id="same")
        door.call("andon.reprot_incident", title, KEY_ID, "00", task_id="not registered")
        wait_for(lambda: len(traffic.outcomes()) >= 13, what="thirteen outcomes")
        door.send("report_incident", event("report_incident", report(), id="last"))
        wait_for(lambda: "last" in traffic.outcomes_by_id(), what="the last outcome")
        wait_for(lambda: "reprot_incident" in worker.output(), what="a line in the log")
        assert worker.terminate() == 0
        assert title not in worker.output()
    reasons = installation.rows(
        "SELECT reason, count(*) FROM halts GROUP BY reason ORDER BY reason"
    )
    assert reasons == [("invalid_input", 2), ("malformed", 5), ("unauthenticated", 4)]
    assert installation.rows("SELECT request_id FROM incidents ORDER BY request_id") == [
        ("first",),
        ("last",),
        ("second",),
    ]
    assert installation.rows("SELECT sum(done), sum(halted), sum(duplicates) FROM tallies") == [
        (3, 11, 0)
    ]


# A worker whose first process to commit anything is killed before it can publish.
DIES_ONCE = """
import os, signal
from pathlib import Path
from tasks.pipeline import Pipeline
from worker.run import run_worker
from worker.settings import load_settings

commit = Pipeline._commit

def commit_and_die_once(*args, **kwargs):
    verdicts = commit(*args, **kwargs)
    try:
        Path(os.environ["DIED"]).touch(exist_ok=False)
    except FileExistsError:
        return verdicts
    os.kill(os.getpid(), signal.SIGKILL)

Pipeline._commit = commit_and_die_once
run_worker(load_settings())
"""


def _envelope(headers: object, body: bytes = b"[[], {}, {}]") -> str:
    """A message of Celery's queue on Redis, as a program could write it that means no good."""
    tag = str(uuid.uuid4())
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": {
                "correlation_id": tag,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "andon:tasks"},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": tag,
            },
        }
    )


def test_no_message_of_the_queue_stops_the_worker(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """Whatever its headers and body are: it is gone afterwards, and the intake goes on."""
    named = {"task": "andon.report_incident", "id": "x"}
    envelopes = [
        _envelope({"task": {}, "id": "x"}),
        _envelope(named | {"id": {}}),
        _envelope(named | {"id": ["x"]}),
        _envelope({"task": "andon.report_incident"}),
        _envelope(None),
        _envelope(named, b"[]"),
        _envelope(named, b"{"),
        _envelope(named, b"[[" + b"[" * 900 + b"]" * 900 + b"], {}, {}]"),
        _envelope({"task": "unregistered", "id": "x"}),
    ]
    traffic = Traffic(broker)
    with running(installation.environment(), tmp_path) as worker:
        for number, message in enumerate(envelopes):
            broker.lpush("andon:tasks", message)
            traffic.put(event("report_incident", report(), id=f"r{number}"))
            traffic.wait_until_empty()
            wait_for(lambda: not broker.llen("andon:tasks"), what="empty queue")
            wait_for(lambda: not broker.hlen("unacked"), what="nothing unacknowledged")
        assert worker.process.poll() is None
        assert worker.output().count("ready") == 1
        assert worker.terminate() == 0
    assert len(installation.rows("SELECT FROM incidents")) == len(envelopes)


def test_a_plain_task_waits_for_its_key_in_the_intake(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """A key that this machine gets a moment later: the request is done, and nothing has halted."""
    traffic = Traffic(broker)
    environment = {**installation.environment(), "ANDON_KEY_PATIENCE": "120"}
    registry = installation.settings.producers_file
    later = registry.read_text().replace(KEY_ID, "later-1")
    with running(environment, tmp_path) as worker, caller(installation) as door:
        message = event("report_incident", report(), id="early")
        signature = sign(message, SECRET)
        door.call(
            "andon.report_incident", message.decode(), "later-1", signature,
            task_id=str(uuid.uuid4()),
        )  # fmt: skip
        wait_for(lambda: traffic.left() == 1, what="the request, in the intake")
        registry.write_text(later)
        traffic.wait_until_empty()
        assert worker.terminate() == 0
    assert [each["outcome"] for each in traffic.outcomes_by_id()["early"]] == ["done"]
    assert installation.rows("SELECT FROM halts") == []
