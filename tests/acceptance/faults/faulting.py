"""The kinds of faults, and the seeded order in which they come.

A fault that ends by itself (a process that is stopped, a proxy that stalls) is undone later, while
the next faults already come.
"""

import os
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from enum import StrEnum
from random import Random

from tests.acceptance.faults.stage import CLAIM_IDLE, STATEMENT_LIMIT, Stage
from tests.support.workers import pool_of


class Fault(StrEnum):
    """What may go wrong, as it is shown in the table."""

    KILL_MAIN = "kill -9 of the worker's main process"
    KILL_WORKER = "kill -9 of the whole worker"
    KILL_POOL = "kill -9 of a pool process"
    STOP_POOL = "SIGSTOP of a pool process past its claim"
    STOP_MAIN = "SIGSTOP of the main process"
    TERMINATE = "SIGTERM and restart of the worker"
    KILL_SCHEDULES = "kill -9 of the schedules"
    KILL_GATEWAY = "kill -9 of the gateway"
    TERMINATE_GATEWAY = "SIGTERM and restart of the gateway"
    KILL_IMPORTER = "kill -9 and restart of the importer"
    KILL_BROKER = "kill -9 and restart of the broker"
    KILL_POSTGRES = "kill -9 and restart of PostgreSQL"
    CLOSE_CLIENTS = "the broker closes its connections"
    TERMINATE_BACKENDS = "pg_terminate_backend of the workers"
    DROP_BROKER = "connections worker–broker dropped"
    DROP_POSTGRES = "connections worker–PostgreSQL dropped"
    DROP_PRODUCERS = "connections producer–broker dropped"
    LOSE_BROKER = "replies broker–worker lost"
    LOSE_POSTGRES = "replies PostgreSQL–worker lost"
    LOSE_PRODUCERS = "replies broker–producer lost"
    TEAR_BROKER = "worker–broker cut in the middle of a request"
    TEAR_POSTGRES = "worker–PostgreSQL cut in the middle of one"
    TEAR_PRODUCERS = "producer–broker cut in the middle of one"
    STALL_BROKER = "worker–broker stalled"
    STALL_POSTGRES = "worker–PostgreSQL stalled"
    REFUSE_BROKER = "worker–broker refused"
    REFUSE_POSTGRES = "worker–PostgreSQL refused"
    SLOW_POSTGRES = "each reply of PostgreSQL late, just within its limit"
    COPIES = "one request in many copies"
    GARBAGE = "one piece of garbage in many copies"
    FILL_BROKER = "the broker at its maxmemory"
    REISSUE_ENTRY = "an entry number given out twice"
    CLOCK_WORKER = "the worker's clock jumps"
    CLOCK_SCHEDULES = "the schedules' clock jumps"
    CLOCK_GATEWAY = "the gateway's clock jumps"
    CLOCK_PRODUCER = "a producer's clock is wrong"
    SAVE_REGISTRY = "the registry saved slowly"
    IDLE_GATEWAY = "the gateway under idle connections"
    OLDER_BROKER = "an older state of the broker put back"
    OLDER_POSTGRES = "an older state of PostgreSQL put back"


Harm = Callable[[Stage, Random], None]


def _kill_main(stage: Stage, _: Random) -> None:
    stage.kill_main()
    stage.start_worker()


def _kill_worker(stage: Stage, _: Random) -> None:
    stage.worker.kill()
    stage.start_worker()


def _kill_pool(stage: Stage, rng: Random) -> None:
    pool = pool_of(stage.worker)
    for pid in rng.sample(pool, min(len(pool), rng.choice((1, 1, 2)))):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _stop_pool(stage: Stage, rng: Random) -> None:
    if pool := pool_of(stage.worker):
        _stop(stage, rng.choice(pool), CLAIM_IDLE + rng.uniform(0.5, 1.5))


def _stop_main(stage: Stage, rng: Random) -> None:
    _stop(stage, stage.worker.process.pid, rng.uniform(0.2, CLAIM_IDLE + 1))


def _stop(stage: Stage, pid: int, seconds: float) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        stage.signal_later(seconds, pid, signal.SIGCONT)


def _terminate(stage: Stage, _: Random) -> None:
    stage.terminate_worker()
    stage.start_worker()


def _kill_schedules(stage: Stage, _: Random) -> None:
    stage.kill_schedules()
    stage.start_schedules()


def _kill_gateway(stage: Stage, _: Random) -> None:
    stage.gateway.kill()
    stage.start_gateway()


def _terminate_gateway(stage: Stage, _: Random) -> None:
    stage.gateway.terminate()
    stage.start_gateway()


def _kill_importer(stage: Stage, _: Random) -> None:
    with stage.importer_kills.get_lock():
        stage.importer_kills.value += 1


def _kill_broker(stage: Stage, _: Random) -> None:
    assert stage.broker.server is not None
    stage.broker.server.kill()
    stage.broker.restart()


def _kill_postgres(stage: Stage, _: Random) -> None:
    stage.postgres.kill()
    stage.postgres.start()


def _stall_broker(stage: Stage, rng: Random) -> None:
    stage.broker.to_workers.stall()
    stage.later(rng.uniform(0.3, CLAIM_IDLE + 1), stage.broker.to_workers.flow)


def _stall_postgres(stage: Stage, rng: Random) -> None:
    stage.to_postgres.stall()
    stage.later(rng.uniform(0.3, CLAIM_IDLE + 1), stage.to_postgres.flow)


def _refuse_broker(stage: Stage, rng: Random) -> None:
    stage.broker.to_workers.refuse()
    stage.later(rng.uniform(0.3, 2), stage.broker.to_workers.accept)


def _refuse_postgres(stage: Stage, rng: Random) -> None:
    stage.to_postgres.refuse()
    stage.later(rng.uniform(0.3, 2), stage.to_postgres.accept)


