"""The times of events: whatever the clock does, they go forward."""

from datetime import UTC, datetime, timedelta

import pytest

from producers import times
from producers.times import Times


def test_times_go_forward_when_the_clock_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next time is later than the last by a microsecond, until the clock has caught up."""
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    said = [noon, noon - timedelta(hours=1), noon, noon + timedelta(seconds=1)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            assert tz is UTC
            return said.pop(0)

    monkeypatch.setattr(times, "datetime", Clock)
    asked = Times()
    microsecond = timedelta(microseconds=1)
    assert [asked.next() for _ in range(4)] == [
        noon,
        noon + microsecond,
        noon + 2 * microsecond,
        noon + timedelta(seconds=1),
    ]
