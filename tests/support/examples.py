"""The code blocks of the documentation, and a place in which they run as they stand."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.installation import Installation
from tests.support.shell import Finished, andon, finished
from tests.support.workers import running

_ROOT = Path(__file__).parents[2]


def blocks(page: str, language: str) -> list[str]:
    """The blocks of *page* in *language*, in their order."""
    text = (_ROOT / "docs" / page).read_text()
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert found, f"{page} has no block of {language}"
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """A directory with the key of the source `alerts`, before a running worker."""

    directory: Path
    settings: dict[str, str]
    installation: Installation

    def run(self, *command: str, seconds: float = 120) -> Finished:
        """Run a program there, to its end."""
        return finished(command, directory=self.directory, settings=self.settings, seconds=seconds)

    def titles(self) -> list[str]:
        """What the incidents are called, in the order in which they were opened."""
        rows = self.installation.rows("SELECT title FROM incidents ORDER BY incident_id")
        return [row.title for row in rows]


@contextmanager
def documented_place(installation: Installation, directory: Path) -> Iterator[Place]:
    """What docs/producing.md begins with: the sample organisation, and the source with its key."""
    settings = installation.environment()
    producer = directory / "producer"
    producer.mkdir()
    for command in (
        ("directory", "load", str(_ROOT / "console" / "sample" / "directory")),
        (
            *("producers", "add", "alerts", "--key-file", "alerts.key"),
            *("--procedure", "report_incident", "--procedure", "update_incident"),
            *("--user", "maren", "--user", "tomas"),
        ),
    ):
        done = andon(*command, settings=settings, directory=producer)
        assert done.code == 0, done.stderr
    with running(settings, directory):
        broker = settings["ANDON_BROKER_URL"]
        yield Place(producer, {"ANDON_BROKER_URL": broker}, installation)
