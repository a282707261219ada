"""The textbook worker's Celery app, and how its throughput is measured."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import redis
from celery import Celery, Task
from sqlalchemy import create_engine

from benchmarks.celery_baseline import STOCK_WORKER
from benchmarks.mix import DECK
from benchmarks.stage import Stage, environment, process, wait_until
from benchmarks.textbook.service import Service
from models.deliveries import Delivery
from models.registry import load_registry
from models.streams import EVENT
from models.tables import Door
from producers.signed import SignedEvent
from worker.settings import Settings, load_settings

QUEUE = "textbook"


def make_app(broker_url: str) -> Celery:
    """As Celery's documentation advises for work that must not get lost."""
    app = Celery(QUEUE, broker=broker_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_default_queue=QUEUE,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=4,
    )

    @app.task(name="run", bind=True, shared=False)  # type: ignore[untyped-decorator]  # no types
    def run(task: Task, event: str, key_id: str, signature: str) -> None:
        service, outcomes, settings = _means()
        outcome = service.run(
            Delivery(
                entry=task.request.id,
                door=Door.TASK,
                event=event.encode(),
                key_id=key_id,
                signature=signature,
                received_at=datetime.now(UTC),
            )
        )
        for stream in (settings.streams.outcomes, settings.streams.halts)[: 1 + outcome.halted]:
            outcomes.xadd(
                stream, {EVENT: outcome.event()}, maxlen=settings.outcomes_kept, approximate=True
            )

    return app


@cache
def _means() -> tuple[Service, redis.Redis, Settings]:
    """What a pool process works with, opened on its first request."""
    settings = load_settings()
    engine = create_engine(settings.database_url.get_secret_value(), pool_size=1)
    service = Service(engine, load_registry(settings.producers_file), settings.current_audit_key())
    return service, redis.Redis.from_url(settings.broker_url.get_secret_value()), settings


def requests_per_second(
    measured: Stage, events: Sequence[SignedEvent], *, rounds: int
) -> tuple[float, ...]:
    """From the first ``apply_async`` to the last outcome; all but a deck of *events* in rounds."""
    client = measured.redis
    client.flushall()
    app = make_app(measured.settings.broker_url.get_secret_value())
    stream = measured.settings.streams.outcomes
    warm_up, events = events[:DECK], events[DECK:]
    share = len(events) // rounds

    def round_of(some: Sequence[SignedEvent]) -> float:
        before = int(client.xlen(stream))
        run: Any = app.tasks["run"]
        began = time.perf_counter()
        with app.producer_pool.acquire() as producer:
            for one in some:
                run.apply_async((one.event.decode(), one.key_id, one.signature), producer=producer)
        wait_until(lambda: int(client.xlen(stream)) >= before + len(some))
        return len(some) / (time.perf_counter() - began)

    with process(["-m", "benchmarks.textbook.worker"], environment(measured.settings)):
        round_of(warm_up)
        return tuple(round_of(events[n * share : (n + 1) * share]) for n in range(rounds))


def run_worker() -> None:
    """The process that is measured."""
    make_app(load_settings().broker_url.get_secret_value()).worker_main(STOCK_WORKER)


if __name__ == "__main__":
    run_worker()
