"""The doorbell on RabbitMQ: asks how many messages wait, fifty times a second, and takes none."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from amqp import Channel, Connection
from kombu.asynchronous.timer import Timer

from models.rabbitmq import (
    BROKER_FAULTS,
    connect_to_intake,
    intake_queues,
    open_channel,
    undelivered,
)
from worker.settings import Settings

ASK_EVERY = 0.02
"""Seconds between two questions, which cost the main process about half a millisecond each."""


class RabbitDoorbell:
    """Implements ``worker.doorbell.Doorbell``.

    Args:
        settings: the worker's.
        timer: of the main process's event loop.
        ring: called when messages wait.
        lost: called when the connection is lost; the doorbell is closed then.
    """

    def __init__(
        self,
        settings: Settings,
        timer: Timer,
        *,
        ring: Callable[[], None],
        lost: Callable[[Exception], None],
    ) -> None:
        self._settings = settings
        self._timer = timer
        self._ring = ring
        self._lost = lost
        self._connection: Connection | None = None
        self._channel: Channel = None
        self._question: Any = None
        self._listening = False

    def open(self) -> None:
        """Connect, and create the queues that are missing."""
        settings = self._settings
        self._connection = connect_to_intake(
            settings.broker_url.get_secret_value(),
            settings.streams,
            outcomes_kept=settings.outcomes_kept,
            ca=settings.broker_ca,
        )
        self._channel = open_channel(self._connection)
        self._question = self._timer.call_repeatedly(ASK_EVERY, self._ask)

    def close(self) -> None:
        """Stop asking."""
        connection, self._connection = self._connection, None
        self._listening = False
        if self._question is not None:
            self._question.cancel()
        if connection is not None:
            with suppress(*BROKER_FAULTS):
                connection.collect()

    def listen(self) -> None:
        """Ring as soon as messages wait."""
        self._listening = self._connection is not None

    def release_entries_of_dead(self) -> bool:
        """Nothing to do: the broker hands on what a dead process held with its connection."""
        return False

    def check(self) -> None:
        """Nothing to do: a question that is not answered in time fails."""

    def _ask(self) -> None:
        if not self._listening:
            return
        try:
            waits = any(
                undelivered(self._channel, queue) for queue in intake_queues(self._settings.streams)
            )
        except BROKER_FAULTS as error:
            self.close()
            self._lost(error)
            return
        if waits:
            self._listening = False
            self._ring()
