"""What is said of a message's faults, and how much, however many it has and wherever they are."""

import re
from typing import Any

import orjson
import pytest

from models.errors import LONGEST_PATH, MOST_ERRORS, json_path
from models.events import MAX_EVENT_BYTES, read_event
from models.inputs import INPUTS
from policy.halts import Halt, InputError
from tests.support.decoding import faults_of, halt_of
from tests.support.requests import report, update

MOST_STORED = 64 * 1024
_BAD: Any = [
    None,
    "",
    "x" * 5_000,
    "no such word",
    True,
    7,
    -1,
    1.5,
    10**18,
    [],
    ["x"],
    {},
    {"x": 1},
]
_PYTHON = re.compile(r"Input|should|String|valid|instance|pydantic|Value error|\bdict")


def _size(halt: Halt) -> int:
    return sum(len(error.path) + len(error.message) for error in halt.errors)


def _nested(inner: Any, *, depth: int, key: str) -> Any:
    for _ in range(depth):
        inner = {key: inner}
    return inner


@pytest.mark.parametrize("where", ["x", "subject"])
def test_u0000_in_many_deep_places_of_an_envelope_is_a_short_halt(where: str) -> None:
    """An unsigned message of less than 256 KiB cannot make a halt that does not fit anywhere."""
    nuls = ["\0"] * 19_500
    message = {"specversion": "1.0", "id": "1", "source": "local", "type": "andon.report_incident"}
    attack = orjson.dumps(message | {where: _nested(nuls, depth=240, key="k" * 60)})
    assert len(attack) < MAX_EVENT_BYTES
    halt = read_event(attack)
    assert isinstance(halt, Halt)
    assert len(halt.errors) == MOST_ERRORS + 1
    assert halt.errors[-1] == InputError("$", "and at least 1 more fault")
    assert max(len(error.path) for error in halt.errors) == LONGEST_PATH
    assert _size(halt) < MOST_STORED


def test_of_many_unknown_inputs_fifty_are_named_and_all_are_counted() -> None:
    """The halt says how many more there are."""
    halt = halt_of("report_incident", report(**{f"u{number}": 1 for number in range(20_000)}))
    assert halt.message == "20,000 inputs are invalid."
    assert [error.path for error in halt.errors[:2]] == ["$.data.u0", "$.data.u1"]
    assert halt.errors[-1] == InputError("$", "and 19,950 more faults")
    assert len(halt.errors) == MOST_ERRORS + 1


def test_u0000_and_other_faults_together_are_fifty_at_most() -> None:
    """Both kinds share the room that one halt has."""
    unknown: dict[str, Any] = {f"u{number}": number for number in range(40)}
    halt = halt_of("report_incident", report(**unknown, note=["\0"] * 40))
    assert len(halt.errors) == MOST_ERRORS + 1
    assert halt.message == "81 inputs are invalid."
    assert halt.errors[-1] == InputError("$", "and 31 more faults")


def test_as_many_faults_as_fit_are_all_named() -> None:
    """Nothing is said of more where there are none."""
    unknown = {f"u{number}": 1 for number in range(MOST_ERRORS)}
    halt = halt_of("report_incident", report(**unknown))
    assert [error.path for error in halt.errors] == [f"$.data.{name}" for name in unknown]


def test_a_path_that_is_cut_says_so_and_stays() -> None:
    """It ends in an ellipsis, whatever lies below."""
    path = "$"
    for _ in range(100):
        path = json_path(path, "component")
    assert len(path) == LONGEST_PATH
    assert path.endswith(".com…")
    assert json_path(path, 7) == path


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"title": 7}, {"title": "must be text"}),
        ({"title": ""}, {"title": "must not be empty"}),
        ({"title": "x" * 1_025}, {"title": "must have at most 1024 characters"}),
        (
            {"impact_level": "huge"},
            {"impact_level": "must be 'low', 'medium', 'high' or 'critical'"},
        ),
        ({"client_id": "a b"}, {"client_id": "must be 1 to 64 of A-Z a-z 0-9 . _ : -"}),
        ({"severity_flags": "P1"}, {"severity_flags": "must be a JSON object"}),
        (
            {"severity_flags": {"p1_outage_no_workaround": "yes"}},
            {"severity_flags.p1_outage_no_workaround": "must be true or false"},
        ),
        ({"colour": 1}, {"colour": "is not an input of this procedure"}),
        ({"category": None}, {"category": "is required"}),
    ],
)
def test_a_fault_is_told_in_plain_words(given: dict[str, Any], told: dict[str, str]) -> None:
    """The end of a sentence about the input, which says what it must be."""
    _, faults = faults_of("report_incident", report() | given)
    assert faults == {f"$.data.{path}": message for path, message in told.items()}


@pytest.mark.parametrize("bad", _BAD, ids=lambda bad: repr(bad)[:12])
def test_no_fault_is_told_in_words_of_python(bad: Any) -> None:
    """Whatever stands in whichever input: no class is named, and what it is not, is an input."""
    told: list[str] = []
    for procedure, model in INPUTS.items():
        data = dict.fromkeys(model.model_fields, bad)
        told += [error.message for error in halt_of(procedure, data).errors]
    assert [message for message in told if _PYTHON.search(message)] == []


def test_a_number_says_which_it_may_be() -> None:
    """The least and the most, without a sign of mathematics."""
    faults = faults_of("update_incident", update(incident_id="0", expected_version=0))[1]
    assert faults == {
        "$.data.incident_id": "must be greater than 0",
        "$.data.expected_version": "must be at least 1",
    }
