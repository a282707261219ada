"""Receipts: what has become of a source's requests, with a role that may read nothing else."""

import asyncio
import threading
from contextlib import suppress
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection

from models.clock import database_now
from models.outcomes import Identity
from models.receipts import Decided, read_decided
from producers.gateway.answers import Fault, Halted, Receipt

CONNECTIONS = 4
"""To PostgreSQL, for all receipts; further askers wait for one."""
MOST_ASKERS = 64
READ_SECONDS = 3.0
"""For one receipt, the wait for a connection included."""


class ReceiptsUnavailable(Exception):
    """A receipt cannot be read now; the message is one of a few, for the log."""


class Receipts:
    """Reads receipts in threads of their own, beside the loop.

    A thread that PostgreSQL keeps waiting is not waited for: further askers have the others, or
    are refused.

    Args:
        engine: of the gateway's role, with :data:`CONNECTIONS` connections.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._askers = 0

    async def read(self, identity: Identity) -> Receipt:
        """The receipt of one request.

        Raises:
            ReceiptsUnavailable: PostgreSQL does not answer in time, or too many ask already.
        """
        if self._askers >= MOST_ASKERS:
            raise ReceiptsUnavailable("too many ask at once")
        self._askers += 1
        try:
            async with asyncio.timeout(READ_SECONDS):
                decided = await self._look_up(identity)
        except TimeoutError:
            raise ReceiptsUnavailable("PostgreSQL does not answer in time") from None
        except (DBAPIError, NoConnection) as error:
            raise ReceiptsUnavailable(type(error).__name__) from None
        finally:
            self._askers -= 1
        return _receipt(identity, decided)

    async def _look_up(self, identity: Identity) -> Decided | None:
        """Ask in a thread of its own, which keeps one of the connections until it is answered."""
        await self._free.acquire()
        answer: asyncio.Future[Decided | None] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(self._is_free)
        threading.Thread(target=self._answer, args=(identity, answer), daemon=True).start()
        return await asyncio.shield(answer)

    def _is_free(self, answer: asyncio.Future[Decided | None]) -> None:
        self._free.release()
        answer.exception()  # whoever asked may have gone

    def _answer(self, identity: Identity, answer: asyncio.Future[Decided | None]) -> None:
        loop = answer.get_loop()
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            try:
                decided = self._decided(identity)
            except Exception as error:  # whoever asked has to hear of it, not this thread
                loop.call_soon_threadsafe(answer.set_exception, error)
            else:
                loop.call_soon_threadsafe(answer.set_result, decided)

    def _decided(self, identity: Identity) -> Decided | None:
        with self._engine.connect() as connection:
            return read_decided(connection, identity)

    def now(self) -> datetime:
        """The time by PostgreSQL's clock (UTC), asked in the caller's own thread.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: PostgreSQL does not answer.
        """
        with self._engine.connect() as connection:
            return database_now(connection)

    def close(self) -> None:
        """Close the connections; no thread that PostgreSQL keeps waiting is waited for."""
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
