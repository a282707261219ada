"""`andon halts`: what was refused or failed, why, and what to do about it."""

import base64
import json
from typing import Annotated

import orjson
import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from console.database import reading
from console.explain import explained, known_reason
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
from models.listings import Line, list_halts, read_halt
from models.tables import HaltState
from policy.explanations import EXPLANATIONS
from policy.halts import Reason

app = typer.Typer(
    no_args_is_help=True,
    help="See what was halted, and deal with it.",
    epilog=examples(
        "andon halts list --state open     what waits for somebody",
        "andon halts show 17               why, and what to do",
        "andon halts replay 17 --wait      once its cause is put right",
        "andon halts discard 18 19         what nobody will replay",
    ),
)

_COLUMNS = {
    "#id": "halt_id",
    "state": "state",
    "reason": "reason",
    "procedure": "procedure",
    "request": "request",
    "halted": "halted_at",
    "message": "message",
}
_FIELDS = (
    "state",
    "halted_at",
    "settled_at",
    "procedure",
    "source",
    "request_id",
    "door",
    "entry",
    "key_id",
    "event_bytes",
    "event_sha256",
)


@app.command(
    "list",
    epilog=examples(
        "andon halts list --state open                  what waits for somebody",
        "andon halts list --reason malformed --json     one halt a line",
    ),
)
def list_all(
    state: Annotated[HaltState | None, typer.Option(help="Only in this state.")] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only for this reason code.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only requests of this source.")
    ] = None,
    limit: Limit = 50,
    as_json: AsJsonLines = False,
) -> None:
    """List halts, the newest first."""
    code = None if reason is None else known_reason(reason)
    with reading() as connection:
        found, more = list_halts(connection, state=state, reason=code, source=source, limit=limit)
    if as_json:
        print_lines(found)
    else:
        for each in found:
            each["request"] = "/".join(filter(None, (each["source"], each["request_id"])))
        nothing = _nothing(state, filtered=code is not None or source is not None)
        screen().print(listing("Halts", _COLUMNS, found, nothing=nothing))
    tell_rest(len(found), more=more)


def _nothing(state: HaltState | None, *, filtered: bool) -> str:
    if filtered:
        return "No halt is like that."
    return "Nothing is halted." if state is None else f"No halt is {state}."


@app.command(
    epilog=examples(
        "andon halts show 17",
        "andon halts show 17 --json     with the message's exact bytes in base64",
    )
)
def show(
    halt_id: Annotated[int, typer.Argument(min=1, max=LAST_NUMBER, help="The halt's number.")],
    as_json: AsJson = False,
) -> None:
    """Show one halt: why, what that means, what to do, and the message itself."""
    with reading() as connection:
        halt = read_halt(connection, halt_id)
    if halt is None:
        raise wrong_usage(f"There is no halt {halt_id}: `andon halts list` shows all.")
    if as_json:
        print_document(_document(halt))
    else:
        screen().print(halt_picture(halt))


def halt_picture(halt: Line) -> RenderableType:
    """A halt with everything that is kept of it, as it is shown."""
    fields = Table.grid(padding=(0, 2, 0, 0))
    fields.add_column(style="dim", no_wrap=True)
    fields.add_column(overflow="fold")
    for name in _FIELDS:
        if halt[name] is not None:
            fields.add_row(name, Text(visible(halt[name])))
    errors = [
        Text(f"{visible(each['path'])}: {visible(each['message'])}", "red")
        for each in halt["errors"]
    ]
    return Panel(
        Group(
            Text(visible(halt["message"]), "bold"),
            *errors,
            Padding(fields, (1, 0)),
            explained(EXPLANATIONS[Reason(halt["reason"])]),
            *_event_picture(halt),
        ),
        title=Text(f"Halt {halt['halt_id']}  {halt['reason']}"),
        title_align="left",
        padding=(1, 2),
    )


def _event_picture(halt: Line) -> list[RenderableType]:
    event = halt["event"]
    if event is None:
        return [Text("\nThe message is no longer kept.", "dim")]
    read = _as_json(event)
    if read is not None:
        pretty = json.dumps(read, indent=2)  # ASCII: nothing in it steers a terminal
        return [Text("\nThe message", "dim"), Syntax(pretty, "json", word_wrap=True)]
    kept = "" if len(event) == halt["event_bytes"] else f", the first {len(event)} of them"
    return [
        Text(f"\nThe message: {halt['event_bytes']} bytes, in base64{kept}", "dim"),
        Text(base64.b64encode(event).decode()),
    ]


def _document(halt: Line) -> Line:
    event = halt.pop("event")
    explanation = EXPLANATIONS[Reason(halt["reason"])]
    return halt | {
        "meaning": explanation.meaning,
        "remedy": explanation.remedy,
        "event": None if event is None else _as_json(event),
        "event_base64": None if event is None else base64.b64encode(event).decode(),
    }


def _as_json(event: bytes) -> object | None:
    """What the bytes say; None unless they are one JSON object that can be printed as such.

    It can be read four times as deeply nested as it can be written again.
    """
    try:
        read = orjson.loads(event)
        orjson.dumps([[read]])
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return read if isinstance(read, dict) else None
