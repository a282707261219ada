"""Starting a worker."""

import warnings
from contextlib import closing

import redis
from celery.platforms import SecurityWarning

from worker.app import make_app
from worker.broker_warnings import BrokerTooOld
from worker.engines import open_gauge
from worker.settings import Settings


def run_worker(settings: Settings) -> None:
    """Run a worker until it is stopped: SIGTERM finishes what is in the pool and ends.

    Raises:
        BrokerTooOld: the intake's Redis cannot serve. One that is away is waited for.
    """
    _refuse_old_redis(settings)
    # Five lines at every start of `andon up` as root; worker.app says it in one.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    make_app(settings).worker_main(
        [
            "--quiet",
            "worker",
            "--pool=prefork",
            f"--concurrency={settings.concurrency}",
            f"--loglevel={settings.log_level}",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )


def _refuse_old_redis(settings: Settings) -> None:
    with closing(open_gauge(settings)) as gauge:
        try:
            gauge.read_warnings()  # the consumer logs them, whenever it connects
        except BrokerTooOld:
            raise
        except redis.RedisError:
            return
