"""Decode: an alert that the gateway's rules made no request of halts, and says why."""

from typing import Any

import orjson
import pytest

from models.events import MOST_UNMAPPED, UNMAPPED
from policy.halts import Halt, Reason
from tasks.requests import Refused, Request
from tests.support.decoding import decoded
from tests.support.requests import SECRET, delivery, event, report, update

_WHY = 'no rule matched alertname="DiskFull", severity="page".'


def _marked(procedure: str, data: Any, mark: object = _WHY) -> bytes:
    return orjson.dumps(orjson.loads(event(procedure, data)) | {UNMAPPED: mark})


def _halt(message: bytes, **signed: Any) -> Halt:
    refused = decoded(delivery(message, **signed))
    assert isinstance(refused, Refused), refused
    return refused.halt


@pytest.mark.parametrize(
    ("procedure", "data"),
    [("report_incident", {}), ("report_incident", report()), ("update_incident", update())],
)
def test_an_unmapped_alert_halts_and_says_why(procedure: str, data: Any) -> None:
    """What no rule matched is missing_input in the mapping's words, whatever the data holds."""
    halt = _halt(_marked(procedure, data))
    assert halt.reason == Reason.MISSING_INPUT
    assert halt.message.endswith(_WHY)
    assert [error.path for error in halt.errors] == [f"$.{UNMAPPED}"]


def test_only_an_authentic_event_is_believed() -> None:
    """A forged event is unauthenticated, and nothing that it says of a mapping is told."""
    halt = _halt(_marked("report_incident", {}), secret=SECRET[::-1] + b"x")
    assert halt.reason == Reason.UNAUTHENTICATED
    assert _WHY not in halt.message


def test_what_is_told_has_a_limit() -> None:
    """However much a source writes there, a halt's message stays short."""
    halt = _halt(_marked("report_incident", {}, "x" * 100_000))
    assert halt.message.endswith("x" * MOST_UNMAPPED)
    assert len(halt.message) < MOST_UNMAPPED + 200


@pytest.mark.parametrize("mark", ["", 7, None, ["x"], {}])
def test_another_use_of_the_name_changes_nothing(mark: object) -> None:
    """An extension attribute is never a reason to refuse an event that is sound otherwise."""
    assert isinstance(decoded(delivery(_marked("report_incident", report(), mark))), Request)
