"""Making a PostgreSQL cluster: `initdb`, as the user who will run it."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from console.embedded.account import Account
from console.embedded.errors import StartFailed
from console.embedded.process import clean_environment

SUPERUSER = "postgres"


def path_for(directory: Path, account: Account | None) -> str:
    """How a server names the directory it is started in.

    Another user cannot reach it by its path where a directory above is closed to others (/root, a
    temporary one). On Linux it is named as the working directory instead, which needs no way down
    to it and opens nothing.
    """
    return "/proc/self/cwd" if account is not None and sys.platform == "linux" else str(directory)


def make_cluster(
    home: Path, data: Path, password: str, *, account: Account | None, durable: bool
) -> None:
    """Run initdb beside the final place and move its result there: half a cluster never counts.

    Raises:
        StartFailed: initdb failed; the message is what it said.
    """
    draft = Path(tempfile.mkdtemp(prefix="initdb.", dir=data.parent))
    with tempfile.TemporaryFile() as password_file:
        password_file.write(password.encode())
        password_file.seek(0)
        if account is not None:
            account.own(draft)
            os.fchown(password_file.fileno(), account.uid, account.gid)
        finished = subprocess.run(
            [
                home / "bin" / "initdb",
                f"--pgdata={path_for(draft, account)}",
                f"--username={SUPERUSER}",
                f"--pwfile=/dev/fd/{password_file.fileno()}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
                *([] if durable else ["--no-sync"]),
            ],
            cwd=draft,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            umask=0o077,
            pass_fds=[password_file.fileno()],
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    if finished.returncode != 0:
        raise StartFailed(f"initdb failed for {data}:\n{finished.stderr}{finished.stdout}")
    draft.rename(data)
