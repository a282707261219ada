"""The documented mappings are sound, map their payloads, and fit the sample organisation."""

import csv
from pathlib import Path

import pytest

import console.sample
from models.inputs import ReportIncident, read_inputs
from policy.authority import authorize
from policy.people import User
from policy.procedures import REPORT_INCIDENT, UPDATE_INCIDENT
from policy.vocabulary import Role, UserStatus
from producers.gateway.alerts import AlertFormat
from producers.gateway.formats.readers import READERS, guess_format
from producers.gateway.mapping_file import load_mapping
from producers.gateway.translate import Translation, translate
from tests.support.alerts import RECEIVED, mapping
from tests.support.examples import blocks

_EXAMPLES = Path(__file__).parents[4] / "docs" / "examples"
_SAMPLE = Path(console.sample.__file__).parent / "directory"


def _translations(format_: AlertFormat) -> list[Translation]:
    rules = load_mapping(_EXAMPLES / f"mapping-{format_}.toml")
    body = (_EXAMPLES / f"{format_}.json").read_bytes()
    assert guess_format(body) is format_
    alerts = READERS[format_](body, received_at=RECEIVED)
    return [translate(alert, rules, source="example") for alert in alerts]


def _rows(name: str) -> dict[str, dict[str, str]]:
    with (_SAMPLE / f"{name}s.csv").open(newline="") as file:
        return {row[f"{name}_id"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("format_", AlertFormat)
def test_an_example_maps_its_payload(format_: AlertFormat) -> None:
    """Every alert is mapped, and its request names what the sample organisation has."""
    for found in _translations(format_):
        assert found.unmapped is None
        inputs = read_inputs(found.procedure, found.data, now=RECEIVED)
        if isinstance(inputs, ReportIncident):
            assert inputs.client_id in _rows("client")
            assert inputs.component_id in _rows("component")


@pytest.mark.parametrize("format_", AlertFormat)
def test_the_users_of_an_example_may_act(format_: AlertFormat) -> None:
    """The sample's users, with the roles that they have there."""
    users = _rows("user")
    procedures = {each.actor: each for each in (REPORT_INCIDENT, UPDATE_INCIDENT)}
    found = load_mapping(_EXAMPLES / f"mapping-{format_}.toml").named_ids()
    named = [(name, user_id) for name, user_id in found if name in procedures]
    assert {name for name, _ in named} == set(procedures)
    for name, user_id in named:
        row = users[user_id]
        user = User(user_id, Role(row["role"]), UserStatus(row["status"]), None, None)
        assert authorize(procedures[name], user) is None


@pytest.mark.parametrize("number", range(len(blocks("mapping.md", "toml"))))
def test_what_the_page_shows_is_a_mapping(number: int) -> None:
    """The mappings in docs/mapping.md can be used as they stand."""
    assert mapping(blocks("mapping.md", "toml")[number]).rules
