"""Resident memory of processes, as Linux tells it."""

import re
from pathlib import Path

_RESIDENT = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


def pool_megabytes(main: int) -> float:
    """What the children of the process *main* hold, together, in MiB."""
    children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    found = (_RESIDENT.search(Path(f"/proc/{child}/status").read_text()) for child in children)
    return sum(int(resident[1]) for resident in found if resident) / 1024


def peak_megabytes(process: int) -> float:
    """The most that a process has held so far, in MiB; 0 if it has just ended.

    What ``wait4`` says of a child counts what its parent held when it was started.
    """
    found = _PEAK.search(Path(f"/proc/{process}/status").read_text())
    return 0.0 if found is None else int(found[1]) / 1024
