"""`andon gateway check-mapping`: what a mapping would publish of a payload, before it does."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer

from console.database import reading
from console.failures import ExitCode, Failure, wrong_usage
from console.mapping_check import (
    ACTORS,
    IdCheck,
    check_ids,
    contract_faults,
    directory_faults,
    registry_faults,
    source_faults,
)
from console.output import AsJson, print_document, screen, visible
from models.registry import Registry, load_registry
from producers.gateway.alerts import MAX_PAYLOAD_BYTES, Alert, AlertFormat, PayloadFaults
from producers.gateway.formats.readers import READERS, guess_format
from producers.gateway.mapping import AlertMapping, MappingFaults
from producers.gateway.mapping_file import load_mapping
from producers.gateway.translate import Translation, translate
from worker.settings import SettingsError, load_settings

_NO_SOURCE = "check-mapping"
"""Stands for the source where none is given; ids depend on it."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One alert, and what would be published of it."""

    alert: Alert
    translation: Translation
    faults: Sequence[str]


@dataclass(frozen=True, slots=True)
class Directory:
    """What the directory says.

    Attributes:
        not_checked: why it was not asked; None if it was.
    """

    ids: Sequence[IdCheck] = ()
    not_checked: str | None = None


def check_mapping(
    file: Annotated[
        Path,
        typer.Argument(
            help="The mapping, a TOML file.", show_default=False, exists=True, dir_okay=False
        ),
    ],
    payload: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="What a sender posts; - is standard input."),
    ] = None,
    format_: Annotated[
        AlertFormat | None,
        typer.Option("--format", help="The payload's format.", show_default="what it looks like"),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The source that would publish: the registry must let it.",
            show_default="any",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show which rule is for each alert of a payload, and the requests that would be published.

    Nothing is published. Where the database can be reached, it also tells whether the clients,
    components and users exist that the mapping names, and whether the users may report and update.
    The exit code is 1 when the mapping or the payload is faulty, an alert is unmapped, a request
    would halt, or an id will not do.
    """
    if payload is None and format_ is not None:
        raise wrong_usage("--format is that of a payload: give one with --payload FILE.")
    try:
        mapping = load_mapping(file)
    except MappingFaults as error:
        raise Failure(str(error), ExitCode.HALTED) from None
    read = [] if payload is None else _read(_body(payload), format_)
    name = source or _NO_SOURCE
    checked: Sequence[Checked] = [_check(alert, mapping, name) for alert in read]
    faults: Sequence[str] = ()
    if source is not None:
        registry = load_registry(load_settings().producers_file)
        faults = source_faults(registry, source, mapping)
        checked = _ask_registry(registry, source, checked)
    checked, directory = _ask_directory(mapping, checked)
    if as_json:
        print_document(_document(checked, directory, faults, name))
    else:
        _show(file, mapping, checked, directory, faults)
    if faults or any(each.faults for each in checked) or any(each.fault for each in directory.ids):
        raise typer.Exit(ExitCode.HALTED)


def _body(payload: str) -> bytes:
    try:
        if payload == "-":
            return sys.stdin.buffer.read(MAX_PAYLOAD_BYTES + 1)
        with Path(payload).open("rb") as opened:
            return opened.read(MAX_PAYLOAD_BYTES + 1)
    except OSError as error:
        raise wrong_usage(f"{payload}: {error.strerror}") from None


def _read(body: bytes, format_: AlertFormat | None) -> list[Alert]:
    format_ = format_ or guess_format(body)
    try:
        return READERS[format_](body, received_at=datetime.now(UTC))
    except PayloadFaults as error:
        faults = "".join(f"\n  {fault.path} {fault.message}" for fault in error.errors)
        raise Failure(
            f"The payload is not as {format_} sends it:{faults}", ExitCode.HALTED
        ) from None


def _check(alert: Alert, mapping: AlertMapping, source: str) -> Checked:
    translation = translate(alert, mapping, source=source)
    return Checked(alert, translation, contract_faults(translation))


def _ask_registry(registry: Registry, source: str, checked: Sequence[Checked]) -> Sequence[Checked]:
    return [
        replace(each, faults=(*each.faults, *registry_faults(registry, source, each.translation)))
        for each in checked
    ]


def _ask_directory(
    mapping: AlertMapping, checked: Sequence[Checked]
) -> tuple[Sequence[Checked], Directory]:
    """What the directory says, if it can be asked; the mapping can be checked without it."""
    translations = [each.translation for each in checked]
    try:
        settings = load_settings()
        with reading(settings) as connection:
            ids = check_ids(
                connection,
                mapping,
                translations,
                clients_may_report=settings.clients_may_report,
            )
            asked = [
                replace(
                    each, faults=(*each.faults, *directory_faults(connection, each.translation))
                )
                for each in checked
            ]
    except SettingsError as error:
        told = "; ".join(line.strip() for line in str(error).splitlines())
        return checked, Directory(not_checked=told.replace(":; ", ": "))
    except Failure as failure:
        return checked, Directory(not_checked=str(failure))
    return asked, Directory(ids)


def _document(
    checked: Sequence[Checked], directory: Directory, faults: Sequence[str], source: str
) -> dict[str, object]:
    return {
        "requests": [
            {
                "format": each.alert.format,
                "state": each.alert.state,
                "key": each.alert.key,
                "rule": each.translation.rule,
                "event": orjson.loads(each.translation.event(source)),
                "faults": list(each.faults),
            }
            for each in checked
        ],
        "ids": [asdict(each) for each in directory.ids],
        "faults": list(faults),
        "not_checked": directory.not_checked,
    }


def _show(
    file: Path,
    mapping: AlertMapping,
    checked: Sequence[Checked],
    directory: Directory,
    faults: Sequence[str],
) -> None:
    rules = len(mapping.rules)
    _line(f"{file}: {rules:,} {'rule' if rules == 1 else 'rules'}, without faults.")
    for number, each in enumerate(checked, 1):
        _show_alert(f"Alert {number:,} of {len(checked):,}", each)
    _line("")
    if directory.not_checked is not None:
        _line(
            "Whether the clients, components and users exist is not checked:"
            f" {directory.not_checked}",
            style="yellow",
        )
    for check in directory.ids:
        good = f"may run {ACTORS[check.input].name}" if check.input in ACTORS else "exists"
        _line(
            f"{check.input} {check.id}: {check.fault or good}", style="red" if check.fault else None
        )
    for fault in faults:
        _line(fault, style="red")


def _show_alert(which: str, checked: Checked) -> None:
    _line("")
    _line(f"{which}, {checked.alert.state}: {checked.alert.key}")
    _line(f"  {checked.translation.rule or 'no rule'} → {checked.translation.procedure}")
    shown = orjson.dumps(checked.translation.data, option=orjson.OPT_INDENT_2).decode()
    for line in shown.splitlines():
        _line(f"  {line}")
    for fault in checked.faults:
        _line(f"  It would halt: {fault}", style="red")


def _line(text: str, *, style: str | None = None) -> None:
    screen().print(visible(text), markup=False, soft_wrap=True, style=style)
