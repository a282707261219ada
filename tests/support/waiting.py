"""Waiting for a condition with a deadline; no test sleeps for a fixed time.

Deadlines are long: they only end what would never come, and a machine may be busy.
"""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], *, seconds: float = 120, what: str = "condition") -> T:
    """Ask *condition* until its answer is true, and return the answer.

    Raises:
        AssertionError: it has not become true within *seconds*.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s, last answer {answer!r}")
        time.sleep(0.02)
