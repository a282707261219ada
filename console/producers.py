"""`andon producers`: who may publish, with which keys, and what each may do."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from console.command_line import read_id
from console.database import database
from console.failures import Failure, wrong_usage
from console.output import AsJson, examples, listing, notices, print_document, screen
from console.producer_keys import Allowed, NewKey, Rights, add_key, remove_key, remove_source
from console.registry import fault_of_registry
from models.audit import AuditEntry, AuditError, write_audit
from models.operator import who_acts
from models.registry import KEPT_IN_FORCE, Registry, RegistryError, Source, load_registry
from policy.procedures import PROCEDURES
from policy.vocabulary import AuditAction
from worker.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True, help="Manage the producer registry: sources and keys.")


@app.command(
    epilog=examples(
        "andon producers add alertmanager --procedure report_incident --user 17",
        "andon producers add importer --any-procedure --any-user --key-file importer.key",
        "andon producers add alertmanager        a further key, to change over to (rotation)",
    )
)
def add(
    source: Annotated[str, typer.Argument(help="The source's name.")],
    procedure: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A procedure it may ask for; may be given repeatedly."),
    ] = None,
    any_procedure: Annotated[
        bool, typer.Option("--any-procedure", help="It may ask for every procedure.")
    ] = False,
    user: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="A user it may act for; may be given repeatedly."),
    ] = None,
    any_user: Annotated[
        bool, typer.Option("--any-user", help="It may act for every user.")
    ] = False,
    require_severity_flags: Annotated[
        bool,
        typer.Option(
            "--require-severity-flags",
            help="Its reports must carry flags: a severity is not enough.",
        ),
    ] = False,
    key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the key to this new file, as ID:HEX, instead of printing it.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Register a source with a new key, or give a source a further key.

    Nothing is allowed that is not named here. The key is shown this once. Running workers take the
    change up by themselves.
    """
    procedures = _one_way("procedure", procedure, any_procedure)
    users = _one_way("user", user, any_user)
    if not source.isprintable() or not source.strip():
        raise wrong_usage("A source's name consists of printable characters.")
    if unknown := [name for name in procedure or () if name not in PROCEDURES]:
        raise wrong_usage(
            f"No such procedure: {', '.join(unknown)}. There are {', '.join(PROCEDURES)}."
        )
    for one in user or ():
        read_id("--user", one)
    named = bool(procedures or users or require_severity_flags)
    rights = Rights(procedures, users, require_severity_flags) if named else None
    settings = load_settings()
    path = settings.producers_file
    if key_file is None:
        key = add_key(path, source, rights)
    else:
        key = _add_to_file(path, source, rights, key_file)
    _show(key, as_json=as_json, key_file=key_file)
    action = AuditAction.CREATE if key.source_is_new else AuditAction.UPDATE
    _record(settings, action, source, {"key_added": key.key_id})


def _one_way(what: str, named: list[str] | None, anything: bool) -> Allowed:
    if named and anything:
        raise wrong_usage(f"Give either --{what} or --any-{what}.")
    return "any" if anything else named or ()


def _add_to_file(path: Path, source: str, rights: Rights | None, key_file: Path) -> NewKey:
    """The file is made first: a key that could not be handed over must not be registered."""
    try:
        descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise wrong_usage(f"{key_file} cannot be made: {error.strerror}.") from None
    with os.fdopen(descriptor, "w") as file:
        try:
            key = add_key(path, source, rights)
        except BaseException:
            key_file.unlink()
            raise
        file.write(f"{key.key_id}:{key.secret}\n")
    return key


def _show(key: NewKey, *, as_json: bool, key_file: Path | None = None) -> None:
    if as_json:
        shown = {"source": key.source, "key_id": key.key_id, "source_is_new": key.source_is_new}
        handed = {"secret": key.secret} if key_file is None else {"key_file": str(key_file)}
        print_document(shown | handed)
        return
    what = "The source is registered" if key.source_is_new else "The source has a further key"
    lines = [f"{what}: {key.source}", f"key id  {key.key_id}"]
    lines.append(f"secret  {key.secret}" if key_file is None else f"The key is in {key_file}.")
    for line in lines:
        screen().print(line, markup=False, soft_wrap=True)
    if key_file is None:
        notices().print("The secret is not shown again.", style="yellow")


@app.command(
    epilog=examples(
        "andon producers remove alertmanager                    the source, with all its keys",
        "andon producers remove alertmanager --key alerts-1     one key, after a rotation",
    )
)
def remove(
    source: Annotated[str, typer.Argument(help="The source's name.")],
    key: Annotated[
        str | None, typer.Option(metavar="ID", help="Take out this key only; the source stays.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take out a source, or one of its keys. Running workers take the change up by themselves.

    Requests that are signed with it and not decided yet halt as unauthenticated. A source's name
    stays in the file as withdrawn: so a file that lost it by accident does not look the same.
    """
    settings = load_settings()
    if key is None:
        remove_source(settings.producers_file, source)
    else:
        remove_key(settings.producers_file, source, key)
    if as_json:
        print_document({"source": source, "key_id": key})
    else:
        what = f"The source {source} is" if key is None else f"The key {key} of {source} is"
        screen().print(f"{what} taken out.", markup=False, soft_wrap=True)
    action = AuditAction.DELETE if key is None else AuditAction.UPDATE
    _record(settings, action, source, {} if key is None else {"key_removed": key})


def _record(
    settings: Settings, action: AuditAction, source: str, context: dict[str, object]
) -> None:
    """Say in the audit who has changed the registry.

    The change itself is in it in any case, from the first worker that takes it up. So it is made,
    too, where the database does not answer: a key that leaked has to come out at once.
    """
    entry = AuditEntry(
        at=datetime.now(UTC),
        action=action,
        outcome="done",
        subject=f"source:{source}",
        context={**context, **who_acts()},
    )
    try:
        with (
            database(settings.database_url.get_secret_value()) as engine,
            engine.begin() as connection,
        ):
            write_audit(connection, settings.current_audit_key(), [entry])
    except (Failure, AuditError) as error:
        notices().print(
            f"The audit does not say who has changed the registry: {error}",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )


@app.command("list")
def list_sources(as_json: AsJson = False) -> None:
    """List the sources, what each may do, and its key ids; never a secret."""
    settings = load_settings()
    path = settings.producers_file
    try:
        registry = load_registry(path) if path.exists() else Registry()
    except RegistryError as error:
        raise wrong_usage(f"{error}\n{KEPT_IN_FORCE}") from None
    if path.exists() and (fault := fault_of_registry(settings)):
        notices().print(
            f"{fault}\n{KEPT_IN_FORCE}", style="red", markup=False, highlight=False, soft_wrap=True
        )
    found = [_line(name, source) for name, source in sorted(registry.sources.items())]
    if as_json:
        print_document(found)
    else:
        columns = {
            "source": "source",
            "procedures": "procedures",
            "users": "users",
            "flags required": "require_severity_flags",
            "key ids": "key_ids",
        }
        absent = f"There is no registry at {path} yet: `andon producers add` makes it."
        nothing = None if path.exists() else absent
        screen().print(listing("Sources", columns, found, nothing=nothing))


def _line(name: str, source: Source) -> dict[str, object]:
    return {
        "source": name,
        "procedures": source.procedures
        if isinstance(source.procedures, str)
        else sorted(source.procedures),
        "users": source.users if isinstance(source.users, str) else sorted(source.users),
        "require_severity_flags": source.require_severity_flags,
        "key_ids": [key.id for key in source.keys],
    }
