"""docs/producing.md: what it shows in other languages does what it says, before real workers."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.examples import Place, blocks, documented_place
from tests.support.installation import Installation


@pytest.fixture
def place(installation: Installation, tmp_path: Path) -> Iterator[Place]:
    """A directory as the documentation has it, before a worker."""
    with documented_place(installation, tmp_path) as made:
        yield made


def test_the_shell_example_reports_once(place: Place) -> None:
    """With redis-cli and openssl alone; run twice, it prints the same outcome of one incident."""
    if not (shutil.which("redis-cli") and shutil.which("openssl")):
        pytest.skip("redis-cli and openssl are not both installed")
    (script,) = blocks("producing.md", "sh")
    (place.directory / "report.sh").write_text(script)
    url = place.settings["ANDON_BROKER_URL"].replace("//:", "//default:")
    first, again = (place.run("env", f"REDIS_URL={url}", "sh", "report.sh") for _ in range(2))
    assert (first.code, again.code) == (0, 0), first.stderr + again.stderr
    assert '"outcome":"done"' in first.stdout
    assert first.stdout.splitlines()[1:] == again.stdout.splitlines()[1:]
    assert place.titles() == ["Router down"]


def test_the_node_example_reports_once(place: Place) -> None:
    """With the npm package redis alone; run twice, it prints the same outcome of one incident."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("Node.js is not installed")
    installed = place.run(npm, "install", "--no-audit", "--no-fund", "redis")
    if installed.code and "network" in installed.stderr:
        pytest.skip("npm's registry is out of reach")
    assert installed.code == 0, installed.stderr
    (script,) = blocks("producing.md", "js")
    (place.directory / "report.mjs").write_text(script)
    first, again = (place.run(node, "report.mjs") for _ in range(2))
    assert (first.code, again.code) == (0, 0), first.stderr + again.stderr
    assert "outcome: 'done'" in first.stdout
    assert first.stdout == again.stdout
    assert place.titles() == ["Card payments fail"]
