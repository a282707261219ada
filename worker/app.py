"""The composition root: one place where settings, Celery, the intake and the tasks are wired."""

import gc
import os
from functools import cache
from typing import Any

import structlog
from celery import Celery, signals

from models.broker_tls import rabbitmq_tls, redis_tls
from models.rabbitmq import is_rabbitmq
from tasks.plain import add_plain_tasks
from worker import redis_transport
from worker.consumer import consumer_of
from worker.intake_step import DRAIN, intake_step
from worker.log import configure_logging, warn_of_database
from worker.runtime import Runtime
from worker.settings import Settings
from worker.signs_of_life import Kind, SignsOfLife
from worker.stopping import Calls, StopFlag

logger = structlog.get_logger(__name__)


def make_app(settings: Settings) -> Celery:
    """Celery as Andon uses it: for its processes and its plain tasks, not to carry requests."""
    redis_transport.use()
    app = Celery("andon", broker=settings.broker_url.get_secret_value(), set_as_current=False)
    stop, calls = StopFlag(), Calls()
    runtime = Runtime(settings, stop, calls)

    @cache  # opened by the main process, before it connects
    def signs() -> SignsOfLife:
        return SignsOfLife(
            settings.health_directory, Kind.WORKER, hangs_after=settings.batch_time_limit
        )

    app.conf.update(_configuration(settings))
    app.conf.worker_consumer = consumer_of(signs)
    app.task(
        name=DRAIN,
        shared=False,
        soft_time_limit=settings.batch_soft_time_limit,
        time_limit=settings.batch_time_limit,
    )(runtime.drain)
    add_plain_tasks(app, runtime.run_one)
    app.steps["consumer"].add(intake_step(settings, calls, stop, signs))

    def on_shutdown(**_: Any) -> None:
        stop.set()

    def on_setup_logging(**_: Any) -> None:
        configure_logging(settings)
        warn_of_database(settings.database_url.get_secret_value())
        if os.geteuid() == 0:
            logger.warning("worker_runs_as_root", advice="use an account of its own in production")

    signals.worker_shutting_down.connect(on_shutdown, weak=False)
    signals.setup_logging.connect(on_setup_logging, weak=False)
    signals.worker_process_init.connect(collect_rarely, weak=False)
    signals.worker_process_init.connect(lambda **_: runtime.signs, weak=False)
    signals.worker_process_shutdown.connect(lambda **_: runtime.signs.close(), weak=False)
    return app


def collect_rarely(**_: Any) -> None:
    """Let a pool process look for cycles of garbage once in some batches, not many times in each.

    A batch makes tens of thousands of objects and hardly a cycle. By default the collector takes a
    fifth of a request's time, most of it to look again at what was imported.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _configuration(settings: Settings) -> dict[str, Any]:
    return {
        "worker_concurrency": settings.concurrency,
        "worker_pool": "prefork",
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "enable_utc": True,
        "task_default_queue": f"{settings.namespace}:tasks",
        "task_default_queue_type": "quorum",  # on RabbitMQ
        "task_create_missing_queues": False,
        # A plain task is acknowledged when it is done, and only then.
        "task_acks_late": True,
        "task_acks_on_failure_or_timeout": False,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # An outage of any length is waited out.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,  # so is a broker that refuses: worker.consumer
        "broker_transport_options": _transport_options(settings),
        "broker_use_ssl": _tls(settings) or False,
        # Nobody stops or inspects a worker by way of the broker.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
    }


def _tls(settings: Settings) -> dict[str, Any]:
    url = settings.broker_url.get_secret_value()
    return (rabbitmq_tls if is_rabbitmq(url) else redis_tls)(url, settings.broker_ca)


def _transport_options(settings: Settings) -> dict[str, Any]:
    if is_rabbitmq(settings.broker_url.get_secret_value()):
        return {"confirm_publish": True}
    return {"socket_timeout": 30, "socket_connect_timeout": 5, "socket_keepalive": True}
