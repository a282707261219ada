"""How `andon up` runs its worker and its schedules: as processes that do not outlive it.

``python -P -m console.attended worker`` runs ``andon worker`` and stops it as SIGTERM would when
standard input ends, which it does with the process at its other end, however that ends.
"""

import os
import signal
import sys
import threading

from console.commands import app


def _stop_with_attendant(attendant: int) -> None:
    while os.read(attendant, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run the command of the arguments for as long as standard input is open."""
    attendant = os.dup(sys.stdin.fileno())
    os.set_inheritable(attendant, False)
    threading.Thread(target=_stop_with_attendant, args=(attendant,), daemon=True).start()
    app(sys.argv[1:])


if __name__ == "__main__":
    main()
