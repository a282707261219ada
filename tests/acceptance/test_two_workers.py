"""Two workers on one intake, as on two machines."""

from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path

import redis

from tests.support.installation import Installation
from tests.support.requests import event, report
from tests.support.traffic import Traffic, check_reports
from tests.support.workers import WorkerProcess, running

REQUESTS = 3_000

# A worker that writes down which entries it has finished.
WITNESSED_WORKER = """
import os
from models.entries import place_of
from worker.redis_intake import RedisIntake
from worker.run import run_worker
from worker.settings import load_settings

finish = RedisIntake.finish

def witnessed(intake, done):
    finish(intake, done)
    with open(os.environ["FINISHED"], "a") as file:
        file.writelines(place_of(delivery.entry) + "\\n" for delivery, _ in done)

RedisIntake.finish = witnessed
run_worker(load_settings())
"""


def test_two_workers_share_the_load_and_decide_each_entry_once(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """Both take a fair part of one intake, and no entry is finished by both."""
    traffic = Traffic(broker)
    ids = [f"r{number}" for number in range(REQUESTS)]
    places = [tmp_path / name for name in ("one", "two")]
    for place in places:
        place.mkdir()

    def worker(place: Path) -> AbstractContextManager[WorkerProcess]:
        own = {"FINISHED": str(place / "finished"), "ANDON_BATCH_SIZE": "20"}
        environment = installation.environment() | own | {"ANDON_CONCURRENCY": "1"}
        return running(environment, place, code=WITNESSED_WORKER)

    with worker(places[0]) as one, worker(places[1]) as two:
        entries = traffic.put(*(event("report_incident", report(), id=one_id) for one_id in ids))
        traffic.wait_until_empty()
        assert [one.terminate(), two.terminate()] == [0, 0]

    finished = [(place / "finished").read_text().split() for place in places]
    assert Counter(finished[0] + finished[1]) == Counter(entries)
    assert all(len(part) > REQUESTS / 10 for part in finished), [len(part) for part in finished]
    assert traffic.unacknowledged() == 0
    check_reports(installation, traffic, ids)
    assert all(len(told) == 1 for told in traffic.outcomes_by_id().values())
