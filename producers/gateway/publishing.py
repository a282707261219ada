"""Publishing for all requests of the gateway together.

One thread publishes. While a round trip is under way, further calls gather; the next round trip
takes all of them, so that an alert storm is taken at the queue's speed and not at that of its
acknowledgements. A call is answered once the intake, or the spool, has every event of it safely.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from models.streams import Lane
from producers.faults import IntakeFull, IntakeUnreachable, PublishFailed
from producers.forwarder import Forwarder, Sign, forward_head
from producers.gateway.counted_log import CountedLog
from producers.publisher import CHUNK, Publisher
from producers.retries import Patience
from producers.signed import SignedEvent
from producers.spool import Spool

_log = logging.getLogger(__name__)

MOST_WAITING = 20_000
"""Events that may wait for their turn, so that a stalled intake does not fill the memory."""
MOST_WAITING_BYTES = 128 * 1024 * 1024
"""Of all events that wait together."""
_RETRY_FOR = 2.0
"""Seconds for which a first failure is tried again: senders need not hear of a short restart."""


class TooManyWaiting(PublishFailed):
    """More waits for the intake than the gateway holds in memory; nothing of this was published."""


@dataclass(frozen=True, slots=True)
class _Call:
    """The events of one HTTP request."""

    events: Sequence[SignedEvent]
    may_spool: bool
    answer: asyncio.Future[bool]


@dataclass(frozen=True, slots=True)
class _Question:
    """Whether the intake can be reached and has room."""

    answer: asyncio.Future[bool]


_Job = _Call | _Question
_Outcome = tuple[_Job, bool | Exception]

_SHORT, _NONE = Patience(_RETRY_FOR), Patience(0.0)


class Outlet:
    """The one way from the gateway to the intake.

    Args:
        publisher: the way itself; closed with the outlet.
        spool: keeps what the intake cannot take, for calls that allow it; closed too.
        sign: gives what was spooled the signature that it is published with.
        most_waiting: events that may wait for their turn.
        most_waiting_bytes: bytes that they may have together.
    """

    def __init__(
        self,
        publisher: Publisher,
        spool: Spool | None = None,
        sign: Sign = lambda event: event,
        *,
        most_waiting: int = MOST_WAITING,
        most_waiting_bytes: int = MOST_WAITING_BYTES,
    ) -> None:
        self._publisher = publisher
        self._spool = spool
        self._most = most_waiting
        self._most_bytes = most_waiting_bytes
        self._log = CountedLog(_log, "Calls")
        self._waiting = 0
        self._waiting_bytes = 0
        self._is_well = True
        self._question: _Question | None = None
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="andon-outlet", daemon=True)
        self._forwarder: Forwarder | None = None
        if spool is not None:
            self._forwarder = Forwarder(
                lambda: forward_head(spool, publisher, sign, count=CHUNK), every=1.0
            )

    async def publish(self, events: Sequence[SignedEvent], *, may_spool: bool) -> bool:
        """Publish *events* in their order, with whatever else is there to be published.

        Returns:
            Whether some of them are in the spool, and not yet in the intake.

        Raises:
            TooManyWaiting: too much waits already.
            IntakeFull: the intake has no room.
            IntakeUnreachable: the intake does not answer; some may have arrived all the same.
            SpoolFull: they had to be spooled, and there was no room.
            SpoolUnusable: the spool cannot be written.
        """
        if not events:
            return False
        size = sum(len(each.event) for each in events)
        is_much = self._waiting_bytes + size > self._most_bytes
        if is_much or self._waiting + len(events) > self._most:
            raise TooManyWaiting(f"{self._waiting:,} events wait for the intake already.")
        call = _Call(events, may_spool, asyncio.get_running_loop().create_future())
        self._waiting += len(events)
        self._waiting_bytes += size
        try:
            self._jobs.put(call)
            return await call.answer
        finally:
            self._waiting -= len(events)
            self._waiting_bytes -= size

    async def check(self, *, within: float) -> None:
        """Ask whether a call would be taken now; all who ask meanwhile hear the same answer.

        Raises:
            IntakeFull: the intake has no room.
            IntakeUnreachable: the intake does not answer.
            TimeoutError: the answer took longer than *within* seconds.
        """
        if self._question is None or self._question.answer.done():
            self._question = _Question(asyncio.get_running_loop().create_future())
            self._question.answer.add_done_callback(lambda answer: answer.exception())
            self._jobs.put(self._question)
        await asyncio.wait_for(asyncio.shield(self._question.answer), within)

    def clock(self) -> datetime | None:
        """The time by the intake's clock (UTC); None where it does not tell.

        Raises:
            IntakeUnreachable: the intake does not answer.
        """
        return self._publisher.clock()

    def __enter__(self) -> Self:
        self._thread.start()
        if self._forwarder is not None:
            self._forwarder.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Publish what was given, then close; what is spooled stays."""
        self._jobs.put(None)
        self._thread.join()
        if self._forwarder is not None:
            self._forwarder.__exit__(kind, error, trace)
        self._log.close()
        self._publisher.close()
        if self._spool is not None:
            self._spool.close()

    def _run(self) -> None:
        is_open = True
        while is_open:
            calls, questions, is_open = self._gather()
            if questions:
                self._answer(questions)
            if calls:
                self._take(calls)

    def _gather(self) -> tuple[list[_Call], list[_Question], bool]:
        """Wait for a job, and take those that came meanwhile, up to a round trip's worth."""
        calls: list[_Call] = []
        questions: list[_Question] = []
        count = 0
        job = self._jobs.get()
        while True:
            match job:
                case None:
                    return calls, questions, False
                case _Question():
                    questions.append(job)
                case _Call():
                    calls.append(job)
                    count += len(job.events)
            if count >= CHUNK:
                return calls, questions, True
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return calls, questions, True

    def _answer(self, questions: list[_Question]) -> None:
        """Ask once for all who ask."""
        outcome: bool | Exception = True
        try:
            self._publisher.check_room()
        except PublishFailed as failure:
            outcome = failure
        _tell([(question, outcome) for question in questions])

    def _take(self, calls: list[_Call]) -> None:
        """Answer each of *calls*; whatever happens, the thread goes on."""
        try:
            _tell(self._publish(calls))
        except PublishFailed as failure:
            self._log.count(f"not published: {type(failure).__name__}")
            _tell([(call, failure) for call in calls])
        except Exception as error:
            _log.exception("A bug kept %d calls from being published", len(calls))
            _tell([(call, error) for call in calls])

    def _publish(self, calls: list[_Call]) -> list[_Outcome]:
        held = self._is_holding()
        direct = [call for call in calls if not (held and call.may_spool)]
        left = [(call, call.events) for call in calls if held and call.may_spool]
        taken, failure = self._publish_together(direct)
        outcomes: list[_Outcome] = []
        for call in direct:
            rest = call.events[taken:]
            taken = max(0, taken - len(call.events))
            if failure is None or not rest:
                outcomes.append((call, False))
            elif call.may_spool and self._spool is not None:
                left.append((call, rest))
            else:
                outcomes.append((call, _of_one_call(failure)))
        return outcomes + self._append(left)

    def _is_holding(self) -> bool:
        """Whether something is spooled, behind which everything of the kind has to queue."""
        return self._spool is not None and not self._spool.is_empty()

    def _publish_together(self, calls: list[_Call]) -> tuple[int, PublishFailed | None]:
        """Publish the events of *calls*; how many of them, in their order, the intake took."""
        events = [event for call in calls for event in call.events]
        if not events:
            return 0, None
        patience = _SHORT if self._is_well else _NONE
        try:
            patience.publish(self._publisher, events, lane=Lane.URGENT)
        except (IntakeFull, IntakeUnreachable) as failure:
            if self._is_well:
                _log.warning("The intake takes nothing: %s", failure.reason)
            self._is_well = False
            return len(failure.entries), failure
        if not self._is_well:
            _log.info("The intake takes events again")
        self._is_well = True
        return len(events), None

    def _append(self, parts: list[tuple[_Call, Sequence[SignedEvent]]]) -> list[_Outcome]:
        """Spool all *parts* with one write to the disk."""
        if not parts:
            return []
        assert self._spool is not None
        try:
            self._spool.append([event for _, events in parts for event in events], Lane.URGENT)
        except PublishFailed as failure:
            self._log.count(f"the spool takes nothing: {failure}")
            return [(call, _of_one_call(failure)) for call, _ in parts]
        return [(call, True) for call, _ in parts]


def _of_one_call(failure: PublishFailed) -> PublishFailed:
    """What happened, without how many events of other calls were accepted before."""
    return type(failure)(failure.reason)


def _tell(outcomes: Sequence[_Outcome]) -> None:
    """Answer many jobs with one call into the loop's thread."""
    loop = outcomes[0][0].answer.get_loop()
    with suppress(RuntimeError):  # the loop was closed: nobody waits any more
        loop.call_soon_threadsafe(_tell_here, outcomes)


def _tell_here(outcomes: Sequence[_Outcome]) -> None:
    for job, outcome in outcomes:
        if job.answer.done():  # whoever asked has gone
            continue
        if isinstance(outcome, Exception):
            job.answer.set_exception(outcome)
        else:
            job.answer.set_result(outcome)
