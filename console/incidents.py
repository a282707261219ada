"""`andon incidents`: what was reported, and what happened to it since."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from console.database import reading
from console.failures import wrong_usage
from console.output import (
    LAST_NUMBER,
    AsJson,
    AsJsonLines,
    Limit,
    examples,
    listing,
    print_document,
    print_lines,
    screen,
    tell_rest,
    visible,
)
from models.listings import list_incidents
from models.people import read_clients
from models.rows import Incident
from models.timeline import IncidentRecord, Moment, read_incident_record, timeline
from policy.vocabulary import IncidentStatus, Severity

app = typer.Typer(
    no_args_is_help=True,
    help="See incidents, and what happened to each.",
    epilog=examples(
        "andon incidents list --status open     the newest 50 of them",
        "andon incidents show 17                with its history",
    ),
)

_SEVERITY_STYLES = {
    Severity.P1: "bold red",
    Severity.P2: "red",
    Severity.P3: "yellow",
    Severity.P4: "green",
}


_ROOM_FOR_A_LINE = 80
"""Columns inside the frame; narrower, what a moment was about stands below it."""

_COLUMNS = {
    "#id": "incident_id",
    "severity": "severity",
    "status": "status",
    "client": "client_id",
    "component": "component_id",
    "assigned to": "assigned_to_user_id",
    "reported": "reported_at",
    "title": "title",
}


@app.command(
    "list",
    epilog=examples(
        "andon incidents list --severity P1 --status open",
        "andon incidents list --client fjordmart --json     one incident a line",
    ),
)
def list_all(
    status: Annotated[IncidentStatus | None, typer.Option(help="Only in this status.")] = None,
    severity: Annotated[Severity | None, typer.Option(help="Only of this severity.")] = None,
    client: Annotated[str | None, typer.Option(metavar="ID", help="Only of this client.")] = None,
    limit: Limit = 50,
    as_json: AsJsonLines = False,
) -> None:
    """List incidents, the newest first."""
    with reading() as connection:
        found, more = list_incidents(
            connection, status=status, severity=severity, client=client, limit=limit
        )
        if client is not None and not found and not read_clients(connection, [client]):
            raise wrong_usage(f"There is no client {visible(client)!r} in the directory.")
    if as_json:
        print_lines(found)
    else:
        for each in found:
            each["severity"] = _severity(each["severity"])
        everything = status is None and severity is None and client is None
        nothing = "No incident was reported." if everything else "No incident is like that."
        screen().print(listing("Incidents", _COLUMNS, found, nothing=nothing))
    tell_rest(len(found), more=more)


@app.command(epilog=examples("andon incidents show 17"))
def show(
    incident_id: Annotated[
        int, typer.Argument(min=1, max=LAST_NUMBER, help="The incident's number.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show one incident: its fields, its history, its escalations and communications."""
    with reading() as connection:
        record = read_incident_record(connection, incident_id)
    if record is None:
        raise wrong_usage(f"There is no incident {incident_id}: `andon incidents list` shows all.")
    if as_json:
        print_document(record.document())
    else:
        screen().print(incident_picture(record))


def incident_picture(record: IncidentRecord) -> RenderableType:
    """An incident with its timeline, as it is shown."""
    incident = record.incident
    title = Text.assemble(
        f"Incident {incident.incident_id}  ", _severity(incident.severity), f"  {incident.status}"
    )
    return Panel(
        Group(
            Text(visible(incident.title), "bold"),
            Text(),
            _Fields(_pairs(incident)),
            Text(),
            _Timeline(timeline(record)),
        ),
        title=title,
        title_align="left",
        padding=(1, 2),
    )


@dataclass(frozen=True, slots=True)
class _Timeline:
    """What happened, a line each; on a narrow screen the particulars go below it."""

    moments: Sequence[Moment]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width >= _ROOM_FOR_A_LINE:
            yield self._lines()
            return
        for moment in self.moments:
            yield Text(
                f"{visible(moment.at)}  {moment.what}  {visible(moment.who)}", _style(moment)
            )
            if told := _told(moment):
                yield Padding(told, (0, 0, 0, 2), style=_style(moment))

    def _lines(self) -> Table:
        lines = Table.grid(padding=(0, 2, 0, 0))
        lines.add_column(no_wrap=True, style="dim")
        lines.add_column(no_wrap=True, style="bold")
        lines.add_column(overflow="fold")
        lines.add_column(ratio=1, overflow="fold")
        for moment in self.moments:
            lines.add_row(
                visible(moment.at),
                Text(moment.what),
                Text(visible(moment.who)),
                _told(moment),
                style=_style(moment),
            )
        return lines


@dataclass(frozen=True, slots=True)
class _Fields:
    """Names and values, two pairs beside each other where there is room."""

    pairs: Sequence[tuple[str, object]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        beside = 2 if options.max_width >= _ROOM_FOR_A_LINE else 1
        shown = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(beside):
            shown.add_column(style="dim", no_wrap=True)
            shown.add_column(overflow="fold")
        cells = [text for name, value in self.pairs for text in (Text(name), Text(visible(value)))]
        for start in range(0, len(cells), 2 * beside):
            shown.add_row(*cells[start : start + 2 * beside])
        yield shown


def _pairs(incident: Incident) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = [
        ("category", incident.category),
        ("version", incident.version),
        ("severity", f"{incident.severity}, {incident.severity_origin}"),
        ("conditions", incident.severity_flags),
        ("impact", incident.impact_level),
        ("urgency", incident.urgency_level),
        ("client", incident.client_id),
        ("component", incident.component_id),
        ("reported by", incident.reporter_user_id),
        ("assigned to", incident.assigned_to_user_id),
        ("detected", incident.detection_timestamp),
        ("resolved", incident.resolution_timestamp),
        ("source", incident.source),
        ("request", incident.request_id),
        ("dedup key", incident.dedup_key),
        ("recurrence of", incident.recurrence_of),
    ]
    return [(name, value) for name, value in pairs if value not in (None, ())]


def _style(moment: Moment) -> str:
    return "dim" if moment.superseded else ""


def _told(moment: Moment) -> Text:
    told = Text(visible(moment.detail))
    if moment.note:
        told.append(f"{'  ' if moment.detail else ''}“{visible(moment.note)}”", "italic")
    if moment.superseded:
        told.append("  superseded: its source had said something later", "yellow")
    return told


def _severity(severity: str) -> Text:
    return Text(severity, _SEVERITY_STYLES[Severity(severity)])
