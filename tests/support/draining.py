"""The worker's drain in this process, for tests that are about something else."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.drain import Drain
from tasks.sweep import Sweep
from tests.support.installation import Installation
from worker.redis_intake import RedisIntake, connect_redis, make_groups


def drain(installation: Installation) -> None:
    """Decide everything that is in the intake now, and what waits if it can be decided."""
    settings = installation.settings
    client = connect_redis(settings.broker_url.get_secret_value())
    make_groups(client, settings.streams)
    intake = RedisIntake(client, settings.streams, settings.claim_idle, settings.outcomes_kept)
    Drain(
        intake, installation.pipeline, settings.batch_size, renew_after=5, stopping=lambda: False
    ).run()
    Sweep(intake, installation.pipeline, settings.batch_size).run()
    client.close()


@contextmanager
def draining(installation: Installation) -> Iterator[None]:
    """Drain again and again, beside the test."""
    stopped = threading.Event()

    def run() -> None:
        while not stopped.wait(0.02):
            drain(installation)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(30)
