"""`andon contract`: the published contract, made of the models that the worker reads with."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from console.failures import ExitCode, wrong_usage
from models.asyncapi import SCHEMAS, asyncapi_document
from models.message_schemas import message_schemas
from producers.gateway.openapi import openapi

_INDENTED = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


def contract(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The directory to write to.")],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if a file there differs.")
    ] = False,
) -> None:
    """Write JSON Schemas of all messages, an AsyncAPI and the gateway's OpenAPI document.

    Exit code 1 with --check: a file differs, is missing, or is there without being part of it.
    """
    files = contract_files()
    if not check:
        _write(out, files)
        typer.echo(f"{len(files)} files written to {out}.")
    elif differing := differing_files(out, files):
        typer.echo(
            f"{', '.join(map(str, differing))} in {out} are not what the models say:"
            f" `andon contract --out {out}` writes them again; remove what is no part of it.",
            err=True,
        )
        raise typer.Exit(ExitCode.HALTED)


def _write(out: Path, files: Mapping[Path, bytes]) -> None:
    try:
        for path, text in files.items():
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (out / path).write_bytes(text)
    except OSError as error:
        raise wrong_usage(f"{error.filename} cannot be written: {error.strerror}.") from None


def contract_files() -> Mapping[Path, bytes]:
    """Every file of the contract, by its path below the directory."""
    documents: dict[Path, Any] = {
        Path(SCHEMAS, f"{name}.json"): schema for name, schema in message_schemas().items()
    }
    documents[Path("asyncapi.json")] = asyncapi_document(version("andon"))
    documents[Path("gateway.openapi.json")] = openapi()
    return {path: orjson.dumps(value, option=_INDENTED) for path, value in documents.items()}


def differing_files(directory: Path, files: Mapping[Path, bytes]) -> list[Path]:
    """Which files of *directory* differ from *files*, or are in one of the two alone."""
    there = {
        path.relative_to(directory): path.read_bytes() for path in sorted(directory.rglob("*.json"))
    }
    return sorted(
        path for path in there.keys() | files.keys() if there.get(path) != files.get(path)
    )
