"""`andon health`: whether the processes of this machine live and go on, asking no service.

What it says is whether a restart would help. Whether requests are decided, and all accounted for,
says `andon status`.
"""

import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from console.failures import ExitCode, wrong_usage
from console.output import AsJson, notices, print_document, screen
from worker.settings import load_health_settings
from worker.signs_of_life import Kind, Signs, read_signs

BEGIN_SECONDS = 30.0
"""After which a pool process should have begun what it was sent."""
_LOOPS = (Kind.WORKER, Kind.SCHEDULES, Kind.GATEWAY)
_STOPPED = ("T", "t")
_MOMENTS = ("turned_at", "began_at", "ended_at", "unbegun_since", "braked_since")


class Command(StrEnum):
    """What may be asked for: the long-running commands."""

    WORKER = "worker"
    SCHEDULES = "schedules"
    GATEWAY = "gateway"


_KINDS = {
    Command.WORKER: (Kind.WORKER, Kind.POOL),
    Command.SCHEDULES: (Kind.SCHEDULES,),
    Command.GATEWAY: (Kind.GATEWAY,),
}


def health(
    command: Annotated[
        Command | None,
        typer.Argument(help="Only this one; it has to run then.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether the worker, the schedules and the gateway on this machine go on working.

    Exit 0: they do, or wait for a service that is away, which no restart brings back. Exit 1: one
    hangs or does not run; it says which, and in what. It asks neither PostgreSQL nor the broker.
    """
    directory = load_health_settings().health_directory
    try:
        found = read_signs(directory)
    except OSError as error:
        raise wrong_usage(f"{directory} is not read: {error.strerror}.") from None
    now = time.monotonic()
    wanted = list(Command) if command is None else [command]
    asked = [signs for signs in found if any(signs.kind in _KINDS[each] for each in wanted)]
    faults = {signs.pid: fault_of(signs, now=now) for signs in asked}
    is_missing = not any(signs.kind in _LOOPS for signs in asked)
    if as_json:
        processes = [_document(signs, faults[signs.pid], now) for signs in asked]
        print_document(
            {"healthy": not (is_missing or any(faults.values())), "processes": processes}
        )
    else:
        for signs in asked:
            screen().print(f"{_name(signs)}: {faults[signs.pid] or state_of(signs, now=now)}.")
    if is_missing:
        what = "Nothing of Andon" if command is None else f"No {command}"
        notices().print(
            f"{what} runs here, by what is in {directory} (ANDON_HEALTH_DIRECTORY).",
            markup=False,
            soft_wrap=True,
        )
    if is_missing or any(faults.values()):
        raise typer.Exit(ExitCode.HALTED)


def fault_of(signs: Signs, *, now: float) -> str | None:
    """Why a process is taken to hang; None if it goes on.

    Args:
        signs: what it last said.
        now: on the monotonic clock.
    """
    if _is_stopped(signs.pid):
        return "is stopped by a signal (SIGSTOP); SIGCONT lets it go on"
    still, busy, unbegun = now - signs.turned_at, signs.busy_since, signs.unbegun_since
    if signs.kind in _LOOPS and still > signs.turns_within:
        during = f", in its {signs.work}" if busy is not None else ""
        return f"hangs: its main loop has not turned for {still:.0f} s{during}"
    if signs.kind is Kind.POOL and busy is not None and now - busy > signs.hangs_after:
        return f"hangs: its {signs.work} has been under way for {now - busy:.0f} s"
    if unbegun is not None and now - unbegun > BEGIN_SECONDS:
        return f"hangs: no pool process has begun what was sent {now - unbegun:.0f} s ago"
    return None


def state_of(signs: Signs, *, now: float) -> str:
    """What a process that goes on is at."""
    if signs.braked_since is not None:
        waits = f"waits, since {now - signs.braked_since:.0f} s, for what is away"
        return f"{waits} ({signs.cause}); a restart would not help"
    if signs.busy_since is not None:
        return f"goes on; {signs.work} under way for {now - signs.busy_since:.0f} s"
    if signs.ended_at is not None:
        return f"goes on; last {signs.work} ended {now - signs.ended_at:.0f} s ago"
    return f"goes on; its loop turned {now - signs.turned_at:.0f} s ago"


def _is_stopped(pid: int) -> bool:
    """Whether a signal has stopped the process, where the system tells by a file."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return said.rpartition(")")[2].split()[0] in _STOPPED


def _name(signs: Signs) -> str:
    if signs.kind is Kind.POOL:
        return f"pool process {signs.pid} of worker {signs.of}"
    return f"{signs.kind} {signs.pid}"


def _document(signs: Signs, fault: str | None, now: float) -> dict[str, object]:
    """The signs, with ages in seconds in place of moments, which mean nothing elsewhere."""
    said = asdict(signs)
    moments = {name: said.pop(name) for name in _MOMENTS}
    return {
        **said,
        "seconds_since": {
            name.rpartition("_")[0]: None if moment is None else now - moment
            for name, moment in moments.items()
        },
        "state": fault or state_of(signs, now=now),
        "hangs": fault is not None,
    }
