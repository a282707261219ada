"""The command: a longer run than the tests have time for.

    python -m tests.acceptance.faults --requests 20000 --faults 100 --seed 7 --engine redis

Exit 1 if anything is not as it must be; the run's directory is kept then, for inspection.
"""

import argparse
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.acceptance.faults.brokers import ENGINES
from tests.acceptance.faults.faulting import Fault
from tests.acceptance.faults.running import Progress, Result, Run, carry_out
from tests.support.rabbitmq import VARIABLE

_SHOWN = 20
"""Findings of one run that are printed."""
_REQUESTS_A_FAULT = 150


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the runs that are asked for; the exit code."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    seed = secrets.randbelow(2**31) if asked.seed is None else asked.seed
    engines = list(ENGINES) if asked.engine == "both" else [asked.engine]
    if "rabbitmq" in engines and not os.environ.get(VARIABLE):
        parser.error(f"a run brings no RabbitMQ along: name one in {VARIABLE} (amqp://…)")
    faults = asked.faults or max(20, asked.requests // _REQUESTS_A_FAULT)
    run = Run(
        seed,
        asked.requests,
        faults,
        poison=1 + asked.requests // 4000,
        harm=frozenset(Fault[name.upper()] for name in asked.kinds) or frozenset(Fault),
    )
    console = Console(stderr=True)
    worst = 0
    for engine in engines:
        console.print(f"{engine}: {run.requests:,} requests, {faults} faults, seed {seed}")
        worst = max(worst, _one(engine, run, console, as_json=asked.json, keep=asked.keep))
    return worst


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.acceptance.faults",
        description="Publish, do harm meanwhile, and account for every request in the end.",
        epilog="Exit 1 if anything is not as it must be; the run's directory is kept then.",
    )
    number = {"type": int, "metavar": "N"}
    parser.add_argument("--requests", **number, default=20_000, help="20000 take about 2 minutes")
    parser.add_argument("--faults", **number, help="at least; one for 150 requests, or 20")
    parser.add_argument("--seed", **number, help="of the traffic and the faults; a random one")
    parser.add_argument(
        "--engine",
        choices=(*ENGINES, "both"),
        default="redis",
        help=f"redis; RabbitMQ is the one that {VARIABLE} names",
    )
    parser.add_argument(
        "--kinds",
        nargs="+",
        default=(),
        metavar="KIND",
        choices=[fault.name.lower() for fault in Fault],
        help="these kinds of faults alone, such as kill_worker",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document a run")
    parser.add_argument("--keep", action="store_true", help="keep the directory in any case")
    return parser


def _one(engine: str, run: Run, console: Console, *, as_json: bool, keep: bool) -> int:
    directory = Path(tempfile.mkdtemp(prefix=f"andon-faults-{engine}-"))
    directory.chmod(0o755)
    kept = True
    try:
        with console.status("starting the servers") as line:
            broker = ENGINES[engine](directory)
            result = carry_out(run, directory, broker, lambda it: line.update(_line(it)))
        kept = keep or bool(result.account.findings)
        _print(engine, run, result, as_json=as_json)
        return 1 if result.account.findings else 0
    except AssertionError as error:  # it has not come to rest
        console.print(f"✗ {error}", style="bold red", markup=False)
        return 1
    finally:
        if kept:
            console.print(f"Logs, journals and data are in {directory}")
        else:
            shutil.rmtree(directory)


def _line(progress: Progress) -> str:
    return (
        f"{progress.published:,} of {progress.planned:,} published, {progress.decided:,} decided, "
        f"{progress.faults} of {progress.scheduled} faults: {progress.doing}"
    )


def _print(engine: str, run: Run, result: Result, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_document(engine, run, result)))
        return
    console = Console()
    account = result.account
    for title, rows in (
        (f"Faults on {engine}", result.faults.most_common()),
        ("Account", [*account.figures.items()]),
        ("Ends", [*account.ends.items()]),
    ):
        table = Table(title=title, title_justify="left", show_header=False)
        table.add_column(min_width=44)
        table.add_column(justify="right")
        for name, count in rows:
            table.add_row(str(name), f"{count:,}")
        console.print(table)
    console.print(
        f"{result.faults.total()} faults, {result.amid} of them amid work, "
        f"{result.slow_stops} soft stops too slow, "
        f"in {result.seconds:.0f} s; seed {run.seed}"
    )
    for finding in account.findings[:_SHOWN]:
        console.print(str(finding), style="red", markup=False)
    if (more := len(account.findings) - _SHOWN) > 0:
        console.print(f"… {more} more", style="red")
    if found := len(account.findings):
        console.print(f"✗ {found} {'finding' if found == 1 else 'findings'}", style="bold red")
    else:
        console.print("✓ nothing lost, nothing doubled, everything accounted for", style="green")


def _document(engine: str, run: Run, result: Result) -> dict[str, object]:
    return {
        "engine": engine,
        "seed": run.seed,
        "faults": {fault.name.lower(): count for fault, count in result.faults.items()},
        "amid_work": result.amid,
        "slow_stops": result.slow_stops,
        "seconds": round(result.seconds, 1),
        "figures": result.account.figures,
        "ends": result.account.ends,
        "findings": [
            {"wrong": finding.wrong, "where": finding.where, "what": finding.what}
            for finding in result.account.findings
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
