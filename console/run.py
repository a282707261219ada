"""`andon worker` and `andon schedules`: the long-running processes."""

from worker.run import run_worker
from worker.schedules import run_schedules
from worker.settings import load_settings


def worker() -> None:
    """Run requests from the intake until stopped.

    SIGTERM (or Ctrl-C) finishes and acknowledges what the pool has in hand, reads nothing new, and
    ends. How many pool processes there are says ANDON_CONCURRENCY. Run as many workers, on as many
    machines, as are needed.
    """
    run_worker(load_settings())


def schedules() -> None:
    """Decide requests that wait for a report, and tidy up, until stopped.

    One of these is needed beside the workers; several do no harm.
    """
    run_schedules(load_settings())
