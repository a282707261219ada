"""One run: publish, do harm meanwhile, let everything come to rest, draw up the account."""

import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.acceptance.faults.accounting import Account, draw_up
from tests.acceptance.faults.brokers import Broker
from tests.acceptance.faults.faulting import (
    HARM,
    OF_A_BROKER_OF_ITS_OWN,
    PREPARATION,
    Fault,
    schedule,
)
from tests.acceptance.faults.journal import ReadJournal, read_journal
from tests.acceptance.faults.losses import certain, publish_again
from tests.acceptance.faults.planning import (
    EVERYTHING,
    THROUGH_THE_GATEWAY,
    THROUGH_THE_IMPORTER,
    Telling,
    plan,
)
from tests.acceptance.faults.producing import Order, Producers, report_of
from tests.acceptance.faults.stage import FAULT_JOURNAL, Stage
from tests.acceptance.faults.stored import Stored, read_stored
from tests.acceptance.faults.tampering import Tampering
from tests.support.waiting import wait_for

_QUIET_AFTER = 2.0
"""Seconds without a decision after which a worker has nothing in hand any more."""
_BUSY_WITHIN = 2.0
"""Seconds that a fault waits for work to meet."""
_IMPORTED = 10
"""One of so many requests comes in files, few enough for one to be imported amid faults."""

