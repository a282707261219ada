"""The baseline: an empty task through stock Celery, on the same Redis with the same pool."""

import os
import time
from dataclasses import dataclass

import redis
from celery import Celery

from benchmarks.stage import process, wait_until

QUEUE = "bench-celery"
STOCK_WORKER = [
    "worker",
    "--pool=prefork",
    "--concurrency=2",
    "--loglevel=warning",
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
]
"""How every stock Celery worker is started here, this one and the textbook's."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """How the stock worker is set up."""

    prefetch: int
    acks_late: bool

    def __str__(self) -> str:
        return f"prefetch {self.prefetch}, acknowledging {'late' if self.acks_late else 'early'}"


CONFIGURATIONS = tuple(
    Configuration(prefetch, late) for prefetch in (1, 4, 64) for late in (False, True)
)


def make_app(broker_url: str, configuration: Configuration) -> Celery:
    """A Celery app with one task that does nothing."""
    app = Celery("baseline", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_default_queue=QUEUE,
        worker_prefetch_multiplier=configuration.prefetch,
        task_acks_late=configuration.acks_late,
    )

    @app.task(name="empty", shared=False)  # type: ignore[untyped-decorator]  # celery is not typed
    def empty() -> None:
        pass

    return app


def requests_per_second(broker_url: str, configuration: Configuration, tasks: int) -> float:
    """From the first ``apply_async`` to the last task out of the queue (and acknowledged)."""
    app = make_app(broker_url, configuration)
    client = redis.Redis.from_url(broker_url)
    extra = {
        "BENCH_BROKER": broker_url,
        "BENCH_PREFETCH": str(configuration.prefetch),
        "BENCH_LATE": str(int(configuration.acks_late)),
    }

    def is_empty() -> bool:
        return client.llen(QUEUE) == 0 and client.hlen("unacked") == 0

    with process(["-m", "benchmarks.celery_baseline"], extra):
        empty = app.tasks["empty"]
        empty.apply_async()
        wait_until(is_empty)  # the worker is up
        began = time.perf_counter()
        with app.producer_pool.acquire() as producer:
            for _ in range(tasks):
                empty.apply_async(producer=producer)
        wait_until(is_empty)
        return tasks / (time.perf_counter() - began)


def run_worker() -> None:
    """The process that is measured."""
    configuration = Configuration(
        int(os.environ["BENCH_PREFETCH"]), bool(int(os.environ["BENCH_LATE"]))
    )
    make_app(os.environ["BENCH_BROKER"], configuration).worker_main(STOCK_WORKER)


if __name__ == "__main__":
    run_worker()
