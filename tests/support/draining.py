"""The worker's drain in this process, for tests that are about something else."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.drain import Drain
from tasks.sweep import Sweep
from tests.support.installation import Installation
from worker.redis_intake import RedisIntake, connect_redis, make_groups


@contextmanager
def intake_of(installation: Installation) -> Iterator[RedisIntake]:
    """The intake, as one pool process sees it."""
    settings = installation.settings
    client = connect_redis(settings.broker_url.get_secret_value())
    make_groups(client, settings.streams)
    yield RedisIntake(client, settings.streams, settings.claim_idle, settings.outcomes_kept)
    client.close()


def drain(installation: Installation) -> None:
    """Decide everything that is in the intake now, and what waits if it can be decided."""
    pipeline, size = installation.pipeline, installation.settings.batch_size
    with intake_of(installation) as intake:
        Drain(intake, pipeline, size, renew_after=5, stopping=lambda: False).run()
        Sweep(intake, pipeline, size).run()


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
        thread.join(120)
