"""Running the `andon` command in the test's own process, as a user would type it."""

import json
from collections.abc import Mapping
from typing import Any

from typer.testing import CliRunner, Result

from console.commands import app


def andon(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
    """Run a command; its exit code and what it printed are in the result."""
    return CliRunner().invoke(app, arguments, env=env, catch_exceptions=False)


def document(result: Result) -> Any:  # whatever JSON says
    """The one JSON document that a command printed."""
    return json.loads(result.stdout)


def lines(result: Result) -> list[Any]:
    """The JSON documents that a command printed, one a line."""
    return [json.loads(line) for line in result.stdout.splitlines()]
