"""A registry file that became faulty: the last good one stays in force, and everybody is told."""

from structlog.testing import capture_logs

from tests.support.installation import REGISTRY, Installation
from tests.support.shell import Finished, andon
from worker.runtime import Runtime
from worker.stopping import Calls, StopFlag


def command(installation: Installation, *arguments: str) -> Finished:
    """Run a command against the installation."""
    return andon(*arguments, settings=installation.environment(), directory=installation.directory)


def spoil(installation: Installation) -> None:
    """Take a key out, with a slip."""
    installation.settings.producers_file.write_text(REGISTRY.split("[[", 1)[0] + "keys = [")


def test_the_worker_logs_it_once(installation: Installation) -> None:
    """As an error: a key that was taken out still acts. And when it is over."""
    runtime = Runtime(installation.settings, StopFlag(), Calls())
    registry = runtime.pipeline.means.registry
    with capture_logs() as logs:
        registry.current()
        spoil(installation)
        for _ in range(3):
            registry.current()
        installation.settings.producers_file.write_text(REGISTRY)
        registry.current()
    runtime.pipeline.engine.dispose()
    assert [(log["event"], log["log_level"]) for log in logs] == [
        ("registry_at_fault", "error"),
        ("registry_sound_again", "info"),
    ]
    assert str(installation.settings.producers_file) in logs[0]["fault"]


def test_status_shows_it(installation: Installation) -> None:
    """The exit code says whether requests were lost, and they were not."""
    assert command(installation, "status", "--json").document["registry"] == {"fault": None}
    spoil(installation)
    found = command(installation, "status", "--json")
    assert found.code == 0
    assert "is not TOML" in found.document["registry"]["fault"]
    assert "last good registry in force" in command(installation, "status").stderr


def test_producers_list_says_what_it_means(installation: Installation) -> None:
    """Not only that the file is at fault."""
    spoil(installation)
    found = command(installation, "producers", "list")
    assert found.code == 2
    assert "is not TOML" in found.stderr
    assert "last good registry in force" in found.stderr
