"""`andon gateway check-mapping` with a database: may the users act, and does the directory fit."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.alerts import RULES, alertmanager_payload
from tests.support.command import andon, document
from tests.support.installation import Installation
from tests.support.requests import SOURCE


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    """An alert of the tests' organisation."""
    path = tmp_path / "payload.json"
    path.write_bytes(alertmanager_payload())
    return path


def _check(installation: Installation, rules: str, payload: Path, *options: str) -> tuple[int, Any]:
    return _check_alone(installation, rules, payload.parent, "--payload", str(payload), *options)


def _check_alone(
    installation: Installation, rules: str, directory: Path, *options: str
) -> tuple[int, Any]:
    """Without a payload, if none is among the options."""
    mapping = directory / "mapping.toml"
    mapping.write_text(rules)
    result = andon(
        "gateway", "check-mapping", str(mapping), "--json",
        *options, env=installation.environment(),
    )  # fmt: skip
    return result.exit_code, document(result)


def _faults(told: Any) -> dict[str, str | None]:
    return {f"{each['input']} {each['id']}": each["fault"] for each in told["ids"]}


def test_users_who_may_act_are_told(installation: Installation, payload: Path) -> None:
    """The one who reports and the one who updates, each for what they do."""
    code, told = _check(installation, RULES, payload)
    assert (code, told["not_checked"]) == (0, None)
    assert _faults(told) == {
        "client_id acme": None,
        "component_id gateway": None,
        "reporter_user_id manager": None,
        "updated_by_user support": None,
    }


def test_a_system_administrator_may_report_but_not_update(
    installation: Installation, payload: Path
) -> None:
    """The policy's lists differ, and the check knows which user is for what."""
    rules = RULES.replace('"manager"', '"admin"').replace('"support"', '"admin"')
    code, told = _check(installation, rules, payload)
    assert code == 1
    faults = _faults(told)
    assert faults["reporter_user_id admin"] is None
    assert "may not run update_incident" in str(faults["updated_by_user admin"])


@pytest.mark.parametrize(
    ("user", "fault"), [("nobody", "does not exist"), ("holiday", "is on_leave, not active")]
)
def test_users_who_cannot_act_are_told(
    user: str, fault: str, installation: Installation, payload: Path
) -> None:
    """Even if no alert of the payload would have them act now."""
    code, told = _check(installation, RULES.replace('"support"', f'"{user}"'), payload)
    assert code == 1
    assert fault in str(_faults(told)[f"updated_by_user {user}"])


def test_the_directory_is_asked_for_what_a_report_names(
    installation: Installation, payload: Path
) -> None:
    """Client and component exist, and are the reporter's business; every fault is named."""
    absent = RULES.replace('"{tenant}"', '"none"').replace('"gateway"', '"void"', 1)
    code, told = _check(installation, absent, payload)
    assert (code, told["requests"][0]["faults"]) == (
        1,
        ["client_id: there is no client none.", "component_id: there is no component void."],
    )
    foreign = RULES.replace('"manager"', '"acme-manager"').replace('"{tenant}"', '"globex"')
    code, told = _check(installation, foreign, payload)
    assert code == 1
    assert "not linked to the client" in told["requests"][0]["faults"][0]


def test_ids_that_a_mapping_names_are_looked_up_without_a_payload(
    installation: Installation, tmp_path: Path
) -> None:
    """In rules and in every line of a table: clients, components, assignees."""
    rules = RULES.replace('"gateway"', '{ from = "x", map = { a = "gateway", b = "void" } }', 1)
    rules = rules.replace('"acme"', '"none"') + 'assigned_to_user_id = "holiday"\n'
    code, told = _check_alone(installation, rules, tmp_path)
    assert code == 1
    faults = _faults(told)
    assert faults["client_id none"] == "there is no client none."
    assert faults["component_id void"] == "there is no component void."
    assert faults["component_id gateway"] is None
    assert "is on_leave, not active" in str(faults["assigned_to_user_id holiday"])
    assert _check_alone(installation, RULES, tmp_path)[0] == 0


def test_an_assignee_has_to_belong_to_the_alert_s_client(
    installation: Installation, payload: Path
) -> None:
    """A client's contact may be assigned, but no incident of another client's."""
    rules = RULES + 'assigned_to_user_id = "acme-contact"\n'
    rules = rules.replace('"{tenant}"', '"{tenant}"\nassigned_to_user_id = "acme-contact"')
    code, told = _check(installation, rules, payload)
    assert (code, told["requests"][0]["faults"]) == (0, [])
    rules = rules.replace('"{tenant}"', '"globex"')
    code, told = _check(installation, rules, payload)
    assert code == 1
    (fault,) = told["requests"][0]["faults"]
    assert fault.startswith("The user named as assigned_to_user_id is ")
    assert _faults(told)["assigned_to_user_id acme-contact"] is None


def test_the_registry_is_asked_for_the_source(installation: Installation, payload: Path) -> None:
    """What it may ask for, for whom it may act, and whether it is there at all."""
    assert _check(installation, RULES, payload, "--source", SOURCE)[0] == 0
    code, told = _check(installation, RULES, payload, "--source", "nobody")
    assert (code, told["requests"][0]["faults"]) == (1, ["the registry has no source nobody"])
    text = (
        '[sources.narrow]\nprocedures = ["update_incident"]\nusers = ["support"]\n'
        "require_severity_flags = true\n"
    )
    installation.settings.producers_file.write_text(text)
    code, told = _check_alone(installation, RULES, payload.parent, "--source", "narrow")
    assert (code, told["faults"]) == (
        1,
        [
            "the registry does not let narrow ask for report_incident",
            "the registry does not let narrow act for reporter_user_id manager",
        ],
    )
    code, told = _check(installation, RULES, payload, "--source", "narrow")
    assert (code, told["requests"][0]["faults"]) == (
        1,
        [
            "the registry does not let narrow ask for report_incident",
            "the registry does not let narrow act for reporter_user_id manager",
            "the registry requires severity_flags of narrow",
        ],
    )


def test_a_database_that_does_not_answer_is_no_fault(
    installation: Installation, payload: Path
) -> None:
    """What can be checked is, and what was not is said."""
    mapping = payload.parent / "mapping.toml"
    mapping.write_text(RULES)
    gone = {"ANDON_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none"}
    result = andon(
        "gateway", "check-mapping", str(mapping), "--payload", str(payload),
        env=installation.environment() | gone,
    )  # fmt: skip
    assert result.exit_code == 0
    assert "is not checked: PostgreSQL does not answer" in result.stdout
