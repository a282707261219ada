"""Every figure that Andon gives of its speed, measured in one run on this machine.

Each part runs on a copy of the same database, on the same Redis. `--only mix,ceiling` picks parts;
docs/performance.md says what each of them measures.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from benchmarks import ceiling, celery_baseline, gateway, publishing, vendor_report
from benchmarks.accounts import check
from benchmarks.figures import Figure, document, table_of
from benchmarks.latency import bulk_load, measured_latencies, percentiles
from benchmarks.mix import DECK, mix, whole_decks
from benchmarks.stage import KEY_ID, SECRET, SOURCE, Stage, stage
from benchmarks.textbook import worker as textbook
from benchmarks.throughput import SLICE, course
from benchmarks.world import OLDER_INCIDENTS, add_incidents, settle
from models.streams import Lane

progress = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        requests: of the mix in a round.
        rounds: of each figure.
        tasks: of Celery in a round, empty or the textbook worker's.
        configurations: set-ups of Celery's worker for the empty task.
        latencies: requests in a round whose latency is measured.
        stored: incidents, ledger rows and audit records that are there beside the world's.
        backlogs: requests that wait.
        first: requests after which memory is looked at for the first time.
        total: and for the last time.
    """

    requests: int = 60_000
    rounds: int = 3
    tasks: int = 3_000
    configurations: int = len(celery_baseline.CONFIGURATIONS)
    latencies: int = 600
    stored: tuple[int, ...] = (0, 1_000_000, 5_000_000)
    backlogs: tuple[int, ...] = (10_000, 1_000_000)
    first: int = 50_000
    total: int = 1_000_000


QUICK = Size(
    requests=6_000,
    rounds=1,
    tasks=200,
    configurations=1,
    latencies=200,
    stored=(50_000,),
    backlogs=(10_000, 20_000),
    first=5_000,
    total=20_000,
)


def _celery(measured: Stage, size: Size) -> list[Figure]:
    url = measured.settings.broker_url.get_secret_value()
    return [
        Figure(
            "celery",
            f"empty Celery task, {configuration}",
            tuple(
                celery_baseline.requests_per_second(url, configuration, size.tasks)
                for _ in range(size.rounds)
            ),
        )
        for configuration in celery_baseline.CONFIGURATIONS[: size.configurations]
    ]


