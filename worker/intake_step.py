"""The intake step: the part of the worker's main process that rings (DESIGN 2 and 3).

It waits until entries are there and keeps one argument-less task, ``andon.drain``, per pool process
going. It decodes nothing, so no entry can hurt it.
"""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from celery import bootsteps
from celery.exceptions import ImproperlyConfigured
from celery.worker import state
from kombu.message import Message

from tasks.faults import describe
from worker.engines import open_doorbell
from worker.settings import Settings
from worker.signs_of_life import SignsOfLife
from worker.stopping import Calls, StopFlag

logger = structlog.get_logger(__name__)

DRAIN = "andon.drain"
BURY_EVERY = 0.2
"""Seconds between two looks for dead pool processes."""
MOURNING = 10.0
"""Seconds after a drain failed for which its process may still be about to die."""
LIVES_EVERY = 1.0
"""Seconds between two signs of life."""
REOPEN_AFTER = 1.0
"""Seconds between tries to reach the intake again."""


def intake_step(
    settings: Settings, calls: Calls, stopping: StopFlag, signs: Callable[[], SignsOfLife]
) -> type[bootsteps.StartStopStep]:
    """The step for a worker with these settings (Celery takes classes, not instances)."""

    class IntakeStep(bootsteps.StartStopStep):  # type: ignore[misc]  # celery is not typed
        """Starts anew with the consumer, which restarts whenever the broker connection is lost."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def __init__(self, consumer: Any, **_: Any) -> None:
            self._ringer: Ringer | None = None

        def start(self, consumer: Any) -> None:
            self._ringer = Ringer(consumer, settings, calls, stopping, signs())
            self._ringer.start()

        def stop(self, consumer: Any) -> None:
            if self._ringer is not None:
                self._ringer.stop()
                self._ringer = None

        shutdown = stop

    return IntakeStep


class Ringer:
    """Keeps drains going while entries wait, for one life of the consumer."""

    def __init__(
        self,
        consumer: Any,
        settings: Settings,
        calls: Calls,
        stopping: StopFlag,
        signs: SignsOfLife,
    ) -> None:
        if consumer.hub is None:
            raise ImproperlyConfigured(
                "Andon's intake needs the prefork pool: start the worker with --pool=prefork"
            )
        self._consumer = consumer
        self._calls = calls
        self._stopping = stopping
        self._signs = signs
        self._unbegun: dict[str, float] = {}
        self._answered = calls.count()
        self._look_every = settings.claim_idle.total_seconds() / 3
        self._timers: list[Any] = []
        self._stopped = False
        self._mourn_until = 0.0
        self._doorbell = open_doorbell(
            settings,
            hub=consumer.hub,
            timer=consumer.timer,
            ring=self._ring_all,
            lost=self._on_lost,
        )

    def start(self) -> None:
        """Begin to listen; have abandoned entries, and held ones, looked for from time to time."""
        self._doorbell.open()
        self._signs.released()
        self._every(LIVES_EVERY, self._live)
        self._every(self._look_every, self._ring_all)
        self._every(1.0, self._doorbell.check)
        self._every(BURY_EVERY, self._bury)
        self._doorbell.listen()  # rings from the event loop, when the pool can take tasks

    def stop(self) -> None:
        """Ring no more."""
        self._stopped = True
        for timer in self._timers:
            timer.cancel()
        self._doorbell.close()

    def _every(self, seconds: float, work: Callable[[], None]) -> None:
        self._timers.append(self._consumer.timer.call_repeatedly(seconds, work))

    def _live(self) -> None:
        """Leave a sign of life, and say since when a pool process has not begun what it has."""
        now = time.monotonic()
        unbegun = {
            request.id
            for request in state.reserved_requests
            if request.name == DRAIN and request not in state.active_requests
        }
        self._unbegun = {number: self._unbegun.get(number, now) for number in unbegun}
        self._signs.turned(unbegun_since=min(self._unbegun.values(), default=None))

    def _ring_all(self) -> None:
        """Start a drain for each pool process that runs none."""
        for _ in range(self._consumer.pool.num_processes - self._running()):
            self._ring()

    def _answer_calls(self) -> None:
        """Start a drain for each idle process if one has called.

        For each of them, since Celery says which one gets a task: on RabbitMQ what a process holds
        is for nobody else.
        """
        processes = self._consumer.pool.num_processes
        owed = min((self._calls.count() - self._answered) % Calls.MODULUS, processes)
        if owed:
            idle = processes - self._running()
            self._ring_all()
            self._answered = self._calls.count() - max(0, owed - idle)

    def _running(self) -> int:
        """How many drains Celery has under way."""
        return sum(request.name == DRAIN for request in state.reserved_requests)

    def _ring(self) -> None:
        if self._stopping.is_set():  # a pool that is closing waits for whatever it is given
            return
        self._consumer.strategies[DRAIN](_message(), None, self._on_end, self._on_failed, ())

    def _on_end(self, *_: Any, **__: Any) -> None:
        """A drain has ended: go on with what it left, listen for what comes."""
        if self._stopped:
            return
        self._answer_calls()
        self._doorbell.listen()

    def _on_failed(self, *_: Any, **__: Any) -> None:
        """A drain's process has died, or is killed since it took too long."""
        if self._stopped:
            return
        self._mourn_until = time.monotonic() + MOURNING
        # Not at once: this is called while the pool itself looks for dead processes.
        self._timers.append(self._consumer.timer.call_after(0, self._after_failure))

    def _after_failure(self) -> None:
        if self._stopped:
            return
        self._bury()
        self._ring_all()
        self._doorbell.listen()

    def _bury(self) -> None:
        """What a dead process had in hand is for the others at once.

        Celery looks when a process begins to die, which may be too early to see it dead, and then
        every five seconds.
        """
        if self._stopping.is_set():
            return
        self._consumer.pool.maintain_pool()
        if time.monotonic() < self._mourn_until and self._doorbell.release_entries_of_dead():
            self._calls.add()
            self._answer_calls()

    def _on_lost(self, error: Exception) -> None:
        """The doorbell has lost its connection; often Celery's own goes too and restarts all."""
        if not self._stopped:
            logger.warning("intake_out_of_reach", cause=describe(error))
            self._signs.braked(describe(error))
            self._timers.append(self._consumer.timer.call_after(REOPEN_AFTER, self._reopen))

    def _reopen(self) -> None:
        if self._stopped:
            return
        try:
            self._doorbell.open()
        except Exception as error:  # whatever it is, it is tried again
            self._signs.braked(describe(error))
            self._timers.append(self._consumer.timer.call_after(REOPEN_AFTER, self._reopen))
            return
        logger.info("intake_reached_again")
        self._signs.released()
        self._ring_all()


_BODY = json.dumps([[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])


def _message() -> Message:
    """A task message for ``andon.drain``, as if the broker had delivered it."""
    number = str(uuid.uuid4())
    return Message(
        body=_BODY,
        content_type="application/json",
        content_encoding="utf-8",
        headers={
            "lang": "py",
            "task": DRAIN,
            "id": number,
            "root_id": number,
            "parent_id": None,
            "group": None,
            "argsrepr": "()",
            "kwargsrepr": "{}",
        },
        properties={"correlation_id": number},
        delivery_info={},
        delivery_tag=number,
    )
