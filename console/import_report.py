"""`andon import`: take in what others report in files."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from sqlalchemy import Connection

from console.command_line import read_id
from console.database import database
from console.failures import ExitCode, Failure, out_of_reach, wrong_usage
from console.import_rehearsal import rehearse_rows
from console.import_shown import show_results
from console.intake import local_client
from console.output import AsJson, check_writable, examples
from console.progress import progress_shown
from console.rehearsal import rehearsing
from models.inputs import parse_timestamp
from models.registry import Registry, load_registry
from producers.client import Client
from producers.faults import PublishFailed
from producers.imports.files import report_file
from producers.imports.importing import Importer, Stalled
from producers.imports.mapping import MappingError, load_mapping
from producers.imports.planning import Planner
from producers.imports.requests import RequestMaker
from producers.imports.results import Results, RowOutcome
from producers.imports.rows import FileFault, ReportFile
from producers.imports.survey import Survey, survey
from worker.settings import Settings, load_settings

app = typer.Typer(
    no_args_is_help=True,
    help="Import what vendors report in files.",
    epilog=examples("andon import vendor-report june.csv --mapping netco.toml --report-id netco-6"),
)

_WAIT_WHEN_FULL = 300.0
"""Seconds; nobody is kept waiting by an import."""

Time = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="When the report was made, such as 2026-11-24T09:00:00Z, for rows that do not say.",
        show_default=False,
    ),
]


@app.command(
    "vendor-report",
    epilog=examples(
        "andon import vendor-report june.csv --mapping netco.toml --report-id netco-6 --dry-run",
        "andon import vendor-report june.csv --mapping netco.toml --report-id netco-6",
        "… --results june-results.csv       and write what became of each row",
        "… --retry-halted                   and ask anew for rows that were halted",
    ),
)
def vendor_report(
    file: Annotated[Path, typer.Argument(help="The report: CSV, JSON lines or XLSX.")],
    mapping: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="What its columns mean, a TOML file (docs/vendor-reports.md)."
        ),
    ],
    report_id: Annotated[
        str,
        typer.Option(metavar="ID", help="What the report is called; the same for each run of it."),
    ],
    report_time: Time = None,
    source: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose requests they are.", show_default="the local one"),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where to write what became of each row: .csv, or .jsonl."
        ),
    ] = None,
    retry_halted: Annotated[
        bool, typer.Option("--retry-halted", help="Ask anew for rows that were halted.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Find out what would become of each row, and why; publish nothing."
        ),
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=1.0, help="Give up after so long without one decision."
        ),
    ] = 180.0,
    as_json: AsJson = False,
) -> None:
    """Make requests of a file's rows, publish them, and say what became of each row.

    A row's request is called REPORT-ID/KEY, by the mapping's key columns. Running a file again,
    after an interruption too, is safe: what is done stays done. A row that was halted and has been
    corrected is asked for anew. Exit code 1 if a row was halted or refused.
    """
    settings = load_settings()
    task = _task(settings, file, mapping, report_id, report_time, source)
    _check_results(results, not_these=(file, mapping))
    kept = Results()
    try:
        with task.client, progress_shown() as shown, _ledger(settings) as ledger:
            found = _look(task, shown)
            planner = Planner(task.maker, task.client.source, found.twice, retry_halted)
            bar = shown.add_task("Rows", total=found.rows)
            if dry_run:
                _rehearse(settings, task, planner, ledger, kept, lambda n: shown.advance(bar, n))
                failure = None
            else:
                importer = Importer(task.client, ledger, planner, kept, timeout)
                failure = _run(importer, task.file, lambda n: shown.advance(bar, n))
        if results is not None:
            kept.write(results)
        show_results(kept, dry_run=dry_run, as_json=as_json)
    finally:
        kept.close()
    if failure is not None:
        raise failure
    if kept.counts[RowOutcome.HALTED] or kept.counts[RowOutcome.REFUSED]:
        raise typer.Exit(ExitCode.HALTED)


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be imported, looked over."""

    file: ReportFile
    maker: RequestMaker
    client: Client
    registry: Registry


