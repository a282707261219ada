"""Commands of `andon`, run as real processes, as from a shell."""

import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.support.forking import COMMANDS


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command printed, and how it ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[Any]:
        """Its standard output, read as JSON lines."""
        return [orjson.loads(line) for line in self.stdout.splitlines()]

    @property
    def document(self) -> Any:
        """Its standard output, read as one JSON document."""
        return orjson.loads(self.stdout)


def command_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command: these settings, and none of the tester's own."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ANDON_")}
    return inherited | dict(settings)


def andon(
    *arguments: str | Path,
    settings: Mapping[str, str],
    directory: Path,
    stdin: str | bytes = b"",
    seconds: float = 120,
) -> Finished:
    """Run `andon` with *arguments* in *directory*, to its end."""
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        given.write(stdin.encode() if isinstance(stdin, str) else stdin)
        given.seek(0)
        process = COMMANDS.start(
            files=[given.fileno(), out.fileno(), err.fileno()],
            environment=command_environment(settings),
            directory=directory,
            command=[*map(str, arguments)],
        )
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
            process.wait(60)
        out.seek(0)
        err.seek(0)
        return Finished(code, out.read().decode(), err.read().decode())


def finished(
    command: Sequence[str],
    *,
    settings: Mapping[str, str],
    directory: Path,
    stdin: str | bytes = b"",
    seconds: float = 120,
) -> Finished:
    """Run any program in *directory*, to its end."""
    done = subprocess.run(
        command,
        cwd=directory,
        env=command_environment(settings),
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        timeout=seconds,
        check=False,
    )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


def json_lines(values: Iterable[Any]) -> bytes:
    """*values*, one JSON document a line."""
    return b"".join(orjson.dumps(value) + b"\n" for value in values)
