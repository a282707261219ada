"""`andon send`: publish requests from a file, and see what becomes of them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import Progress

from console.exchange import Exchange
from console.exchange_shown import Timeout, Wait, nothing_to_advance, run_exchange
from console.failures import ExitCode, wrong_usage
from console.intake import local_client, publisher_of
from console.output import notices, print_lines, visible
from console.rehearsal import DryRun, rehearsing
from console.request_examples import example_line
from console.request_lines import Line, LineReader, opened
from models.registry import Registry, load_registry
from models.streams import Lane
from worker.settings import Settings, load_settings

_WORTH_A_BAR = 1_000


def send(
    file: Annotated[
        str | None, typer.Argument(help="JSON lines; - is standard input.", show_default=False)
    ] = None,
    wait: Wait = False,
    timeout: Timeout = 60.0,
    bulk: Annotated[
        bool, typer.Option("--bulk", help="Send by the lane that gives way to urgent requests.")
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The source of lines in the short form.",
            show_default="the local one",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what would be decided, and why; send nothing."),
    ] = False,
    example: Annotated[
        str | None,
        typer.Option(metavar="PROCEDURE", help="Print a line to start from, and send nothing."),
    ] = None,
) -> None:
    """Send requests: whole CloudEvents, or {"procedure": …, "data": …, "id": …, "time": …}.

    Give each line an id of your own. A request with an id may be sent again, after a timeout or
    Ctrl-C too: it gets the outcome of the first time. Without one, each time is another request.
    Nothing is sent of a file in which a line is faulty. What is printed is JSON lines.
    """
    if example is not None:
        if file is not None or source is not None or wait or bulk or dry_run:
            raise wrong_usage(
                "--example prints a line and sends nothing. Write it to a file, and send that:"
                f" andon send --example {example} > FILE, then andon send FILE"
            )
        print_lines([example_line(example)])
        return
    if file is None:
        raise wrong_usage("Give a FILE of JSON lines, or - for standard input.")
    settings = load_settings()
    registry = load_registry(settings.producers_file)
    with (
        opened(file) as lines,
        local_client(settings, registry, source) as client,
        publisher_of(settings) as publisher,
    ):
        reader = LineReader(client, registry)
        count = reader.check(lines)
        if count == 0:
            notices().print(f"0 requests: there is no line in {visible(file)}.", markup=False)
        if dry_run:
            _rehearse(settings, registry, reader.lines(lines))
            return
        exchange = Exchange(publisher, Lane.BULK if bulk else Lane.URGENT)
        with _progress(count) as advance:
            run_exchange(
                exchange,
                reader.lines(lines),
                timeout=timeout if wait else None,
                advance=advance,
            )


def _rehearse(settings: Settings, registry: Registry, lines: Iterator[Line]) -> None:
    """Print a decision a line, with what it rests on.

    Raises:
        typer.Exit: something would be halted.
    """
    halted = False
    with rehearsing(settings, registry) as rehearsal:
        events = ((line, line.signed) for line in lines)
        for _, decision in DryRun[Line](rehearsal).decisions(events):
            print_lines([decision])
            halted |= decision["decision"] == "halted"
    if halted:
        raise typer.Exit(ExitCode.HALTED)


@contextmanager
def _progress(count: int) -> Iterator[Callable[[], None]]:
    """A bar on the terminal, where nothing else shows how far it is."""
    if count < _WORTH_A_BAR or not sys.stderr.isatty() or sys.stdout.isatty():
        yield nothing_to_advance
        return
    with Progress(console=notices(), transient=True, redirect_stdout=False) as progress:
        task = progress.add_task("Requests", total=count)
        yield lambda: progress.advance(task)
