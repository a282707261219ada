"""Decode: an alert that the gateway's rules made no request of halts, and says why."""

from typing import Any

import orjson
import pytest

from models.events import LABELS, MOST_UNMAPPED, UNMAPPED
from policy.halts import Halt, Reason
from tasks.requests import Refused, Request
from tests.support.decoding import decoded
from tests.support.requests import SECRET, delivery, event, report, update

_WHY = 'no rule matched alertname="DiskFull", severity="page".'


def _marked(procedure: str, data: Any, mark: object = _WHY, **more: object) -> bytes:
    return orjson.dumps(orjson.loads(event(procedure, data)) | {UNMAPPED: mark} | more)


def _halt(message: bytes, **signed: Any) -> Halt:
    refused = decoded(delivery(message, **signed))
    assert isinstance(refused, Refused), refused
    return refused.halt


@pytest.mark.parametrize(
    ("procedure", "data"),
    [("report_incident", {}), ("report_incident", report()), ("update_incident", update())],
)
def test_an_unmapped_alert_halts_and_names_its_labels(procedure: str, data: Any) -> None:
    """What no rule matched is missing_input, whatever the data holds; why is in the event alone."""
    halt = _halt(_marked(procedure, data, **{LABELS: "alertname severity +2"}))
    assert halt.reason == Reason.MISSING_INPUT
    assert "with the labels alertname, severity and 2 more; andonunmapped" in halt.message
    assert "DiskFull" not in halt.message
    assert [error.path for error in halt.errors] == [f"$.{UNMAPPED}"]


def test_only_an_authentic_event_is_believed() -> None:
    """A forged event is unauthenticated, and nothing that it says of a mapping is told."""
    halt = _halt(_marked("report_incident", {}), secret=SECRET[::-1] + b"x")
    assert halt.reason == Reason.UNAUTHENTICATED
    assert _WHY not in halt.message


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ("alertname +0", "the alert with the labels alertname; "),
        ("+3", "the alert with 3 labels; "),
        ("+0", "the alert; "),
        ("", "the alert; "),
        ("   ", "the alert; "),
        (None, "the alert; "),
        (["a"], "the alert; "),
        ('a b.c d="e" f', "the alert with the labels a, f and 2 more; "),
        ("a +999999999999", "the alert with the labels a and 1 more; "),
        ("x" * 65, "the alert with 1 labels; "),
    ],
)
def test_only_what_looks_like_a_name_is_told(labels: object, told: str) -> None:
    """Whoever wrote it: the rest is counted."""
    assert told in _halt(_marked("report_incident", {}, **{LABELS: labels})).message


def test_what_is_told_has_a_limit() -> None:
    """However much a source writes there, a halt's message stays short."""
    many = " ".join(f"l{number}" for number in range(10_000))
    halt = _halt(_marked("report_incident", {}, "x" * 100_000, **{LABELS: many}))
    assert len(halt.message) < MOST_UNMAPPED
    assert "more; andonunmapped" in halt.message


@pytest.mark.parametrize("mark", ["", 7, None, ["x"], {}])
def test_another_use_of_the_name_changes_nothing(mark: object) -> None:
    """An extension attribute is never a reason to refuse an event that is sound otherwise."""
    assert isinstance(decoded(delivery(_marked("report_incident", report(), mark))), Request)
