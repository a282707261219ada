"""Decoding without a database: the registry of the tests, and what decode makes of a message."""

import tomllib
from datetime import UTC, datetime
from typing import Any

from models.deliveries import Delivery
from models.registry import Registry
from policy.halts import Halt
from tasks.decode import Gate, decode
from tasks.requests import Message, Refused, Request
from tests.support.installation import REGISTRY
from tests.support.requests import delivery, event

TEST_REGISTRY = Registry.model_validate(tomllib.loads(REGISTRY))


def decoded(delivery: Delivery, *, now: datetime | None = None) -> Message:
    """What decode makes of *delivery*, now or at another time."""
    return decode(delivery, Gate(TEST_REGISTRY, now or datetime.now(UTC)))


def inputs_of(procedure: str, data: Any) -> Any:
    """The inputs that *data* is read as."""
    message = decoded(delivery(event(procedure, data)))
    assert isinstance(message, Request), message
    return message.inputs


def halt_of(procedure: str, data: Any) -> Halt:
    """The halt that *data* comes to."""
    message = decoded(delivery(event(procedure, data)))
    assert isinstance(message, Refused), message
    return message.halt


def faults_of(procedure: str, data: Any) -> tuple[str, dict[str, str]]:
    """The halt's reason, and its errors by their paths."""
    halt = halt_of(procedure, data)
    return str(halt.reason), {error.path: error.message for error in halt.errors}
