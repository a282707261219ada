"""The distribution `andon-client`, built and installed where nothing else of Andon is."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.shell import Finished, finished

ROOT = Path(__file__).parents[2]
_UV = [sys.executable, "-m", "uv", "--quiet"]


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python that has the client, and what the client depends on."""

    python: Path

    def run(self, *arguments: str, directory: Path) -> Finished:
        """Run Python with *arguments* in *directory*, to its end."""
        return finished([str(self.python), *arguments], directory=directory, settings={})


def build_distributions(source: Path, target: Path) -> Path:
    """Build wheel and source distribution of the project in *source*; the wheel."""
    _run([sys.executable, "-m", "hatchling", "build", "-d", str(target)], source)
    (wheel,) = target.glob("andon_client-*.whl")
    return wheel


def install(wheel: Path, directory: Path) -> Environment:
    """Install a wheel into a new environment, its dependencies as they are pinned for Andon."""
    python = directory / "venv" / "bin" / "python"
    _run([*_UV, "venv", "--python", sys.executable, str(directory / "venv")], directory)
    pins = ROOT / "requirements" / "runtime.lock"
    _run(
        [*_UV, "pip", "install", "--python", str(python), "--constraint", str(pins), str(wheel)],
        directory,
    )
    return Environment(python)


def _run(command: list[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
