"""Whose fault an exception is: the request's, the infrastructure's, or ours (DESIGN 2)."""

import traceback
from enum import Enum, auto

import psycopg
from amqp.exceptions import AMQPError
from redis.exceptions import RedisError
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from models.audit import AuditError
from models.broker_faults import broker_words
from models.database import CommitsHang
from models.halts import CalledOff
from models.registry import RegistryError

_UNIQUE_VIOLATION = "23505"
_COLLISIONS = frozenset({"40001", "40P01"})
"""Serialization failure, deadlock detected."""
_REFUSALS = ("22", "23", "54")
"""SQLSTATE classes: data exception, integrity constraint violation, program limit exceeded."""


class Outage(Exception):
    """The infrastructure is at fault; nothing may be halted for it."""


class OutOfMemory(BaseException):
    """This process has no memory left. Nothing counts that it could say of a request."""


class Fault(Enum):
    """Whose fault an exception is."""

    REFUSED = auto()
    """The database refuses what one request wants to write."""
    RACE = auto()
    """Two transactions settled the same request; the later one runs again."""
    COLLISION = auto()
    """A deadlock or serialization failure; the transaction runs again."""
    OUTAGE = auto()
    """Database or broker away, a missing table or right, a full disk, an audit that was changed."""
    BUG = auto()
    """Anything else is a mistake of ours."""


def fault_of(error: Exception) -> Fault:
    """Whose fault *error* is."""
    match error:
        case DBAPIError():
            return _database_fault(error)
        case psycopg.Error():  # COPY speaks to the driver itself
            return _fault_of_state(error.sqlstate, refused=isinstance(error, psycopg.DataError))
        case Outage() | PoolTimeout() | RedisError() | AMQPError() | OSError():
            return Fault.OUTAGE
        case CalledOff():
            return Fault.RACE
        case RegistryError() | AuditError() | CommitsHang():
            return Fault.OUTAGE
        case _:
            return Fault.BUG


def _database_fault(error: DBAPIError) -> Fault:
    state = getattr(error.orig, "sqlstate", None)
    if state is None and isinstance(error, IntegrityError):
        return Fault.REFUSED
    return _fault_of_state(state, refused=isinstance(error, DataError))


def _fault_of_state(state: str | None, *, refused: bool) -> Fault:
    if state == _UNIQUE_VIOLATION:
        return Fault.RACE
    if state in _COLLISIONS:
        return Fault.COLLISION
    if refused or (state is not None and state.startswith(_REFUSALS)):
        return Fault.REFUSED
    return Fault.OUTAGE


def place_of(error: BaseException) -> str:
    """Where an exception was raised: ``module:line``, with nothing of its message."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown place"
    return f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"


def frames_of(error: BaseException) -> list[str]:
    """The way to where an exception was raised, outermost first, with nothing of its message.

    A message may hold what a row holds, and a title has no place in a log.
    """
    return [
        f"{frame.f_globals.get('__name__', '?')}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]


def describe(error: BaseException) -> str:
    """An error in a few words: its kind and SQLSTATE, and nothing of the data it was about."""
    origin = getattr(error, "orig", None) or error
    if isinstance(origin, Outage | RegistryError | AuditError | CommitsHang):
        return str(origin)
    if (words := broker_words(origin)) is not None:
        return words
    state = getattr(origin, "sqlstate", None)
    return f"{type(origin).__name__}, SQLSTATE {state}" if state else type(origin).__name__


def as_outage(error: Exception) -> Exception:
    """An outage as :class:`Outage`; anything else as it is."""
    if isinstance(error, Outage) or fault_of(error) is not Fault.OUTAGE:
        return error
    return Outage(describe(error))