def _task(
    settings: Settings,
    file: Path,
    mapping: Path,
    report_id: str,
    report_time: str | None,
    source: str | None,
) -> Task:
    try:
        read = load_mapping(mapping)
        opened = report_file(file, read.options)
    except MappingError as error:
        raise wrong_usage(str(error)) from None
    except FileFault as fault:
        raise wrong_usage(f"{file} {fault}.") from None
    time = _time(report_time)
    if time is None and (timeless := read.needs_time):
        raise wrong_usage(
            f"The mapping's {', '.join(timeless)} has no time, which orders what is asked about an"
            " incident, and may not differ between two runs. Name a column with `time`, or say when"
            " the report was made: --report-time 2026-11-24T09:00:00Z"
        )
    registry = load_registry(settings.producers_file)
    client = local_client(settings, registry, source, wait_when_full=_WAIT_WHEN_FULL)
    maker = RequestMaker(read_id("--report-id", report_id), read, time, datetime.now(UTC))
    return Task(opened, maker, client, registry)


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = parse_timestamp(text)
    except ValueError as error:
        raise wrong_usage(f"--report-time {error}, such as 2026-11-24T09:00:00Z.") from None
    if time > datetime.now(UTC):
        raise wrong_usage("--report-time lies in the future.")
    return time


@contextmanager
def _ledger(settings: Settings) -> Iterator[Connection]:
    """A connection that only reads, each statement a transaction of its own."""
    with (
        database(settings.database_url.get_secret_value()) as engine,
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        yield connection


def _look(task: Task, shown: Progress) -> Survey:
    bar = shown.add_task("Looking through the file", total=None)
    try:
        return survey(task.file, task.maker, lambda rows: shown.update(bar, completed=rows))
    except FileFault as fault:
        raise wrong_usage(f"The file {fault}.") from None
    except OSError as error:
        raise wrong_usage(f"The file cannot be read: {error.strerror}.") from None
    finally:
        shown.remove_task(bar)


def _rehearse(
    settings: Settings,
    task: Task,
    planner: Planner,
    ledger: Connection,
    kept: Results,
    advance: Callable[[int], None],
) -> None:
    with rehearsing(settings, task.registry) as rehearsal:
        rows = task.file.rows()
        for noted in rehearse_rows(rows, planner, task.client, ledger, rehearsal, kept):
            advance(noted)


def _run(importer: Importer, file: ReportFile, advance: Callable[[int], None]) -> Failure | None:
    """Import everything; why that did not come to its end, if it did not."""
    try:
        for settled in importer.run(file.rows()):
            advance(settled)
    except KeyboardInterrupt:
        return Failure(f"Interrupted. {_undecided(importer)}", ExitCode.INTERRUPTED)
    except Stalled:
        return out_of_reach(
            f"For {importer.patience:g} s nothing was decided: does a worker run (`andon status`)?"
            f" {_undecided(importer)}"
        )
    except PublishFailed as failure:
        return out_of_reach(f"{failure} {_undecided(importer)}")
    except (FileFault, OSError) as fault:
        return wrong_usage(
            f"The file was changed while it was imported ({fault}). {_undecided(importer)}"
        )
    return None


def _undecided(importer: Importer) -> str:
    count = importer.abandon()
    if count == 0:
        return "Run the same command again: what was done stays done."
    return (
        f"{count:,} requests are accepted and not known to be decided; nothing is lost. Run the"
        " same command again: what was done stays done."
    )


def _check_results(path: Path | None, *, not_these: Sequence[Path]) -> None:
    if path is None:
        return
    if path.resolve() in {other.resolve() for other in not_these}:
        raise wrong_usage(f"{path} is read by this command, and would be overwritten.")
    check_writable(path)
