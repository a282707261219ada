"""Exit codes, and how a command ends when something expected goes wrong: with one message."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer
from amqp.exceptions import AMQPError
from redis.exceptions import RedisError
from rich.console import Console
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from console.embedded import EmbeddedError
from models.audit import AuditError
from models.rabbitmq import QueueUnfit
from models.registry import RegistryError
from worker.broker_warnings import BrokerTooOld
from worker.settings import SettingsError


class ExitCode(IntEnum):
    """How a command ended (DESIGN 8)."""

    DONE = 0
    HALTED = 1
    """Something was halted, refused, or does not verify."""
    WRONG_USAGE = 2
    OUT_OF_REACH = 3
    """A service does not answer, or is not set up."""
    INTERRUPTED = 130
    """Ctrl-C, as shells number it."""


class Failure(Exception):
    """A command cannot go on; the message says why and what to do next."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.code = code


def wrong_usage(message: str) -> Failure:
    """What the command was asked for cannot be done."""
    return Failure(message, ExitCode.WRONG_USAGE)


def out_of_reach(message: str) -> Failure:
    """A service that the command needs does not answer, or is not set up."""
    return Failure(message, ExitCode.OUT_OF_REACH)


_EXPECTED = (
    Failure,
    SettingsError,
    RegistryError,
    AuditError,
    EmbeddedError,
    DBAPIError,
    ArgumentError,
    RedisError,
    AMQPError,
    ConnectionRefusedError,
    ConnectionResetError,
    socket.gaierror,
)


@contextmanager
def failures_explained() -> Iterator[None]:
    """Turn every expected failure into its message on stderr and its exit code.

    A bug keeps its traceback; Ctrl-C has none, and no message either.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except _EXPECTED as error:
        message, code = _explain(error)
        Console(stderr=True).print(
            message, style="red", markup=False, highlight=False, soft_wrap=True
        )
        raise typer.Exit(code) from None


def _explain(error: Exception) -> tuple[str, ExitCode]:
    match error:
        case Failure():
            return str(error), error.code
        case SettingsError():
            return str(error), ExitCode.WRONG_USAGE
        case RegistryError():
            return f"ANDON_PRODUCERS_FILE: {error}", ExitCode.WRONG_USAGE
        case AuditError():
            return str(error), ExitCode.HALTED
        case EmbeddedError():
            return str(error), ExitCode.OUT_OF_REACH
        case OperationalError():
            return f"PostgreSQL: {first_line(error.orig)}", ExitCode.OUT_OF_REACH
        case BrokerTooOld() | QueueUnfit():
            return str(error), ExitCode.OUT_OF_REACH
        case RedisError():
            return (
                f"Redis does not answer: {first_line(error)}. Is `andon up` running?",
                ExitCode.OUT_OF_REACH,
            )
        case ArgumentError():
            return (
                "The database's URL is none: ANDON_DATABASE_URL and ANDON_OWNER_DATABASE_URL look"
                " like postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE.",
                ExitCode.WRONG_USAGE,
            )
        case AMQPError() | OSError():
            return f"RabbitMQ does not answer: {first_line(error)}.", ExitCode.OUT_OF_REACH
        case _:
            raise error


def first_line(error: object) -> str:
    """The first line of an error's message, which says what happened."""
    return str(error).partition("\n")[0].strip().rstrip(".")
