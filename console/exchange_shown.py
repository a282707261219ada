"""What a command prints about requests that it sends, and how it ends."""

import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from console.exchange import Exchange
from console.failures import ExitCode, out_of_reach
from console.output import notices, print_lines, visible
from console.request_lines import Line
from console.settlement import Sent
from producers.faults import IntakeUnreachable, PublishFailed

Wait = Annotated[
    bool, typer.Option("--wait", help="Wait, and print one outcome a line, in input order.")
]
Timeout = Annotated[
    float, typer.Option(metavar="SECONDS", min=0.0, help="With --wait: how long at most.")
]


_NAMED_ON_A_TERMINAL = 10


def nothing_to_advance() -> None:
    """Where there is no progress to be shown."""


def run_exchange(
    exchange: Exchange,
    lines: Iterator[Line],
    *,
    timeout: float | None,
    advance: Callable[[], None] = nothing_to_advance,
) -> None:
    """Send *lines*, and print one JSON line for each.

    Args:
        exchange: where to.
        lines: what.
        timeout: seconds to wait for outcomes, which are printed then; None to print what each line
            was accepted as instead.
        advance: called after each printed line.

    Raises:
        typer.Exit: something halted or has no outcome in time, or Ctrl-C was pressed.
        Failure: the intake is full or out of reach.
    """
    halted = False
    try:
        if timeout is None:
            _print_accepted(exchange.send(lines), advance)
        else:
            halted = _print_outcomes(exchange.outcomes(lines, timeout=timeout), advance)
    except KeyboardInterrupt:
        _tell_interrupted(exchange, waited=timeout is not None)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    missing = exchange.missing
    if missing:
        _tell_unfinished(missing, exchange.accepted)
    if exchange.failure is not None:
        raise out_of_reach(_said(exchange.failure))
    if missing:
        raise typer.Exit(ExitCode.OUT_OF_REACH)
    if halted:
        raise typer.Exit(ExitCode.HALTED)


def _said(failure: PublishFailed) -> str:
    hint = " Is `andon up` running?" if isinstance(failure, IntakeUnreachable) else ""
    return f"{failure}{hint}"


def _print_accepted(accepted: Iterator[Sent], advance: Callable[[], None]) -> None:
    for sent in accepted:
        print_lines([{"request": sent.request, "entry": sent.entry}])
        advance()


def _print_outcomes(outcomes: Iterator[dict[str, Any]], advance: Callable[[], None]) -> bool:
    """Print each outcome at once; whether one of them is a halt."""
    halted = False
    for outcome in outcomes:
        print_lines([outcome])
        sys.stdout.flush()
        halted |= outcome["outcome"] == "halted"
        advance()
    return halted


def _tell_interrupted(exchange: Exchange, *, waited: bool) -> None:
    console = notices()
    if waited and (missing := exchange.missing):
        _tell_unfinished(missing, exchange.accepted)
    elif not waited:
        console.print(f"{exchange.accepted:,} requests were accepted, and will be decided.")
    if not exchange.is_all_sent:
        console.print("Not all lines were sent; a few more may have been accepted.")


def _tell_unfinished(missing: list[Sent], accepted: int) -> None:
    """Say what becomes of requests without an outcome, and name them.

    A terminal gets the first of them; a file that stderr goes to gets them all.
    """
    console = notices()
    console.print(
        f"Accepted and not decided yet: {len(missing):,} of {accepted:,} requests. Nothing is lost:"
        f" what is accepted will be decided (`andon status`). {_sent_again(missing)}",
        markup=False,
        soft_wrap=True,
    )
    shown = missing[:_NAMED_ON_A_TERMINAL] if console.is_terminal else missing
    for sent in shown:
        name = visible(" ".join(sent.request.values()))
        console.print(f"  {name}", markup=False, soft_wrap=True)
    if rest := len(missing) - len(shown):
        console.print(f"  … {rest:,} more (with stderr in a file: all of them)")


def _sent_again(missing: list[Sent]) -> str:
    """Whether the same lines may be sent once more."""
    nameless = sum(not sent.line.has_id for sent in missing)
    if nameless == 0:
        return "Sending them again is safe: each has an id, and gets the outcome of the first time."
    return (
        f"Do not send them again: {nameless:,} have no id in the file, and would be carried out"
        " twice."
    )