def _slow_postgres(stage: Stage, rng: Random) -> None:
    stage.to_postgres.slow_down(rng.uniform(0.3, 0.9) * STATEMENT_LIMIT)
    stage.later(rng.uniform(2, 2 * CLAIM_IDLE), stage.to_postgres.slow_down)


def _fill_broker(stage: Stage, rng: Random) -> None:
    stage.broker.fill()
    stage.later(rng.uniform(0.5, 2), stage.broker.empty)


def _reissue_entry(stage: Stage, rng: Random) -> None:
    stage.traffic.reissue(stage.decided_entries(), rng)


def _jump(process: str) -> Harm:
    def jump(stage: Stage, rng: Random) -> None:
        clock = stage.clocks[process]
        clock.set(_shift(rng).total_seconds())
        stage.later(rng.uniform(0.5, CLAIM_IDLE + 1), clock.set)

    return jump


def _shift(rng: Random) -> timedelta:
    """By minutes or by a month, ahead or behind."""
    far = rng.choice((timedelta(minutes=rng.uniform(1, 10)), timedelta(days=31)))
    return rng.choice((-1, 1)) * far


def _save_registry(stage: Stage, rng: Random) -> None:
    seconds = rng.uniform(0.5, 2)
    stage.later(0, lambda: stage.save_registry_slowly(seconds))


def _idle_gateway(stage: Stage, rng: Random) -> None:
    seconds = rng.uniform(1, 3)
    stage.later(0, lambda: stage.hold_idle(seconds))


PREPARATION: Mapping[Fault, Callable[[Stage], None]] = {
    Fault.OLDER_BROKER: Stage.remember_broker,
    Fault.OLDER_POSTGRES: Stage.remember_postgres,
}
"""What is done before the traffic that a fault then meets."""

HARM: Mapping[Fault, Harm] = {
    Fault.KILL_MAIN: _kill_main,
    Fault.KILL_WORKER: _kill_worker,
    Fault.KILL_POOL: _kill_pool,
    Fault.STOP_POOL: _stop_pool,
    Fault.STOP_MAIN: _stop_main,
    Fault.TERMINATE: _terminate,
    Fault.KILL_SCHEDULES: _kill_schedules,
    Fault.KILL_GATEWAY: _kill_gateway,
    Fault.TERMINATE_GATEWAY: _terminate_gateway,
    Fault.KILL_IMPORTER: _kill_importer,
    Fault.KILL_BROKER: _kill_broker,
    Fault.KILL_POSTGRES: _kill_postgres,
    Fault.CLOSE_CLIENTS: lambda stage, _: stage.broker.close_clients(),
    Fault.TERMINATE_BACKENDS: lambda stage, _: stage.terminate_backends(),
    Fault.DROP_BROKER: lambda stage, _: stage.broker.to_workers.drop(),
    Fault.DROP_POSTGRES: lambda stage, _: stage.to_postgres.drop(),
    Fault.DROP_PRODUCERS: lambda stage, _: stage.broker.to_producers.drop(),
    Fault.LOSE_BROKER: lambda stage, _: stage.broker.to_workers.lose_replies(),
    Fault.LOSE_POSTGRES: lambda stage, _: stage.to_postgres.lose_replies(),
    Fault.LOSE_PRODUCERS: lambda stage, _: stage.broker.to_producers.lose_replies(),
    Fault.TEAR_BROKER: lambda stage, _: stage.broker.to_workers.tear(),
    Fault.TEAR_POSTGRES: lambda stage, _: stage.to_postgres.tear(),
    Fault.TEAR_PRODUCERS: lambda stage, _: stage.broker.to_producers.tear(),
    Fault.STALL_BROKER: _stall_broker,
    Fault.STALL_POSTGRES: _stall_postgres,
    Fault.REFUSE_BROKER: _refuse_broker,
    Fault.REFUSE_POSTGRES: _refuse_postgres,
    Fault.SLOW_POSTGRES: _slow_postgres,
    Fault.COPIES: lambda stage, rng: stage.traffic.copies(rng),
    Fault.GARBAGE: lambda stage, rng: stage.traffic.garbage(rng),
    Fault.FILL_BROKER: _fill_broker,
    Fault.REISSUE_ENTRY: _reissue_entry,
    Fault.CLOCK_WORKER: _jump("worker"),
    Fault.CLOCK_SCHEDULES: _jump("schedules"),
    Fault.CLOCK_GATEWAY: _jump("gateway"),
    Fault.CLOCK_PRODUCER: lambda stage, rng: stage.traffic.shifted(rng, _shift(rng)),
    Fault.SAVE_REGISTRY: _save_registry,
    Fault.IDLE_GATEWAY: _idle_gateway,
    Fault.OLDER_BROKER: lambda stage, _: stage.put_back_broker(),
    Fault.OLDER_POSTGRES: lambda stage, _: stage.put_back_postgres(),
}

OF_A_BROKER_OF_ITS_OWN = frozenset(
    {
        Fault.KILL_BROKER,
        Fault.CLOSE_CLIENTS,
        Fault.FILL_BROKER,
        Fault.REISSUE_ENTRY,
        Fault.OLDER_BROKER,
        Fault.OLDER_POSTGRES,
    }
)
"""Not done to a broker that others use too, or not to be accounted for without entry numbers."""


def schedule(rng: Random, faults: int, *, kinds: Collection[Fault]) -> Sequence[Fault]:
    """Which faults come, *faults* of them; each kind comes once before any comes again."""
    each_kind = [kind for kind in Fault if kind in kinds]
    order: list[Fault] = []
    while len(order) < faults:
        order += rng.sample(each_kind, min(len(each_kind), faults - len(order)))
    return order
