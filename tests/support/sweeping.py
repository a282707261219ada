"""What a sweeper would take of all that waits."""

from datetime import datetime

from models.deliveries import Delivery
from models.waiting import BEGINNING, next_part, read_ripe
from tests.support.installation import Installation


def ripe(installation: Installation, *, alone_before: datetime) -> list[Delivery]:
    """Those whose report is known, and those that were alone by *alone_before* already."""
    with installation.pipeline.engine.begin() as connection:
        everything = next_part(connection, BEGINNING, at_most=1_000)
        if everything is None:
            return []
        return read_ripe(connection, everything, alone_before=alone_before, limit=300)
