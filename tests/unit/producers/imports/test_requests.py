"""From rows to requests: values, moments, keys and times, the same in every run."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.imports.keys import attempt, request_id
from producers.imports.mapping import load_mapping
from producers.imports.requests import FaultyRow, RequestMaker, RowRequest, in_order
from producers.imports.rows import Row
from tests.support.reports import change, fault, write_mapping

MADE = datetime(2025, 10, 1, tzinfo=UTC)

SHORT = """
key = ["Id"]
[requests.report]
procedure = "report_incident"
[requests.report.inputs]
title = "Text"
category = {value = "vendor"}
impact_level = {value = "low"}
urgency_level = {value = "low"}
client_id = {value = 17}
component_id = {value = "gateway"}
reporter_user_id = {value = "manager"}
detection_timestamp = {RULE}
severity_flags.p1_outage_no_workaround = "Flag"
"""


@pytest.fixture
def maker(tmp_path: Path) -> RequestMaker:
    """By the mapping of the tests."""
    return RequestMaker("r", load_mapping(write_mapping(tmp_path)), None, MADE)


def made(maker: RequestMaker, row: dict[str, Any], number: int = 2) -> RowRequest:
    """The request of a row that has no fault."""
    request = maker.make(Row(number, {name: value or None for name, value in row.items()}))
    assert isinstance(request, RowRequest), request
    return request


def detected(tmp_path: Path, rule: str, value: object) -> str:
    """How a moment comes out, or the fault."""
    text = SHORT.replace("RULE", rule)
    maker = RequestMaker("r", load_mapping(write_mapping(tmp_path, text)), MADE, MADE)
    request = maker.make(Row(2, {"Id": "1", "Text": "t", "When": value}))  # type: ignore[dict-item]
    if isinstance(request, FaultyRow):
        return str(request.faults[0])
    assert isinstance(request, RowRequest)
    return str(request.data["detection_timestamp"])


def test_a_row_becomes_the_request_that_its_mapping_says(maker: RequestMaker) -> None:
    """Constants, tables, defaults and moments; an input whose column is empty is left out."""
    request = made(maker, fault("T/1", Level="", Outage="", By=""))
    assert request.name == "r/T%2F1/0"
    assert request.data == {
        "title": "Gateway down, T/1",
        "category": "vendor_report",
        "impact_level": "low",
        "urgency_level": "low",
        "client_id": "acme",
        "component_id": "gateway",
        "reporter_user_id": "manager",
        "detection_timestamp": "2025-09-25T12:00:00Z",
        "severity_flags": {"p1_outage_no_workaround": False},
    }
    follow_up = made(maker, change("T/1", 1, State="", Summary="Only a note"))
    assert follow_up.refers_to == request.name
    assert follow_up.data == {"updated_by_user": "support", "note": "Only a note"}
    assert follow_up.data_with("r/T%2F1/0~2")["incident_request"] == {"id": "r/T%2F1/0~2"}


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        ('column = "When"', "2025-09-25T14:00:00+02:00", "2025-09-25T12:00:00Z"),
        ('column = "When"', "2025-09-25", "2025-09-25T00:00:00Z"),
        ('column = "When", zone = "Asia/Tokyo"', "2025-09-25 09:00", "2025-09-25T00:00:00Z"),
        ('column = "When", zone = "Asia/Tokyo"', "2025-09-25T09:00Z", "2025-09-25T09:00:00Z"),
        ('column = "When", format = "%d/%m/%y %H.%M"', "25/09/25 14.00", "2025-09-25T14:00:00Z"),
        ('column = "When", format = "%H:%M", zone = "Europe/Oslo"',
         datetime(2025, 1, 2, 3), "2025-01-02T02:00:00Z"),  # noqa: DTZ001
        # The hour that comes twice is the first one; that which never comes is no moment.
        ('column = "When", zone = "Europe/Oslo"', "2025-10-26 02:30", "2025-10-26T00:30:00Z"),
        ('column = "When", zone = "Europe/Oslo"', "2025-03-30 02:30",
         "When: 2025-03-30 02:30:00 does not exist in Europe/Oslo: the clocks went forward"),
        ('column = "When", format = "%d.%m.%Y"', "2025-09-25",
         "When: '2025-09-25' is not a moment written as %d.%m.%Y"),
        ('column = "When", default = "2025-01-01"', None, "2025-01-01T00:00:00Z"),
        ('column = "When", zone = "Asia/Tokyo"', "0001-01-01",
         "When: 0001-01-01 00:00:00 cannot be told in UTC"),
    ],
)  # fmt: skip
def test_moments_come_out_in_utc(tmp_path: Path, rule: str, value: object, expected: str) -> None:
    """However they are written, in whatever zone; what is none is told."""
    assert detected(tmp_path, rule, value) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("TRUE", True), ("0", False), ("yes", True), ("maybe", None)]
)
def test_conditions_are_read_as_true_or_false(
    tmp_path: Path, text: str, expected: bool | None
) -> None:
    """The usual words need no table; another word is told with them."""
    mapping = load_mapping(write_mapping(tmp_path, SHORT.replace("RULE", 'value = "2025-09-25"')))
    request = RequestMaker("r", mapping, MADE, MADE).make(
        Row(2, {"Id": "1", "Text": "t", "Flag": text})
    )
    if expected is None:
        assert isinstance(request, FaultyRow)
        assert "'maybe' is none of true, yes" in str(request.faults[0])
    else:
        assert isinstance(request, RowRequest)
        assert request.data["severity_flags"] == {"p1_outage_no_workaround": expected}
        assert request.data["client_id"] == "17"
        assert request.time == in_order(MADE, 2)


def test_the_time_follows_from_the_row_and_keeps_the_order(maker: RequestMaker) -> None:
    """The same in every run; of rows that state the same minute, the later row is later."""
    first, second = (made(maker, change("T", n), number=n) for n in (2, 3))
    assert made(maker, change("T", 2), number=2).time == first.time
    assert first.time < second.time
    assert second.time.isoformat() == "2025-09-25T12:30:00.000003+00:00"
    exact = datetime(2025, 9, 25, microsecond=1, tzinfo=UTC)
    assert in_order(exact, 99) == exact
    late = datetime(2025, 9, 25, tzinfo=UTC)
    assert in_order(late, 5_000_000) < late.replace(second=1)


_PART = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)
_PARTS = st.lists(_PART, min_size=1, max_size=4)


@given(_PARTS, _PARTS, st.integers(1, 99), st.integers(1, 99))
def test_different_keys_and_attempts_have_different_names(
    one: list[str], other: list[str], first: int, second: int
) -> None:
    """Whatever stands in the key columns, separators too."""
    same = one == other and first == second
    names = attempt(request_id("r", one), first), attempt(request_id("r", other), second)
    assert (names[0] == names[1]) == same


@pytest.mark.parametrize("ticket", ["x" * 250, "\0"])
def test_a_key_that_is_no_id_is_told(maker: RequestMaker, ticket: str) -> None:
    """With its column: an id has 255 characters, and none is U+0000."""
    row = maker.make(Row(2, fault(ticket)))
    assert isinstance(row, FaultyRow)
    assert [each.column for each in row.faults] == ["Ticket"]


def test_a_time_in_the_future_is_told(maker: RequestMaker) -> None:
    """It would make everything superseded that is asked about the incident until then."""
    row = maker.make(Row(2, change("T", 1, When="25.09.2052 14:30")))
    assert isinstance(row, FaultyRow)
    assert "future" in str(row.faults[0])
