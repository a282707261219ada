"""`andon demo`, as somebody runs it first."""

import os
import subprocess
import sys
from pathlib import Path

from policy.halts import Reason
from policy.procedures import PROCEDURES


def test_the_demo_shows_every_procedure_and_many_halts_and_ends_by_itself(tmp_path: Path) -> None:
    """All four SOPs and at least six kinds of halt come out as told, in a picture too."""
    picture = tmp_path / "demo.svg"
    ran = subprocess.run(
        [sys.executable, "-m", "console.app", "demo", "--svg", str(picture)],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("ANDON_")},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert all(procedure in ran.stdout for procedure in PROCEDURES)
    assert sum(reason in ran.stdout for reason in Reason) >= 6
    assert "The audit verifies" in ran.stdout
    assert "All accounted for" in ran.stdout
    assert picture.read_text().startswith("<svg")
    assert not (tmp_path / ".andon").exists()
