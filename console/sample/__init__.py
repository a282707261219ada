"""A small made-up organisation, for a first run: its directory as files, and how to load it.

Harbourline runs its customers' systems. Its staff have no client and no vendor; every client and
every vendor has a contact. Each role and each status occurs.
"""

from pathlib import Path

from sqlalchemy import exists, or_, select

from console.database import reading
from console.directory import load_path
from models.directory import Load
from models.tables import clients, components, products, subscriptions, users, vendors
from worker.settings import Settings

DIRECTORY = Path(__file__).parent / "directory"


def load_sample(settings: Settings) -> Load:
    """Load the sample organisation; loading it again brings it back to what its files say.

    Raises:
        Failure: the database is out of reach.
    """
    return load_path(settings, DIRECTORY)


def load_sample_once(settings: Settings) -> bool:
    """Load the sample organisation into an empty directory, and into no other.

    Returns:
        Whether it was loaded.

    Raises:
        Failure: the database is out of reach.
    """
    with reading(settings) as connection:
        if connection.execute(_ANYTHING).scalar_one():
            return False
    load_sample(settings)
    return True


_TABLES = (clients, vendors, users, products, components, subscriptions)
_ANYTHING = select(or_(*(exists(select(table.c[0])) for table in _TABLES)))