def _mix(measured: Stage, size: Size) -> list[Figure]:
    own = measured.copy("mix")
    rounds = range(size.rounds)
    with course(own) as running:
        pipelined = tuple(running.pipelined(size.requests) for _ in rounds)
        bulk = tuple(running.pipelined(size.requests, lane=Lane.BULK) for _ in rounds)
        singles = tuple(running.singles(size.requests // 10) for _ in rounds)
    check(own, running.rounds)
    return [
        Figure("mix", "Andon, published pipelined", pipelined),
        Figure("mix", "Andon, published pipelined, bulk lane", bulk),
        Figure("mix", "Andon, published one by one by one client", singles),
    ]


def _ceiling(measured: Stage, size: Size) -> list[Figure]:
    # A fifth and 20 batches more, since batches are shared out by the chains of the audit.
    spare = 20 * measured.settings.batch_size
    requests = whole_decks(int(size.rounds * size.requests * 1.2) + spare)
    events = list(mix(requests, source=SOURCE, key_id=KEY_ID, secret=SECRET, seed=1))
    rounds = ceiling.requests_per_second(measured, events, rounds=size.rounds)
    return [Figure("ceiling", "the same rows by set-based SQL alone", tuple(rounds))]


def _textbook(measured: Stage, size: Size) -> list[Figure]:
    own = measured.copy("textbook")
    requests = size.rounds * whole_decks(size.tasks) + DECK
    events = list(mix(requests, source=SOURCE, key_id=KEY_ID, secret=SECRET, seed=1))
    rounds = textbook.requests_per_second(own, events, rounds=size.rounds)
    check(own, [requests], tallied=False)
    return [Figure("textbook", "a Celery task and an ORM transaction a request", rounds)]


def _latency(measured: Stage, size: Size) -> list[Figure]:
    own = measured.copy("latency")
    with course(own) as running:
        idle = [
            measured_latencies(running, running.events(size.latencies)) for _ in range(size.rounds)
        ]
        rate = running.pipelined(size.requests, lane=Lane.BULK) / 2
        loaded = []
        for _ in range(size.rounds):
            with bulk_load(running, rate=rate, seconds=size.latencies * 0.1):
                loaded.append(measured_latencies(running, running.events(size.latencies)))
    check(own, running.rounds)
    return [
        *percentiles("latency", "publish to outcome, idle", idle),
        *percentiles("latency", "urgent, with bulk at half the throughput", loaded),
        Figure("latency", "bulk meanwhile", (rate,), "bulk requests/s"),
    ]


def _growth(measured: Stage, size: Size) -> list[Figure]:
    figures = []
    for stored in size.stored:
        own = measured.copy("growth")
        engine = own.owner
        add_incidents(engine, OLDER_INCIDENTS + 1, OLDER_INCIDENTS + stored)
        settle(engine)
        engine.dispose()
        with course(own) as running:
            rates = tuple(running.pipelined(size.requests) for _ in range(size.rounds))
            idle = measured_latencies(running, running.events(size.latencies))
        check(own, running.rounds)
        there = f"{stored:,} incidents stored"
        figures += [Figure("growth", there, rates), *percentiles("growth", there, [idle])]
    return figures


def _backlog(measured: Stage, size: Size) -> list[Figure]:
    own = measured.copy("backlog")
    figures = []
    with course(own) as running:
        for waiting in size.backlogs:
            slices = min(10, waiting // SLICE)
            rates, held = [], 0.0
            for _ in range(size.rounds if slices == 1 else 1):
                some, megabytes = running.backlog(waiting, slices=slices)
                rates += some
                held = max(held, megabytes)
            there = f"{waiting:,} waiting"
            figures += [
                Figure("backlog", there, tuple(rates)),
                Figure("backlog", f"{there}, pool processes' memory", (held,), "MiB"),
            ]
    check(own, running.rounds)
    return figures


def _memory(measured: Stage, size: Size) -> list[Figure]:
    own = measured.copy("memory")
    with course(own, concurrency=1) as running:
        running.steady(size.first)
        first = running.megabytes()
        running.steady(size.total - size.first)
        last = running.megabytes()
    check(own, running.rounds)
    return [
        Figure("memory", f"one process, after {size.first:,} requests", (first,), "MiB"),
        Figure("memory", f"one process, after {size.total:,} requests", (last,), "MiB"),
    ]


def _publishing(measured: Stage, size: Size) -> list[Figure]:
    url = measured.settings.broker_url.get_secret_value()
    found = publishing.requests_per_second(url, size.requests, rounds=size.rounds)
    return [Figure("publishing", way, rates, "published/s") for way, rates in found.items()]


def _gateway(measured: Stage, size: Size) -> list[Figure]:
    own = measured.copy("gateway")
    own.redis.flushall()
    figures = []
    for way, rounds in gateway.measure(own, alerts=size.requests // 3, rounds=size.rounds).items():
        accepted = tuple(one.accepted for one in rounds)
        processed = tuple(one.processed for one in rounds)
        slowest = tuple(one.p99_ms for one in rounds)
        figures += [
            Figure("gateway", f"{way}, accepted", accepted, "alerts/s"),
            Figure("gateway", f"{way}, decided", processed, "alerts/s"),
            Figure("gateway", f"{way}, a call, p99", slowest, "ms"),
        ]
    return figures


def _vendor_report(measured: Stage, size: Size) -> list[Figure]:
    own = measured.copy("vendor_report")
    own.redis.flushall()
    with tempfile.TemporaryDirectory(prefix="andon-bench-report-") as name:
        first, again = vendor_report.measure(own, Path(name), rows=size.requests)
    return [
        Figure(
            "vendor_report",
            "a CSV report of faults and follow-ups",
            (first.rows_per_second,),
            "rows/s",
        ),
        Figure("vendor_report", "the same report again", (again.rows_per_second,), "rows/s"),
        Figure("vendor_report", "the importer's memory", (first.resident_mb,), "MiB"),
    ]


PARTS: Mapping[str, Callable[[Stage, Size], list[Figure]]] = {
    "celery": _celery,
    "textbook": _textbook,
    "mix": _mix,
    "ceiling": _ceiling,
    "latency": _latency,
    "growth": _growth,
    "backlog": _backlog,
    "memory": _memory,
    "publishing": _publishing,
    "gateway": _gateway,
    "vendor_report": _vendor_report,
}


def main() -> None:
    """Measure, and print a table or JSON."""
    options = _options()
    size = _size(options)
    figures: list[Figure] = []
    with stage(options.appendfsync) as measured:
        for name in options.only:
            began = time.monotonic()
            with progress.status(f"{name} …"):
                figures += PARTS[name](measured, size)
            progress.print(f"{name}: {time.monotonic() - began:.0f} s", style="dim")
    found = document(figures, appendfsync=options.appendfsync)
    if options.output:
        options.output.write_text(json.dumps(found, indent=2) + "\n")
    if options.json:
        json.dump(found, sys.stdout, indent=2)
    else:
        Console().print(table_of(figures, appendfsync=options.appendfsync))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", type=_parts, default=list(PARTS), help=f"some of {', '.join(PARTS)}"
    )
    parser.add_argument("--quick", action="store_true", help="a short form, for CI")
    parser.add_argument("--requests", type=int, help="requests of the mix in a round")
    parser.add_argument("--rounds", type=int, help="rounds of each figure; the median counts")
    parser.add_argument("--tasks", type=int, help="empty Celery tasks in a round")
    parser.add_argument("--appendfsync", choices=("always", "everysec"), default="always")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--output", type=Path, metavar="FILE", help="keep the figures as JSON too")
    return parser.parse_args()


def _parts(value: str) -> list[str]:
    names = value.split(",")
    if unknown := set(names) - PARTS.keys():
        raise argparse.ArgumentTypeError(
            f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}"
        )
    return names


def _size(options: argparse.Namespace) -> Size:
    of = QUICK if options.quick else Size()
    return replace(
        of,
        requests=whole_decks(options.requests or of.requests),
        rounds=options.rounds or of.rounds,
        tasks=options.tasks or of.tasks,
    )


if __name__ == "__main__":
    main()
