"""Progress of a long command: a bar on stderr when that is a terminal, nothing otherwise."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from console.output import notices


@contextmanager
def progress_shown() -> Iterator[Progress]:
    """A display for as long as the block runs; it leaves no trace."""
    console = notices()
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        yield progress
