"""How every command reads its arguments: what its help says of them, and what is said of bad ones.

typer names them as Python has them, and tells of a bad value in pydantic's words.
"""

from collections.abc import Iterator

import typer
from pydantic import TypeAdapter, ValidationError
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typing_extensions import override

from console.failures import wrong_usage
from console.output import LAST_NUMBER
from models.errors import wording
from models.inputs import DirectoryId


class CommandLine(TyperGroup):
    """The command that all others are below."""

    def __init__(self, **about: object) -> None:
        super().__init__(**about)  # type: ignore[arg-type]  # typer's own, passed through
        for command in _tree(self):
            for param in command.get_params(typer.Context(command)):
                _tidy(param)

    @override
    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # made by typer alone
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            if isinstance(cause := error.__cause__, ValidationError):
                told = wording(cause.errors(include_url=False)[0])
                error.message = f"{told.removesuffix('.')}."
            raise


def read_id(option: str, text: str) -> str:
    """The id that *option* gives, as the directory and a report have them.

    Raises:
        Failure: it is none.
    """
    try:
        return TypeAdapter[str](DirectoryId).validate_python(text)
    except ValidationError as error:
        raise wrong_usage(f"{option} {wording(error.errors(include_url=False)[0])}") from None


def _tree(group: TyperGroup) -> Iterator[TyperGroup | TyperCommand]:
    yield group
    for command in group.commands.values():
        if isinstance(command, TyperGroup):
            yield from _tree(command)
        elif isinstance(command, TyperCommand):
            yield command


def _tidy(param: object) -> None:
    """Name an argument as the texts do, and give a flag no type, since it takes no value."""
    match param:
        case TyperArgument():
            param.metavar = param.metavar or param.name.upper()
            param.max = None if param.max == LAST_NUMBER else param.max
        case TyperOption(is_flag=True):
            param.metavar = ""
        case _:
            pass
