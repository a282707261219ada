"""Workers stopped and killed under load: nothing lost, nothing doubled, the books balance."""

import os
import signal
from pathlib import Path

import redis

from tests.support.installation import Installation
from tests.support.load import under_load
from tests.support.traffic import Traffic, check_reports
from tests.support.waiting import wait_for
from tests.support.workers import pool_of, running

POOL, BATCH = 2, 50
STOPS = 3
KILLS = 4
CHILD_KILLS = 6


def decided(installation: Installation) -> int:
    """How many reports are done by now."""
    ((count,),) = installation.rows("SELECT count(*) FROM requests")
    return int(count)


def wait_for_progress(installation: Installation, *, by: int = 500) -> None:
    """Wait until the worker is in full swing."""
    before = decided(installation)
    wait_for(lambda: decided(installation) >= before + by, seconds=60, what="progress")


def test_sigterm_under_load_finishes_what_is_in_hand_and_reads_nothing_new(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """The worker ends by itself with code 0, holds nothing any more, and left the rest."""
    traffic = Traffic(broker)
    environment = installation.environment() | {"ANDON_BATCH_SIZE": str(BATCH)}
    with under_load(traffic) as load:
        for _ in range(STOPS):
            with running(environment, tmp_path) as worker:
                wait_for_progress(installation)
                worker.process.send_signal(signal.SIGTERM)
                wait_for(lambda: "shutdown" in worker.output(), what="the signal's arrival")
                before = decided(installation)
                assert worker.process.wait(120) == 0
                # What was in hand, and what was read before the pool heard of it.
                assert decided(installation) - before <= 4 * POOL * BATCH
                assert traffic.unacknowledged() == 0
                assert traffic.left() > 0
                assert decided(installation) == len(traffic.outcomes_by_id())
    with running(environment, tmp_path) as worker:
        traffic.wait_until_empty()
        assert worker.terminate() == 0
    check_reports(installation, traffic, load.ids)
    # Nothing was redelivered, so no outcome was published a second time.
    assert all(len(told) == 1 for told in traffic.outcomes_by_id().values())


def test_kill_9_of_the_whole_worker_under_load_loses_and_doubles_nothing(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """However often main process and pool die together, each request has one effect."""
    traffic = Traffic(broker)
    environment = installation.environment() | {"ANDON_CLAIM_IDLE": "1"}
    in_hand = 0
    with under_load(traffic) as load:
        for _ in range(KILLS):
            with running(environment, tmp_path) as worker:
                wait_for_progress(installation)
                worker.kill()
                in_hand += traffic.unacknowledged()
    assert in_hand > 0, "no kill has met a worker with entries in hand"
    with running(environment, tmp_path) as worker:
        traffic.wait_until_empty()
        assert worker.terminate() == 0
    assert traffic.unacknowledged() == 0
    check_reports(installation, traffic, load.ids)
    assert installation.rows("SELECT FROM halts") == []


def test_kill_9_of_a_pool_process_leaves_its_batch_to_the_others_at_once(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """The main process hands on what a dead child held, long before the claim idle time."""
    traffic = Traffic(broker)
    environment = installation.environment() | {"ANDON_CLAIM_IDLE": "120"}
    with running(environment, tmp_path) as worker:
        with under_load(traffic) as load:
            for number in range(CHILD_KILLS):
                wait_for_progress(installation)
                children = wait_for(lambda: pool_of(worker), what="pool")
                os.kill(children[number % len(children)], signal.SIGKILL)
        traffic.wait_until_empty(seconds=60)
        assert worker.process.poll() is None
        assert worker.terminate() == 0
    assert traffic.unacknowledged() == 0
    check_reports(installation, traffic, load.ids)
    assert installation.rows("SELECT FROM halts") == []
