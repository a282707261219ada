"""A worker is killed at every point between two steps, and nothing of what it had in hand is lost.

The points enumerate the way of a batch (`tasks.pipeline.run`, `tasks.drain`), that of an entry that
runs alone, and that of requests that waited (`tasks.sweep`), whose outcomes no entry carries.
"""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.support.installation import Installation
from tests.support.requests import event, report, update
from tests.support.traffic import Traffic, check_reports, read_books
from tests.support.waiting import wait_for
from tests.support.workers import WorkerProcess, running

# Lets processes kill themselves right before or after the step that the file ARMED names; each line
# of it is one death.
MORTAL = """
import os, signal
from pathlib import Path
import tasks.drain, tasks.pipeline, tasks.sweep
from tasks.pipeline import Pipeline
from worker.redis_intake import RedisIntake
from worker.settings import load_settings

ARMED = Path(os.environ["ARMED"])

def die_if_armed(point):
    try:
        first, _, rest = ARMED.read_text().partition("\\n")
        if first != point:
            return
        ARMED.rename(ARMED.with_name(f"{ARMED.name}.{os.getpid()}"))  # only one process succeeds
    except FileNotFoundError:
        return
    if rest:
        draft = ARMED.with_name(f"{ARMED.name}.draft")
        draft.write_text(rest)
        draft.rename(ARMED)
    os.kill(os.getpid(), signal.SIGKILL)

def die_after(owner, name):
    step = getattr(owner, name)

    def mortal(*args, **kwargs):
        result = step(*args, **kwargs)
        if result != []:  # where nothing was read, nothing can be lost
            die_if_armed("after " + name)
        return result

    setattr(owner, name, mortal)

def die_before(owner, name):
    step = getattr(owner, name)

    def mortal(*args, **kwargs):
        die_if_armed("before " + name)
        return step(*args, **kwargs)

    setattr(owner, name, mortal)

for name in ("decode", "claim", "gather", "decide", "conclude", "write_effects", "write_verdicts",
             "write_audit", "run"):
    die_after(tasks.pipeline, name)
die_before(tasks.pipeline, "decode")
die_after(tasks.drain, "begin_alone")
for name in ("mark_alone", "read_ripe", "take_outbox", "delete_outbox"):
    die_after(tasks.sweep, name)
die_after(Pipeline, "_commit")
for name in ("receive", "finish", "publish"):
    die_before(RedisIntake, name)
    die_after(RedisIntake, name)
"""
MORTAL_WORKER = f"{MORTAL}from worker.run import run_worker; run_worker(load_settings())"
MORTAL_SCHEDULES = (
    f"{MORTAL}from worker.schedules import run_schedules; run_schedules(load_settings())"
)

OF_A_BATCH = (
    "before receive",
    "after receive",
    "before decode",
    "after decode",
    "after claim",
    "after gather",
    "after decide",
    "after conclude",
    "after write_effects",
    "after write_verdicts",
    "after write_audit",
    "after run",
    "after _commit",
    "before finish",
    "after finish",
)
"""Among them "after run" is right before the commit, "after _commit" right after it."""

OF_ONE_ALONE = ("before decode", "after begin_alone", "after _commit", "after finish")

OF_A_SWEEP = (
    "after mark_alone",
    "after read_ripe",
    "after claim",
    "after run",
    "after _commit",
    "after take_outbox",
    "before publish",
    "after publish",
    "after delete_outbox",
)


