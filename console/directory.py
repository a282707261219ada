"""`andon directory`: load reference data (clients, users, vendors, products …) from files."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from console.database import database
from console.failures import ExitCode, wrong_usage
from console.output import AsJson, examples, notices, print_document, screen, table, visible
from console.progress import progress_shown
from models.directory import Load, load_directory
from models.sheet_files import NoDirectoryFilesError, find_files
from models.sheets import Fault, place
from worker.settings import Settings, load_settings

app = typer.Typer(
    no_args_is_help=True,
    help="Load reference data: clients, users, vendors …",
    epilog=examples("andon directory load ./directory --dry-run", "andon directory load users.csv"),
)

_FAULTS_SHOWN = 100


@app.command(
    epilog=examples(
        "andon directory load ./directory            files named as the tables",
        "andon directory load users.csv --dry-run    what would change, or is wrong",
    )
)
def load(
    path: Annotated[Path, typer.Argument(help="A folder of directory files, or one of them.")],
    as_json: AsJson = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Find out everything, and change nothing.")
    ] = False,
) -> None:
    """Load clients, vendors, users, products, components and subscriptions, all or nothing.

    Files are CSV or JSON and named as the tables: users.csv, products.json. What is stored already
    is updated. With any fault nothing is changed, every bad row is named, and the exit code is 1.
    It connects as the owner (ANDON_OWNER_DATABASE_URL).
    """
    done = load_path(load_settings(), path, dry_run=dry_run)
    if as_json:
        print_document({"dry_run": dry_run, **asdict(done), "faults": _documents(done)})
    elif done.faults:
        _show_faults(done)
    else:
        screen().print(_table_of(done, "Would be loaded" if dry_run else "Loaded"))
    for file in done.files:
        if file.rows == 0:
            notices().print(f"{file.file} holds 0 rows.", markup=False)
    if done.faults:
        raise typer.Exit(ExitCode.HALTED)


def load_path(settings: Settings, path: Path, *, dry_run: bool = False) -> Load:
    """Load what is at *path*, showing how it goes on stderr when that is a terminal.

    Raises:
        Failure: there is no directory file at *path*, or the database is out of reach.
    """
    try:
        files, misplaced = find_files(path)
    except NoDirectoryFilesError as error:
        raise wrong_usage(f"{error}.") from None
    with progress_shown() as shown, database(settings.owner_url, statement_timeout_ms=0) as engine:
        tasks = {file.name: shown.add_task(file.name, total=None) for file in files}
        done = load_directory(
            engine,
            files,
            key=settings.current_audit_key(),
            dry_run=dry_run or bool(misplaced),
            progress=lambda name, rows: shown.update(tasks[name], completed=rows),
        )
    if misplaced:
        return Load((), (*misplaced, *done.faults))
    return done


def _table_of(done: Load, title: str) -> object:
    columns = ("file", "#rows", "#created", "#updated", "#unchanged")
    rows = [
        (each.file, each.rows, each.created, each.updated, each.unchanged) for each in done.files
    ]
    return table(title, columns, rows)


def _show_faults(done: Load) -> None:
    for fault in done.faults[:_FAULTS_SHOWN]:
        screen().print(visible(_sentence(fault)), markup=False, soft_wrap=True)
    rest = len(done.faults) - _FAULTS_SHOWN
    if rest > 0:
        screen().print(f"… and {rest} more (--json shows all)")
    count = len(done.faults)
    notices().print(
        f"Nothing was loaded: {count:,} {'fault' if count == 1 else 'faults'}.", style="red"
    )


def _sentence(fault: Fault) -> str:
    where = fault.file if fault.row is None else f"{fault.file} {place(fault.file, fault.row)}"
    what = f"{fault.column} {fault.message}" if fault.column is not None else fault.message
    return f"{where}: {what}"


def _documents(done: Load) -> list[dict[str, object]]:
    return [fault._asdict() for fault in done.faults]
