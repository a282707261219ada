"""Who acts, where no request says so: the operating system's account, and the host.

What a command does about halts, the directory, the audit or the registry carries this in its audit
record. Operators have no accounts of Andon's own, so it is as good as those of the machine.
"""

import os
import pwd
import re
import socket

_LEGIBLE = re.compile(r"[A-Za-z0-9._@$+-]{1,128}\Z")


def who_acts() -> dict[str, str]:
    """The account that runs this process, and its host.

    With sudo the account is the one that sudo gave; ``sudo_user`` is whom it was given to, as the
    environment says, which that account could set otherwise.
    """
    found = {"account": _account(os.getuid()), "host": _as_name(socket.gethostname())}
    if sudo_user := os.environ.get("SUDO_USER"):
        found["sudo_user"] = _as_name(sudo_user)
    return found


def _account(uid: int) -> str:
    try:
        return _as_name(pwd.getpwuid(uid).pw_name)
    except KeyError:  # as in a container
        return f"uid {uid}"


def _as_name(text: str) -> str:
    """Text that stands for a name; what is none does not get into the audit."""
    return text if _LEGIBLE.match(text) else "illegible"
