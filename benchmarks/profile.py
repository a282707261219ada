"""Where the time of a request goes: the whole path in this one process, step by step.

    python -m benchmarks.profile --requests 10000 [--cprofile FILE]

Publishes the mix, then reads, runs, publishes and acknowledges it as a pool process does, on a
real Redis and a real PostgreSQL, with one connection to each. *waits* is what this process spends
on neither the step's Python nor another step: the servers' work and the way there.
"""

import argparse
import cProfile
import pstats
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

import tasks.pipeline
from benchmarks.mix import mix, whole_decks
from benchmarks.stage import BATCH_SIZE, KEY_ID, SECRET, SOURCE, Stage, stage
from producers.client import Client
from worker.app import collect_rarely
from worker.runtime import Runtime
from worker.stopping import Calls, StopFlag

STEPS = (
    "decode",
    "claim",
    "gather",
    "decide",
    "new_ids",
    "conclude",
    "write_effects",
    "write_verdicts",
    "audit_entry",
    "write_audit",
)
"""What ``tasks.pipeline.run`` calls; a step that it no longer has is left out."""
WARM_UP = 20
"""Batches that are run before the clock starts."""


@dataclass(slots=True)
class Stopwatch:
    """Wall-clock and CPU seconds, by step; a step within a step counts for itself alone."""

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    _inner: list[tuple[float, float]] = field(default_factory=list)

    def timed(self, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        """*step*, timed under *name*."""

        def call(*args: object, **named: object) -> object:
            wall, cpu = time.perf_counter(), time.process_time()
            self._inner.append((0.0, 0.0))
            try:
                return step(*args, **named)
            finally:
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                inner_wall, inner_cpu = self._inner.pop()
                self.wall[name] = self.wall.get(name, 0.0) + wall - inner_wall
                self.cpu[name] = self.cpu.get(name, 0.0) + cpu - inner_cpu
                if self._inner:
                    outer_wall, outer_cpu = self._inner[-1]
                    self._inner[-1] = (outer_wall + wall, outer_cpu + cpu)

        return call

    def forget(self) -> None:
        """Begin anew."""
        self.wall.clear()
        self.cpu.clear()


@contextmanager
def instrumented(watch: Stopwatch) -> Iterator[None]:
    """Have the pipeline's steps timed."""
    steps = {name: getattr(tasks.pipeline, name) for name in STEPS if hasattr(tasks.pipeline, name)}
    for name, step in steps.items():
        setattr(tasks.pipeline, name, watch.timed(name, step))
    try:
        yield
    finally:
        for name, step in steps.items():
            setattr(tasks.pipeline, name, step)


def run(measured: Stage, requests: int, profiler: cProfile.Profile | None) -> Stopwatch:
    """Take the mix through the pipeline; the times of *requests* of it."""
    settings = measured.settings
    batch = settings.batch_size
    client = Client(
        settings.broker_url.get_secret_value(), source=SOURCE, key_id=KEY_ID, secret=SECRET
    )
    events = mix(
        whole_decks(requests + WARM_UP * batch),
        source=SOURCE, key_id=KEY_ID, secret=SECRET, seed=1,
    )  # fmt: skip
    client.publish(events)
    runtime = Runtime(settings, StopFlag(), Calls())
    watch = Stopwatch()
    receive = watch.timed("receive", runtime.intake.receive)
    finish = watch.timed("finish", runtime.intake.finish)
    # What is left of the transaction: begin, commit, and the loop itself.
    process = watch.timed("commit", lambda deliveries: list(runtime.pipeline.process(deliveries)))

    def run_batch() -> int:
        deliveries = receive(batch)
        for verdicts in process(deliveries):
            finish([(verdict.claim.message.delivery, verdict.outcome) for verdict in verdicts])
        return len(deliveries)

    with instrumented(watch):
        for _ in range(WARM_UP):
            run_batch()
        collect_rarely()
        watch.forget()
        done = 0
        with profiler or nullcontext():
            while done < requests:
                done += run_batch()
    for times in (watch.wall, watch.cpu):
        for name in times:
            times[name] /= done
    return watch


def main() -> None:
    """Print µs a request, step by step."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--batch-size", type=int, default=BATCH_SIZE, help="as ANDON_BATCH_SIZE")
    parser.add_argument("--appendfsync", choices=("always", "everysec"), default="always")
    parser.add_argument("--cprofile", metavar="FILE", help="profile too, and keep the figures")
    options = parser.parse_args()
    profiler = cProfile.Profile() if options.cprofile else None
    with stage(options.appendfsync, batch_size=options.batch_size) as measured:
        watch = run(measured, options.requests, profiler)
    table = Table(title="µs a request, one process")
    for name in ("step", "all", "CPU here", "waits"):
        table.add_column(name, justify="left" if name == "step" else "right")
    for name in ("receive", *STEPS, "commit", "finish"):
        if name in watch.wall:
            _add(table, name, watch.wall[name], watch.cpu[name])
    table.add_section()
    _add(table, "in all", sum(watch.wall.values()), sum(watch.cpu.values()))
    Console().print(table)
    if profiler is not None:
        profiler.dump_stats(options.cprofile)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


def _add(table: Table, name: str, wall: float, cpu: float) -> None:
    table.add_row(name, *(f"{value * 1e6:.1f}" for value in (wall, cpu, max(0.0, wall - cpu))))


if __name__ == "__main__":
    main()
