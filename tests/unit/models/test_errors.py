"""How much is said of one message's faults, however many it has and wherever they are."""

from typing import Any

import orjson
import pytest

from models.errors import LONGEST_PATH, MOST_ERRORS, json_path
from models.events import MAX_EVENT_BYTES, read_event
from policy.halts import Halt, InputError
from tests.support.decoding import halt_of
from tests.support.requests import report

MOST_STORED = 64 * 1024


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
