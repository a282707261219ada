"""What the processes of a worker tell each other while they work, through memory they share.

A warm shutdown tells the main process only, and it alone learns that a pool process has died.
"""

import mmap
import os


class StopFlag:
    """Whether the worker is being stopped: then a drain reads no further batch.

    One byte shared with every process forked after it was made.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1)

    def set(self) -> None:
        """The worker is being stopped."""
        self._memory[0] = 1

    def is_set(self) -> bool:
        """Whether it is."""
        return self._memory[0] == 1


class Calls:
    """Calls to look again: entries of a dead process are there, or a drain has left some or failed.

    Memory shared with every process forked after it was made. Each has a byte of its own, unless
    their numbers are a multiple of a page apart.
    """

    MODULUS = 256

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def add(self) -> None:
        """There is something to look for."""
        own = os.getpid() % mmap.PAGESIZE
        self._memory[own] = (self._memory[own] + 1) % self.MODULUS

    def count(self) -> int:
        """How many so far, modulo 256."""
        return sum(self._memory[:]) % self.MODULUS
