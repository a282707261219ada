"""The `andon` command: every command and group of commands is registered here."""

from importlib.metadata import version
from typing import Annotated

import typer

from console import audit, directory, gateway, halts, import_report, incidents, producers, run
from console.command_line import CommandLine
from console.contract import contract
from console.demo import demo
from console.discard import discard
from console.explain import explain
from console.failures import failures_explained
from console.health import health
from console.migrate import migrate_database
from console.output import examples
from console.replay import replay
from console.restored import restored
from console.send import send
from console.status import status
from console.up import up

app = typer.Typer(
    name="andon",
    cls=CommandLine,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,  # locals hold secrets
    add_completion=False,
    epilog=examples(
        "andon demo                    see everything run once, and end by itself",
        "andon up --sample             keep it running, with a sample directory",
        "andon send FILE --wait        send requests and see what becomes of them",
    ),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"andon {version('andon')}")
        raise typer.Exit


@app.callback()
def andon(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Run an organisation's incident-management SOPs from a queue.

    Settings come from the environment (ANDON_*). Inside a directory where `andon up` runs, the
    commands find it by themselves. Exit codes: 0 done, 1 something was halted or does not verify,
    2 wrong usage, 3 a service is out of reach, 130 interrupted by Ctrl-C.
    """
    context.with_resource(failures_explained())


# In the order in which one meets them; typer lists the groups behind the commands.
app.command("demo")(demo)
app.command("up")(up)
app.command(
    "send",
    epilog=examples(
        "andon send --example report_incident > one.jsonl   a line to start from",
        "andon send one.jsonl --dry-run                     what would be decided, and why",
        "andon send one.jsonl --wait                        send it; its outcome",
        "andon send - --bulk < many.jsonl                   behind what is urgent",
    ),
)(send)
app.command(
    "status",
    epilog=examples(
        "andon status                                        who works, and does the sum come out",
        "andon status --json                                 the same, for monitoring",
        'andon status --settle --reason "Redis lost a day"   begin the sum anew after a loss',
    ),
)(status)
app.command(
    "health",
    epilog=examples(
        "andon health             every process of Andon on this machine",
        "andon health worker      for a container's health check: exit 1 if it hangs or is gone",
    ),
)(health)
app.command(
    "explain",
    epilog=examples(
        "andon explain                    all codes",
        "andon explain user_inactive      one of them, with what to do",
    ),
)(explain)
app.command("migrate")(migrate_database)
app.command(
    "restored",
    epilog=examples(
        "andon restored --dry-run               which numbers were told, and what would be done",
        "andon restored                         after PostgreSQL was put back from a backup",
        "andon restored --margin 100000000      where a million may have been given out meanwhile",
    ),
)(restored)
app.command("worker")(run.worker)
app.command("schedules")(run.schedules)
app.command(
    "contract",
    epilog=examples("andon contract --out docs/contract --check     is it what the models say?"),
)(contract)
halts.app.command(
    "replay",
    epilog=examples("andon halts replay 17 --wait     and print what becomes of it now"),
)(replay)
halts.app.command(
    "discard",
    epilog=examples(
        "andon halts discard 17", "andon halts discard 17 18 19     all of them, or none"
    ),
)(discard)
app.add_typer(incidents.app, name="incidents")
app.add_typer(halts.app, name="halts")
app.add_typer(audit.app, name="audit")
app.add_typer(directory.app, name="directory")
app.add_typer(producers.app, name="producers")
app.add_typer(gateway.app, name="gateway")
app.add_typer(import_report.app, name="import")