_BULK, _LEAST_BULK = 10, 200
"""As many copies of one message come at once as a tenth of all requests, but no fewer."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run is to be.

    Attributes:
        seed: decides the traffic and the order of the faults, though not what runs when.
        requests: messages to publish, at least.
        faults: how many, at least.
        poison: requests that kill their process.
        harm: the kinds of faults, instead of all.
        drained_within: seconds that a healthy worker may take for what is left in the end.
    """

    seed: int
    requests: int
    faults: int
    poison: int = 0
    producers: int = 3
    stories: Mapping[Telling, int] = field(default_factory=lambda: EVERYTHING)
    harm: frozenset[Fault] = frozenset(Fault)
    tampering: Tampering = Tampering.NONE
    settings: Mapping[str, str] = field(default_factory=dict)
    drained_within: float = 180.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    doing: str
    published: int
    planned: int
    decided: int
    faults: int
    scheduled: int


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to.

    Attributes:
        faults: how many of each kind there were.
        amid: how many of them met a worker with entries in hand.
        slow_stops: workers that did not stop softly in time while faults came.
        seconds: how long it all took, without starting the servers.
    """

    journals: Sequence[ReadJournal]
    stored: Stored
    account: Account
    faults: Counter[Fault]
    amid: int
    slow_stops: int
    seconds: float


@contextmanager
def place(engine: str) -> Iterator[Path]:
    """A directory for a run, which is kept where the block fails.

    Open to all users, since PostgreSQL may run as another one.
    """
    directory = Path(tempfile.mkdtemp(prefix=f"andon-faults-{engine}-"))
    directory.chmod(0o755)
    try:
        yield directory
    except BaseException:
        print(f"Logs, journals and data are in {directory}", file=sys.stderr)
        raise
    shutil.rmtree(directory)


Tell = Callable[[Progress], None]


def carry_out(run: Run, directory: Path, broker: Broker, tell: Tell = lambda _: None) -> Result:
    """Set up a stage in *directory*, and carry out *run* on it.

    Raises:
        AssertionError: it does not come to rest.
    """
    stage = Stage(
        directory,
        broker,
        tampering=run.tampering,
        settings=run.settings,
        seed=run.seed,
        bulk=max(_LEAST_BULK, run.requests // _BULK),
    )
    with stage:
        return _Running(run, stage, tell).go()


class _Running:
    """A run under way."""

    def __init__(self, run: Run, stage: Stage, tell: Tell) -> None:
        self._run = run
        self._stage = stage
        self._tell_to = tell
        self._rng = Random(f"{run.seed}/faults")  # noqa: S311  # a seed is the point
        harm = run.harm if stage.broker.server else run.harm - OF_A_BROKER_OF_ITS_OWN
        self._order = schedule(self._rng, run.faults, kinds=harm)
        self._done: Counter[Fault] = Counter()
        self._amid = 0
        self._decided = 0
        self._journals = [
            *(stage.directory / f"producer-{number}.jsonl" for number in range(run.producers)),
            stage.directory / FAULT_JOURNAL,
        ]
        self._producers = Producers(
            [self._order_of(number) for number in range(run.producers)], stage.importer_kills
        )

    def _order_of(self, number: int) -> Order:
        run = self._run
        share, more = divmod(run.poison, run.producers)
        through_gateway = number == run.producers - 1 and Fault.KILL_GATEWAY in run.harm
        by_import = number == run.producers - 2 and Fault.KILL_IMPORTER in run.harm
        stories = run.stories
        if through_gateway:
            stories = THROUGH_THE_GATEWAY
        elif by_import:
            stories = THROUGH_THE_IMPORTER
        planned = plan(
            run.seed,
            number,
            self._requests(by_import=by_import),
            poison=share + (number < more),
            stories=stories,
            prefix=f"{report_of(number)}/" if by_import else None,
        )
        broker = self._stage.broker
        return Order(
            number,
            broker.producer_url,
            broker.names,
            planned,
            self._journals[number],
            run.seed,
            gateway=self._stage.gateway_url if through_gateway else None,
            importer=self._stage.importer_environment() if by_import else None,
        )

    def _requests(self, *, by_import: bool) -> int:
        """How many one producer publishes; the others share what is not imported."""
        run = self._run
        if Fault.KILL_IMPORTER not in run.harm:
            return run.requests // run.producers
        imported = run.requests // _IMPORTED
        return imported if by_import else (run.requests - imported) // (run.producers - 1)

    def go(self) -> Result:
        """Run to the end."""
        began = time.monotonic()
        try:
            self._producers.start()
            self._warm_up()
            for fault in self._order:
                self._meet(fault)
            self._come_to_rest()
        finally:
            self._producers.end()
        self._tell("drawing up the account")
        journals = [certain(self._stage, read_journal(path)) for path in self._journals]
        stored = read_stored(self._stage)
        account = draw_up(journals, stored)
        seconds = time.monotonic() - began
        return Result(
            journals, stored, account, self._done, self._amid, self._stage.slow_stops, seconds
        )

    def _warm_up(self) -> None:
        """Let the first traffic in, and wait until some of it is decided."""
        self._tell("warming up")
        self._producers.allow(self._share(1))
        wait_for(self._has_recovered, seconds=60, what="the first requests decided")

    def _share(self, steps: int) -> float:
        """Which share of the traffic may be in after so many steps: the warm-up, and each fault."""
        return steps / (len(self._order) + 1)

    def _meet(self, fault: Fault) -> None:
        """Let some traffic in, wait until a worker has some of it in hand, and do harm."""
        self._tell(fault)
        self._stage.revive()
        if fault in PREPARATION:
            PREPARATION[fault](self._stage)
        self._producers.allow(self._share(self._done.total() + 2))
        self._amid += _within(_BUSY_WITHIN, self._stage.broker.is_busy)
        time.sleep(self._rng.uniform(0, 0.03))
        HARM[fault](self._stage, self._rng)
        self._done[fault] += 1
        if self._rng.random() < 0.6:
            _within(3, self._has_recovered)
        else:
            time.sleep(self._rng.uniform(0, 0.3))

    def _has_recovered(self) -> bool:
        """Whether something has been decided since the last time."""
        decided = self._stage.decided()
        if decided is None or decided <= self._decided:
            return False
        self._decided = decided
        return True

    def _come_to_rest(self) -> None:
        """No more faults: everything is published, and one healthy worker decides the rest."""
        self._producers.allow(1.0)
        self._tell("publishing the rest")
        self._stage.calm_down()
        self._stage.revive()
        self._producers.join(300)
        self._stage.traffic.finish()
        if self._stage.losses:
            self._tell("publishing again what may be lost")
            publish_again(self._stage, self._journals)
        until = time.monotonic() + self._run.drained_within
        while True:
            self._stage.fresh_worker()
            left = until - time.monotonic()
            wait_for(self._is_drained, seconds=left, what="nothing left to decide")
            # What runs alone is decided one after the other, and RabbitMQ does not show it; to stop
            # meanwhile would count as one more delivery of all of it.
            while _within(_QUIET_AFTER, self._has_recovered):
                pass
            # A worker that is stopped softly finishes or hands back what it has in hand; only
            # then is it certain, on every engine, that there is nothing more.
            assert self._stage.terminate_worker(), "the worker did not stop softly"
            if self._stage.is_drained():
                return

    def _is_drained(self) -> bool:
        self._tell("draining")
        return self._stage.is_drained()

    def _tell(self, doing: str) -> None:
        published, planned = self._producers.published, self._producers.total
        decided = self._stage.decided() or self._decided
        done, scheduled = self._done.total(), len(self._order)
        self._tell_to(Progress(doing, published, planned, decided, done, scheduled))


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether *condition* comes true within *seconds*; a fault comes all the same."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
