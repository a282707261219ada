"""The command explains itself: its help, its version, and the reason codes."""

from collections.abc import Iterator
from importlib.metadata import version

import pytest
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from console.commands import app
from policy.halts import Reason
from tests.support.command import andon, document


def _commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, TyperGroup):
            yield from _commands(command, (*path, name))


def _root() -> TyperGroup:
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    return root


@pytest.mark.parametrize("command", [(), *_commands(_root())], ids=" ".join)
def test_every_command_and_every_option_explains_itself(command: tuple[str, ...]) -> None:
    """`--help` works, and nothing is left without a word of help."""
    result = andon(*command, "--help")
    assert result.exit_code == 0
    found: TyperGroup | TyperCommand = _root()
    for name in command:
        assert isinstance(found, TyperGroup)
        found = found.commands[name]  # type: ignore[assignment]  # typer makes no others
    assert found.help
    silent = [each.name for each in found.params if not getattr(each, "help", None)]
    assert silent == []


def test_the_version_is_the_distribution_s() -> None:
    """`andon --version`."""
    assert andon("--version").stdout == f"andon {version('andon')}\n"


@pytest.mark.parametrize("code", list(Reason))
def test_every_reason_is_explained(code: Reason) -> None:
    """For people and for programs, with what to do."""
    told = document(andon("explain", code, "--json"))
    assert told["reason"] == code
    shown = " ".join(andon("explain", code).stdout.split())
    for part in ("meaning", "policy", "remedy"):
        assert told[part] in shown


def test_all_reasons_are_listed() -> None:
    """In one table, and in one document."""
    assert [each["reason"] for each in document(andon("explain", "--json"))] == list(Reason)
    table = andon("explain").stdout
    assert [code for code in Reason if code not in table] == []


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("user-not-found", "user_not_found"),
        ("MALFORMD", "malformed"),
        ("usr_inactive", "user_inactive"),
    ],
)
def test_a_mistyped_code_gets_close_ones_suggested(typed: str, meant: str) -> None:
    """Exit code 2."""
    result = andon("explain", typed)
    assert result.exit_code == 2
    assert meant in result.stderr


def test_a_code_like_no_other_gets_the_list_suggested() -> None:
    """Exit code 2."""
    result = andon("explain", "bogus")
    assert result.exit_code == 2
    assert "`andon explain`" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("halts", "show", "x"), "Invalid value for 'HALT_ID': must be a whole number."),
        (("halts", "show", "0"), "Invalid value for 'HALT_ID': must be at least 1."),
        (("halts", "discard", "1", "x"), "Invalid value for 'HALT_IDS': must be a whole number."),
        (("send", "-", "--timeout", "soon"), "Invalid value for '--timeout': must be a number."),
        (("incidents", "list", "--severity", "p1"), "'p1' is not one of 'P1', 'P2', 'P3', 'P4'."),
    ],
)
def test_a_bad_argument_is_told_in_plain_words(arguments: tuple[str, ...], told: str) -> None:
    """With its name as the help has it, what it must be, and exit code 2."""
    result = andon(*arguments)
    assert result.exit_code == 2
    shown = " ".join(result.stderr.replace("│", " ").split())
    assert told in shown


@pytest.mark.parametrize("command", [(), *_commands(_root())], ids=" ".join)
def test_help_speaks_of_no_types_of_python(command: tuple[str, ...]) -> None:
    """A flag has no word behind its name; what an option takes is named, or all its words are."""
    shown = andon(*command, "--help").stdout
    options = shown.partition("─ Options ─")[2]
    assert [
        name for name in ("<bool>", "<str>", "<path>", "<int", "<float") if name in options
    ] == []


def test_an_argument_is_called_as_the_texts_call_it() -> None:
    """In capitals."""
    assert "[FILE]" in andon("send", "--help").stdout
    assert "{HALT_ID}" in andon("halts", "show", "--help").stdout
