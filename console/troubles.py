"""What is wrong beyond the sum, for `andon status`, which tells each trouble in a sentence.

Nobody works, the broker refuses, clocks differ, PostgreSQL was put back. A grave one makes the
command end with 1.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from models.figures import Activity, Figures
from models.numbers import behind
from models.signs import Sign
from models.streams import Lane
from worker.intake_status import BrokerStatus, ConsumerStatus, IntakeStatus
from worker.signs_of_life import Kind

UNASKED_SECONDS = 10.0
"""For which an entry may wait while no pool process asks for any."""
TOLD_SECONDS = 5.0
"""By which what a process told in PostgreSQL may be behind what it does."""
UNDECIDED_SECONDS = 60.0
"""For which an entry may wait while nothing at all is decided."""
BATCH_SECONDS = 75.0
"""For which a process with entries in hand may be silent: longer, and it is killed."""
SKEW_SECONDS = 1.0
"""By which two clocks may differ."""
POSTGRESQL = "PostgreSQL"
FULL = 0.8
"""The share of Redis's memory from which it is told."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong.

    Attributes:
        code: a name for programs.
        text: what it is, in a sentence or two.
        is_grave: whether requests wait in vain, or would be decided wrongly.
    """

    code: str
    text: str
    is_grave: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """What troubles are found in; what did not answer is None.

    Attributes:
        told: the highest numbers that outcomes name, by sequence.
        ahead: by how many seconds the clock of each service is ahead of this machine's.
        looks_every: seconds after which an idle pool process asks again.
        patience: how long a request waits for a report.
        key_patience: how long a message waits for its key.
    """

    intake: IntakeStatus | None
    broker: BrokerStatus | None
    consumers: Sequence[ConsumerStatus]
    figures: Figures | None
    activity: Activity | None
    told: Mapping[str, int]
    ahead: Mapping[str, float]
    looks_every: float
    patience: timedelta
    key_patience: timedelta


def troubles(seen: Observed) -> list[Trouble]:
    """Everything that is wrong, the grave first."""
    found = [
        *_nobody_works(seen),
        *_schedules(seen),
        *_brakes(seen),
        *_broker(seen),
        *_put_back(seen),
        *_clocks(seen),
    ]
    return sorted(found, key=lambda trouble: not trouble.is_grave)


def in_words(seconds: float) -> str:
    """A span of time as people say it."""
    for unit, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


def last_asked(seen: Observed) -> float | None:
    """Seconds since a pool process last asked for entries; None if none ever did.

    A process that has entries in hand counts as asking until it would be killed for that long.
    """
    asked = [
        0.0 if consumer.pending and consumer.idle_seconds < BATCH_SECONDS else consumer.idle_seconds
        for consumer in seen.consumers
    ]
    asked += [sign.seconds for sign in _of(seen, Kind.POOL) if not seen.consumers]
    return min(asked, default=None)


def last_swept(seen: Observed) -> float | None:
    """Seconds since the schedules of any machine last swept; None if none did."""
    return min((sign.seconds for sign in _of(seen, Kind.SCHEDULES)), default=None)


def _of(seen: Observed, kind: Kind) -> list[Sign]:
    signs = [] if seen.activity is None else seen.activity.signs
    return [sign for sign in signs if sign.kind == kind]


def _since(seconds: float | None, what: str) -> str:
    return f"none has {what} yet" if seconds is None else f"last {in_words(seconds)} ago"


def _nobody_works(seen: Observed) -> Iterator[Trouble]:
    if seen.intake is None or seen.broker is None:
        return
    undelivered = sum(lane.undelivered for lane in seen.intake.lanes.values())
    waits = undelivered + sum(lane.pending or 0 for lane in seen.intake.lanes.values())
    ages = [age for age in seen.broker.oldest_seconds.values() if age is not None]
    oldest = max(ages, default=None)
    asked = last_asked(seen)
    # RabbitMQ does not tell for how long an entry waits.
    is_old = bool(undelivered) if oldest is None else oldest > UNASKED_SECONDS
    allowed = UNASKED_SECONDS if seen.consumers else _told_within(seen)
    if is_old and (asked is None or asked > allowed):
        many = "1 request waits" if waits == 1 else f"{waits:,} requests wait"
        for_how_long = "" if oldest is None else f", the oldest for {in_words(oldest)}"
        yield Trouble(
            "nobody_asks",
            f"Nobody works: {many}{for_how_long}, and no pool process asks"
            f" ({_since(asked, 'asked')}). Is `andon worker` running?",
            is_grave=True,
        )
    elif oldest is not None and oldest > _undecided_within(seen) and seen.activity is not None:
        decided = seen.activity.decided_seconds
        if decided is None or decided > UNDECIDED_SECONDS:
            yield Trouble(
                "nothing_decided",
                f"Nothing is decided ({_since(decided, 'been decided')}), and the oldest request"
                f" waits for {in_words(oldest)}. The worker's log says what it waits for.",
                is_grave=True,
            )


def _undecided_within(seen: Observed) -> float:
    """Seconds for which an entry may wait: as well for a key that may come yet."""
    return UNDECIDED_SECONDS + seen.key_patience.total_seconds()


def _told_within(seen: Observed) -> float:
    """Seconds within which a pool process that lives has told so in PostgreSQL."""
    return UNASKED_SECONDS + TOLD_SECONDS + seen.looks_every


def _schedules(seen: Observed) -> Iterator[Trouble]:
    if seen.activity is None or seen.figures is None:
        return
    swept, patience = last_swept(seen), seen.patience.total_seconds() + UNASKED_SECONDS
    if swept is not None and swept <= patience:
        return
    waits = seen.activity.waiting_seconds
    yield Trouble(
        "nobody_sweeps",
        f"The schedules do not run ({_since(swept, 'swept')}): what waits for a report is decided"
        " late, and nothing is tidied up. Is `andon schedules` running?",
        is_grave=waits is not None and waits > patience,
    )


def _brakes(seen: Observed) -> Iterator[Trouble]:
    signs = [] if seen.activity is None else seen.activity.signs
    causes: dict[str, tuple[int, float]] = {}
    for sign in signs:
        if sign.cause is not None and sign.seconds < UNDECIDED_SECONDS:
            count, longest = causes.get(sign.cause, (0, 0.0))
            causes[sign.cause] = count + 1, max(longest, sign.braked_seconds or 0.0)
    for cause, (count, longest) in causes.items():
        yield Trouble(
            "brake_is_on",
            f"The brake is on in {count} processes, for {in_words(longest)}: {cause}.",
        )


def _broker(seen: Observed) -> Iterator[Trouble]:
    broker = seen.broker
    if broker is None:
        return
    if broker.refuses is not None:
        yield Trouble("no_writes", f"Nothing can be accepted: {broker.refuses}.", is_grave=True)
    if broker.memory_used is not None and broker.memory_limit is not None:
        share = broker.memory_used / broker.memory_limit
        if share >= FULL:
            yield Trouble("memory_fills", f"Redis has used {share:.0%} of its maxmemory.")


def _put_back(seen: Observed) -> Iterator[Trouble]:
    if seen.activity is not None and behind(seen.told, seen.activity.given):
        yield Trouble(
            "put_back",
            "Outcomes name numbers that this PostgreSQL has not given out: it was put back from a"
            " backup. Workers wait until `andon restored` has let it go on beyond them.",
            is_grave=True,
        )


def _clocks(seen: Observed) -> Iterator[Trouble]:
    if POSTGRESQL not in seen.ahead:
        return
    for whose, ahead in {"this machine": 0.0, **seen.ahead}.items():
        differs = ahead - seen.ahead[POSTGRESQL]
        if abs(differs) > SKEW_SECONDS:
            side = "ahead of" if differs > 0 else "behind"
            yield Trouble(
                "clocks_differ",
                f"Clocks differ: that of {whose} is {in_words(abs(differs))} {side} that of"
                f" {POSTGRESQL}.",
            )


def oldest_of(broker: BrokerStatus, lane: Lane) -> str:
    """For how long a lane's oldest entry has waited, as a cell of a table."""
    age = broker.oldest_seconds.get(lane)
    return "" if age is None else in_words(age)
