"""Starting a worker."""

import warnings

from celery.platforms import SecurityWarning

from worker.app import make_app
from worker.settings import Settings


def run_worker(settings: Settings) -> None:
    """Run a worker until it is stopped: SIGTERM finishes what is in the pool and ends."""
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
