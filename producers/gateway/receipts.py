"""Receipts: what has become of a source's requests, with a role that may read nothing else."""

from datetime import UTC, datetime

from anyio import CapacityLimiter, to_thread
from sqlalchemy import Engine

from models.outcomes import Identity
from models.receipts import Decided, read_decided
from producers.gateway.answers import Fault, Halted, Receipt

CONNECTIONS = 4
"""To PostgreSQL, for all receipts; further askers wait for one."""


class Receipts:
    """Reads receipts in threads of their own, beside the loop.

    Args:
        engine: of the gateway's role, with :data:`CONNECTIONS` connections.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._limiter = CapacityLimiter(CONNECTIONS)

    async def read(self, identity: Identity) -> Receipt:
        """The receipt of one request.

        Raises:
            sqlalchemy.exc.DBAPIError: PostgreSQL does not answer.
        """
        decided = await to_thread.run_sync(self._decided, identity, limiter=self._limiter)
        return _receipt(identity, decided)

    def _decided(self, identity: Identity) -> Decided | None:
        with self._engine.connect() as connection:
            return read_decided(connection, identity)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _receipt(identity: Identity, decided: Decided | None) -> Receipt:
    if decided is None:
        return Receipt(source=identity.source, id=identity.id, state="pending")
    when = decided.decided_at.astimezone(UTC)
    halt, result = None, None
    if decided.halted:
        halt = Halted(
            id=decided.body["id"],
            reason=decided.body["reason"],
            message=decided.body["message"],
            errors=[Fault(**error) for error in decided.body["errors"]],
        )
    else:
        result = dict(decided.body)
    return Receipt(
        source=identity.source,
        id=identity.id,
        state="halted" if decided.halted else "done",
        procedure=decided.procedure,
        result=result,
        halt=halt,
        decided_at=_written(when),
    )


def _written(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
