"""Starting a worker."""

import warnings
from contextlib import closing
from typing import Any

import redis
from celery import signals
from celery.platforms import SecurityWarning

from models.rabbitmq import BROKER_FAULTS, QueueUnfit, connect_to_intake, is_rabbitmq
from worker.app import make_app
from worker.broker_warnings import BrokerTooOld
from worker.engines import open_gauge
from worker.settings import Settings


def run_worker(settings: Settings) -> None:
    """Run a worker until it is stopped: SIGTERM finishes what is in the pool and ends.

    Raises:
        BrokerTooOld, QueueUnfit: the intake's engine, or what it has, cannot serve. One that is
            away is waited for.
        SystemExit: it ended by a fault, with a code other than 0.
    """
    started: list[Any] = []

    def on_init(instance: Any, **_: object) -> None:  # noqa: ANN401  # celery is not typed
        started.append(instance)

    signals.celeryd_init.connect(on_init, weak=False)
    _refuse_unfit_broker(settings)
    # Five lines at every start of `andon up` as root; worker.app says it in one.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    make_app(settings).worker_main(
        [
            "--quiet",
            "worker",
            "--pool=prefork",
            f"--concurrency={settings.concurrency}",
            "--loglevel=info",  # it decides nothing: worker.log does
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )
    # Celery's own start drops what it would exit with.
    if code := max((worker.exitcode or 0 for worker in started), default=0):
        raise SystemExit(code)


def _refuse_unfit_broker(settings: Settings) -> None:
    url = settings.broker_url.get_secret_value()
    try:
        if is_rabbitmq(url):
            connect_to_intake(
                url,
                settings.streams,
                outcomes_kept=settings.outcomes_kept,
                ca=settings.broker_ca,
            ).close()
        else:
            with closing(open_gauge(settings)) as gauge:
                gauge.read_warnings()  # the consumer logs them, whenever it connects
    except (BrokerTooOld, QueueUnfit):
        raise
    except (redis.RedisError, *BROKER_FAULTS):
        return
