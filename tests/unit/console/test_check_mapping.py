"""`andon gateway check-mapping`, without a database: what a mapping would publish of a payload."""

from pathlib import Path

import pytest

from tests.support.alerts import (
    LABELS,
    RULES,
    alertmanager_payload,
    body,
    firing,
    follow_up,
    grafana_payload,
    resolved,
    trigger,
)
from tests.support.command import andon, document


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory without an installation, with a mapping."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mapping.toml").write_text(RULES)
    return tmp_path


def _payload(directory: Path, payload: bytes) -> str:
    path = directory / "payload.json"
    path.write_bytes(payload)
    return str(path)


def test_the_requests_are_shown_as_they_would_be_published(check: Path) -> None:
    """One for each alert, with the rule that was for it; nothing else is printed."""
    payload = _payload(check, alertmanager_payload(firing(), resolved()))
    result = andon("gateway", "check-mapping", "mapping.toml", "--payload", payload, "--json")
    assert result.exit_code == 0
    told = document(result)
    assert [(each["state"], each["rule"], each["faults"]) for each in told["requests"]] == [
        ("firing", "rule 1 (disks)", []),
        ("resolved", "rule 1 (disks)", []),
    ]
    events = [each["event"] for each in told["requests"]]
    assert [event["type"] for event in events] == ["andon.report_incident", "andon.update_incident"]
    assert events[0]["data"]["dedup_key"] == events[1]["data"]["incident_dedup_key"]
    assert (told["ids"], told["faults"]) == ([], [])
    assert told["not_checked"].startswith("Settings are missing or wrong: ANDON_")
    assert "; ANDON_DATABASE_URL: is not set; " in told["not_checked"]


@pytest.mark.parametrize(
    ("payload", "format_"),
    [
        (alertmanager_payload(), "alertmanager"),
        (grafana_payload(), "grafana"),
        (grafana_payload(version=None), "grafana"),
        (body(trigger()), "pagerduty"),
        (body(follow_up("resolve")), "pagerduty"),
    ],
    ids=["alertmanager", "grafana", "grafana without version", "trigger", "resolve"],
)
def test_the_format_is_found_out(payload: bytes, format_: str, check: Path) -> None:
    """By what the payload looks like."""
    path = _payload(check, payload)
    result = andon("gateway", "check-mapping", "mapping.toml", "--payload", path, "--json")
    assert document(result)["requests"][0]["format"] == format_


def test_an_unmapped_alert_is_told_and_the_exit_code_says_so(check: Path) -> None:
    """With the labels that no rule matched."""
    payload = _payload(check, alertmanager_payload(firing(labels={"alertname": "Odd"})))
    result = andon("gateway", "check-mapping", "mapping.toml", "--payload", payload)
    assert result.exit_code == 1
    assert 'It would halt: no rule matched alertname="Odd"' in result.stdout
    assert "no rule → report_incident" in result.stdout


def test_a_faulty_request_is_told(check: Path) -> None:
    """What a label makes of an input is held against the contract."""
    payload = _payload(check, alertmanager_payload(firing(labels=LABELS | {"tenant": "two words"})))
    result = andon("gateway", "check-mapping", "mapping.toml", "--payload", payload)
    assert result.exit_code == 1
    assert "It would halt: $.data.client_id must be 1 to 64" in result.stdout


def test_a_steering_label_does_not_steer(check: Path) -> None:
    """Control characters of an alert are shown escaped."""
    labels = LABELS | {"host": "\x1b[2Jgone"}
    payload = _payload(check, alertmanager_payload(firing(labels=labels, fingerprint="\x1b[1m")))
    result = andon("gateway", "check-mapping", "mapping.toml", "--payload", payload)
    assert "\x1b" not in result.stdout


def test_a_mapping_alone_is_checked(check: Path) -> None:
    """Without a payload; every fault is named, and the exit code is 1."""
    assert andon("gateway", "check-mapping", "mapping.toml").exit_code == 0
    (check / "bad.toml").write_text(RULES.replace("client_id", "clientid").replace("P1", "P9"))
    result = andon("gateway", "check-mapping", "bad.toml")
    assert result.exit_code == 1
    for part in ("rule 1 (disks)", "unknown key 'clientid'", "needs client_id", "severity.map"):
        assert part in result.stderr


@pytest.mark.parametrize(
    ("payload", "code", "told"),
    [
        (b'{"alerts": [{}]}', 1, "$.alerts[0].fingerprint is required"),
        (b"nonsense", 1, "is not JSON"),
        (None, 2, "No such file"),
    ],
    ids=["faulty", "no JSON", "no file"],
)
def test_a_payload_that_is_none_is_said(
    payload: bytes | None, code: int, told: str, check: Path
) -> None:
    """With every fault, as a sender would be told."""
    path = "absent.json" if payload is None else _payload(check, payload)
    result = andon("gateway", "check-mapping", "mapping.toml", "--payload", path)
    assert result.exit_code == code
    assert told in result.stderr


def test_a_mapping_that_is_not_there_is_wrong_usage(check: Path) -> None:
    """As a payload is: exit code 2, not that of a faulty one."""
    for path in ("absent.toml", str(check)):
        result = andon("gateway", "check-mapping", path)
        assert result.exit_code == 2
        assert result.stdout == ""


@pytest.mark.usefixtures("check")
def test_a_format_without_a_payload_is_wrong_usage() -> None:
    """Nothing that is asked for is passed over."""
    result = andon("gateway", "check-mapping", "mapping.toml", "--format", "grafana")
    assert result.exit_code == 2
    assert "--payload" in result.stderr


@pytest.mark.usefixtures("check")
def test_what_could_not_be_checked_is_said() -> None:
    """With the settings that it takes; the mapping itself is checked all the same."""
    result = andon("gateway", "check-mapping", "mapping.toml")
    assert result.exit_code == 0
    told = "Whether the clients, components and users exist is not checked: Settings are missing"
    assert told in result.stdout


def test_a_format_may_be_given(check: Path) -> None:
    """Then the payload is read as that one, whatever it looks like."""
    path = _payload(check, body(trigger()))
    result = andon(
        "gateway", "check-mapping", "mapping.toml", "--payload", path, "--format", "grafana"
    )
    assert result.exit_code == 1
    assert "The payload is not as grafana sends it" in result.stderr


def test_nothing_secret_is_shown(check: Path) -> None:
    """A PagerDuty payload holds its routing key; what is printed does not."""
    path = _payload(check, body(trigger()))
    for options in ((), ("--json",)):
        result = andon("gateway", "check-mapping", "mapping.toml", "--payload", path, *options)
        assert trigger()["routing_key"] not in result.output
