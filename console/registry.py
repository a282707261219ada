"""What is wrong with the producer registry, as commands tell it."""

from contextlib import suppress

from sqlalchemy.exc import DBAPIError

from console.database import reading
from console.failures import Failure
from models.registry import registry_fault
from models.registry_record import recorded_sources
from worker.settings import Settings


def fault_of_registry(settings: Settings) -> str | None:
    """What is wrong with the file now; None if nothing is.

    That a source is lost shows against what workers have recorded, if PostgreSQL answers.
    """
    known: frozenset[str] = frozenset()
    with suppress(Failure, DBAPIError), reading(settings) as connection:
        known = recorded_sources(connection)
    return registry_fault(settings.producers_file, known)
