"""How long a process pauses in an outage, and what it says."""

import pytest
from structlog.testing import capture_logs

from tasks.faults import Outage
from worker import brake
from worker.brake import FIRST_PAUSE, LONGEST_PAUSE, LONGEST_WAIT, Brake


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        """The time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that the brake looks at."""
    made = Clock()
    monkeypatch.setattr(brake, "time", made)
    return made


def pauses(clock: Clock, count: int) -> list[float]:
    """The seconds between the tries of one process in a long outage."""
    one, found = Brake(), []
    for _ in range(count):
        one.engage(Outage("away"))
        began = clock.now
        while one.holds():
            pass
        found.append(clock.now - began)
    return found


def test_pauses_double_up_to_the_longest(clock: Clock) -> None:
    """Each is between half and all of its ceiling, which doubles from 0.2 s to 10 s."""
    for number, pause in enumerate(pauses(clock, 40)):
        ceiling = min(LONGEST_PAUSE, FIRST_PAUSE * 2**number)
        assert ceiling / 2 <= pause <= ceiling + 0.001


def test_no_two_processes_try_in_step(clock: Clock) -> None:
    """The pauses are jittered."""
    assert len({round(pause, 6) for _ in range(20) for pause in pauses(clock, 10)[9:]}) > 15


def test_a_task_never_waits_longer_than_a_second(clock: Clock) -> None:
    """The rest of a pause goes on in the next task, so that a worker can be stopped."""
    one = Brake()
    for _ in range(20):
        one.engage(Outage("away"))
    while True:
        before = clock.now
        held = one.holds()
        assert clock.now - before <= LONGEST_WAIT
        if not held:
            break


@pytest.mark.usefixtures("clock")
def test_a_change_of_state_is_said_once() -> None:
    """However many tries fail and succeed, one line says that it began, and one that it is over."""
    one = Brake()
    with capture_logs() as lines:
        for _ in range(2):
            for _ in range(5):
                one.engage(Outage("away"))
            for _ in range(5):
                one.release()
    assert [line["event"] for line in lines] == ["outage_began", "outage_over"] * 2


def test_after_an_outage_the_pauses_begin_anew(clock: Clock) -> None:
    """The next outage is not paid for with the last one's patience."""
    one = Brake()
    for _ in range(20):
        one.engage(Outage("away"))
    one.release()
    assert not one.holds()
    one.engage(Outage("away again"))
    before = clock.now
    assert not one.holds()
    assert clock.now - before <= FIRST_PAUSE
