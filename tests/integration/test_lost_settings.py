"""An installation whose settings were lost, as with a full disk, is not given new ones."""

from pathlib import Path

import pytest

from console.failures import Failure
from console.home import opened_home


@pytest.mark.parametrize("left", ["", "# Written by `andon up`\nANDON_CONCURRENCY='1'\n", None])
def test_no_new_audit_key_is_made_for_an_audit_that_is_there(
    tmp_path: Path, left: str | None
) -> None:
    """It would neither verify nor go on; the file stays as it was found."""
    with opened_home(tmp_path, durable=False) as home:
        file = home.directory / ".andon" / "settings.env"
        before = file.read_text()
    if left is None:
        file.unlink()
    else:
        file.write_text(left)
    with (
        pytest.raises(Failure, match="lost ANDON_AUDIT_KEY"),
        opened_home(tmp_path, durable=False),
    ):
        pass
    assert (file.read_text() if file.exists() else None) == left
    file.write_text(before)
    with opened_home(tmp_path, durable=False) as again:
        assert again.settings.current_audit_key() == home.settings.current_audit_key()