class Death:
    """Where a process of the worker is to die next."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "armed"

    def comes(self, *points: str) -> None:
        """Let one process die at each of *points*, one after the other."""
        draft = self.file.with_name("armed.new")
        draft.write_text("\n".join(points))
        draft.rename(self.file)

    def has_come(self) -> bool:
        """Whether all of them have died."""
        return not self.file.exists() and not self.file.with_name("armed.draft").exists()


@contextmanager
def mortal_worker(
    installation: Installation, directory: Path, **settings: str
) -> Iterator[tuple[WorkerProcess, Death]]:
    """A worker that can be told where to die, and that takes over after a second."""
    death = Death(directory)
    environment = {
        **installation.environment(),
        "ANDON_CLAIM_IDLE": "1",
        "ARMED": str(death.file),
        **settings,
    }
    with running(environment, directory, code=MORTAL_WORKER) as worker:
        yield worker, death


def a_bit_of_everything(name: str) -> list[bytes]:
    """Two reports, a follow-up, a halt, a duplicate, a message that is no request."""
    first = event("report_incident", report(), id=f"{name}/1")
    follow_up = update(incident_id=None, incident_request={"id": f"{name}/1"})
    return [
        first,
        event("report_incident", report(), id=f"{name}/2"),
        event("update_incident", follow_up, id=f"{name}/update"),
        event("report_incident", report(client_id="nobody"), id=f"{name}/halt"),
        first,
        b"no event",
    ]


def check_everything(
    installation: Installation, traffic: Traffic, names: tuple[str, ...], foreign: list[str]
) -> None:
    """Each request of each batch has one effect, one record, its outcomes and, if halted, one halt;
    *foreign* are the entries of the messages that are no request.
    """
    count = len(names)
    opened = {i for (i,) in installation.rows("SELECT request_id FROM incidents")}
    assert opened == {f"{name}/{number}" for name in names for number in (1, 2)}
    assert len(installation.rows("SELECT FROM incidents")) == 2 * count
    changed = installation.rows("SELECT request_id FROM incident_updates")
    assert sorted(i for (i,) in changed) == sorted(f"{name}/update" for name in names)
    kept = installation.rows("SELECT coalesce(request_id, split_part(entry, '#', 1)) FROM halts")
    assert sorted(i for (i,) in kept) == sorted([*(f"{name}/halt" for name in names), *foreign])
    records = dict(
        installation.rows(
            "SELECT outcome, count(*) FROM audit_records WHERE entry IS NOT NULL GROUP BY outcome"
        )
    )
    assert records == {"done": 3 * count, "halted": 2 * count, "duplicate": count}

    by_id = traffic.outcomes_by_id()
    assert {key: told[0]["outcome"] for key, told in by_id.items()} == {
        f"{name}/{part}": "halted" if part == "halt" else "done"
        for name in names
        for part in ("1", "2", "update", "halt")
    }
    for told in by_id.values():
        assert all(one == told[0] for one in told)
    by_entry = traffic.outcomes_by_entry()
    assert all(by_entry[entry][0]["request"] == {"entry": entry} for entry in foreign)
    on_halt_stream = {halt["entry"] for halt in traffic.halts()}
    assert on_halt_stream == {o["entry"] for o in traffic.outcomes() if "halt" in o["data"]}
    assert set(foreign) <= on_halt_stream
    assert len(on_halt_stream) == 2 * count

    books = read_books(installation, traffic)
    assert (books.done, books.halted, books.duplicates, books.pending) == (
        3 * count,
        2 * count,
        count,
        0,
    )
    assert books.balanced


def test_death_between_any_two_steps_of_a_batch_loses_and_doubles_nothing(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """A process killed after any step of a batch leaves it to others, who end it exactly once."""
    traffic = Traffic(broker)
    foreign = []
    with mortal_worker(installation, tmp_path) as (worker, death):
        for point in OF_A_BATCH:
            death.comes(point)
            foreign.append(traffic.put(*a_bit_of_everything(point))[-1])
            wait_for(death.has_come, what=f"death {point}")
            traffic.wait_until_empty()
        assert worker.terminate() == 0
    assert traffic.unacknowledged() == 0
    check_everything(installation, traffic, OF_A_BATCH, foreign)


def test_death_of_an_entry_run_alone_loses_and_doubles_nothing(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """An entry whose processes died twice runs alone, and survives a third death there."""
    traffic = Traffic(broker)
    with mortal_worker(installation, tmp_path) as (worker, death):
        for point in OF_ONE_ALONE:
            death.comes("after receive", "after receive", point)
            traffic.put(event("report_incident", report(), id=point))
            wait_for(death.has_come, what=f"death {point}")
            traffic.wait_until_empty()
        assert worker.terminate() == 0
    assert traffic.unacknowledged() == 0
    check_reports(installation, traffic, OF_ONE_ALONE)
    assert installation.rows("SELECT entry FROM attempts") == []


def test_death_of_a_sweeper_loses_and_doubles_nothing(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """What waited is decided once and its outcomes published, wherever the sweeper dies."""
    traffic = Traffic(broker)
    environment = installation.environment()
    with running(environment, tmp_path) as worker:
        for point in OF_A_SWEEP:
            traffic.put(*(follow_up(f"{point}/{kind}") for kind in ("good", "bad")))
        traffic.wait_until_empty()
        for point in OF_A_SWEEP:
            traffic.put(
                event("report_incident", report(), id=f"{point}/good"),
                event("report_incident", report(client_id="nobody"), id=f"{point}/bad"),
            )
            traffic.wait_until_empty()
            die_sweeping(environment, tmp_path, point)
        with running(environment, tmp_path, what="run_schedules"):
            wait_for(lambda: len(traffic.outcomes_by_id()) == 4 * len(OF_A_SWEEP), what="outcomes")
            wait_for(lambda: not installation.rows("SELECT FROM outbox"), what="empty outbox")
        assert worker.terminate() == 0

    by_id = traffic.outcomes_by_id()
    halted = {halt["data"]["request"]["id"] for halt in traffic.halts()}
    for point in OF_A_SWEEP:
        good, bad = by_id[f"after {point}/good"], by_id[f"after {point}/bad"]
        assert {one["outcome"] for one in good} == {"done"}
        assert {one["halt"]["reason"] for one in bad} == {"incident_not_found"}
        assert len({one["halt"]["id"] for one in bad}) == 1
        assert {f"{point}/bad", f"after {point}/bad"} <= halted
    changed = [i for (i,) in installation.rows("SELECT request_id FROM incident_updates")]
    assert sorted(changed) == sorted(f"after {point}/good" for point in OF_A_SWEEP)
    books = read_books(installation, traffic)
    assert books.balanced, books
    assert (books.done, books.halted, books.pending) == (
        2 * len(OF_A_SWEEP),
        2 * len(OF_A_SWEEP),
        0,
    )


def follow_up(report_id: str) -> bytes:
    """An update of the incident that the report of this id opens."""
    data = update(incident_id=None, incident_request={"id": report_id})
    return event("update_incident", data, id=f"after {report_id}")


def die_sweeping(environment: Mapping[str, str], directory: Path, point: str) -> None:
    """Run schedules until they have died at *point*."""
    death = Death(directory)
    death.comes(point)
    mortal = {**environment, "ARMED": str(death.file)}
    with running(mortal, directory, what="run_schedules", code=MORTAL_SCHEDULES) as schedules:
        assert schedules.process.wait(120) == -signal.SIGKILL, point
    assert death.has_come(), point
