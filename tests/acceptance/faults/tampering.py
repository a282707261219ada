"""Workers that are not quite Andon: some titles kill them, and two lack a protection on purpose.

So does one gateway.

A worker process runs `python -c` with one of these calls before the worker itself; its pool
processes are forked from it, so they are tampered with too.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from itertools import count
from typing import Any

from tests.acceptance.faults.planning import DEADLY_EXIT, DEADLY_SIGNAL
from tests.support.gateways import RUN_GATEWAY


class Tampering(StrEnum):
    """What is done to the processes of a run, besides that poison kills workers."""

    NONE = "none"
    ACKNOWLEDGES_EARLY = "acknowledges_early"
    FORGETS_IDENTITIES = "forgets_identities"
    ANSWERS_EARLY = "answers_early"

    @property
    def worker(self) -> str:
        """The Python code of such a worker."""
        return (
            "from tests.acceptance.faults import tampering\n"
            f"tampering.poison()\ntampering.apply('{self}')\n"
            "from worker.run import run_worker\n"
            "from worker.settings import load_settings\n"
            "run_worker(load_settings())\n"
        )

    @property
    def gateway(self) -> str:
        """The Python code of such a gateway."""
        if self is not Tampering.ANSWERS_EARLY:
            return RUN_GATEWAY
        hasty = "from tests.acceptance.faults import tampering; tampering.answer_early()"
        return f"{hasty}; {RUN_GATEWAY}"


def poison() -> None:
    """Let a report with a deadly title kill the process that decides it."""
    from tasks.procedures import DECIDE

    decide = DECIDE["report_incident"]

    def deadly(request: Any, facts: Any) -> Any:
        if request.inputs.title == DEADLY_EXIT:
            os._exit(1)
        if request.inputs.title == DEADLY_SIGNAL:
            os.kill(os.getpid(), signal.SIGSEGV)
        return decide(request, facts)

    DECIDE["report_incident"] = deadly  # type: ignore[index]  # a constant for everybody else


def apply(tampering: str) -> None:
    """Take a protection away."""
    match Tampering(tampering):
        case Tampering.ACKNOWLEDGES_EARLY:
            _acknowledge_early()
        case Tampering.FORGETS_IDENTITIES:
            _forget_identities()
        case Tampering.NONE | Tampering.ANSWERS_EARLY:
            pass


def _acknowledge_early() -> None:
    """Acknowledge a batch when it has been read, before anything of it is committed.

    And die in between with every third batch, since a fault from outside seldom meets that moment.
    """
    from tasks.drain import Drain

    run_batch = Drain._run_batch
    batches = count(1)

    def hasty(drain: Drain, deliveries: Sequence[Any], *others: Any) -> None:
        drain.intake.finish([(each, None) for each in deliveries])
        if next(batches) % 3 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        run_batch(drain, deliveries, *others)

    _replace(Drain, "_run_batch", hasty)


def _forget_identities() -> None:
    """Take every delivery for a new request; the ledger keeps the first row of an identity."""
    import tasks.claim
    import tasks.write
    from models.ledger import read_ledger, write_ledger

    def fresh(message: Any, *_: Any) -> tasks.claim.Claim:
        return tasks.claim.Claim(message, tasks.claim.Standing.FRESH)

    def write_missing(connection: Any, rows: Collection[Any]) -> None:
        first = {row.identity: row for row in reversed(list(rows))}
        known = read_ledger(connection, first.keys())
        write_ledger(connection, [row for key, row in first.items() if key not in known])

    _replace(tasks.claim, "_among_known", fresh)
    _replace(tasks.claim, "_within_batch", fresh)
    _replace(tasks.write, "write_ledger", write_missing)


def answer_early() -> None:
    """Answer a call at once, and publish it two seconds later."""
    from producers.gateway.publishing import Outlet

    publish = Outlet.publish

    async def hasty(outlet: Outlet, events: Sequence[Any], *, may_spool: bool) -> bool:
        async def later() -> None:
            await asyncio.sleep(2)
            await publish(outlet, events, may_spool=may_spool)

        _promised.add(asyncio.create_task(later()))
        return False

    _replace(Outlet, "publish", hasty)


_promised: set[asyncio.Task[None]] = set()


def _replace(owner: object, name: str, by: Callable[..., Any]) -> None:
    """Put another function in the place of one that exists."""
    assert hasattr(owner, name), f"{owner} has no {name} any more"
    setattr(owner, name, by)
