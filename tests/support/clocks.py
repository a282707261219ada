"""Processes whose machine's clock is wrong."""

_WRONG = """
import datetime as module
import time

right, right_time = module.datetime, time.time

class AsBefore(type):
    def __instancecheck__(cls, value):
        return isinstance(value, right)

class Wrong(right, metaclass=AsBefore):
    def __new__(cls, *args, **kwargs):
        return right(*args, **kwargs)

    @classmethod
    def now(cls, tz=None):
        return right.now(tz) + module.timedelta(seconds={seconds})

module.datetime = Wrong
time.time = lambda: right_time() + {seconds}
"""


def wrong_clock(*, seconds: float) -> str:
    """Python that a process runs first, so that its clock is so many seconds ahead.

    Nothing may have been imported before: pydantic, for one, fails on a `datetime` other than the
    one that it found.
    """
    return f"exec({_WRONG.format(seconds=seconds)!r})"
