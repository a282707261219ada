"""The audit says who acted: the user a request names, also where it is refused, or the account."""

import os
import pwd
import socket
from typing import Any

import pytest

from models.operator import who_acts
from tests.support.installation import Installation
from tests.support.requests import (
    SOURCE,
    communication,
    delivery,
    escalation,
    event,
    report,
    update,
)

ACTORS = "SELECT actor, reason FROM audit_records WHERE request_id IS NOT NULL"


@pytest.mark.parametrize(
    ("source", "procedure", "data", "expected"),
    [
        ("narrow", "report_incident", report(reporter_user_id="boss"), "source_not_allowed"),
        ("narrow", "update_incident", update(updated_by_user="boss"), "source_not_allowed"),
        (SOURCE, "update_incident", update(updated_by_user="boss", incident_id=7), None),
        (SOURCE, "report_incident", report(reporter_user_id="boss", title=None), "missing_input"),
        (SOURCE, "report_incident", report(reporter_user_id="boss", urgency_level="x"), None),
        (SOURCE, "submit_escalation", escalation(escalated_by_user="boss", x=1), None),
        (SOURCE, "record_communication", communication(sender_id="boss", x=1), "invalid_input"),
    ],
)
def test_a_refused_request_names_its_actor(
    installation: Installation,
    source: str,
    procedure: str,
    data: dict[str, Any],
    expected: str | None,
) -> None:
    """On whose authority it was to be done, whatever else is wrong with it."""
    message = delivery(
        event(procedure, data, id="r1", source=source),
        key_id="narrow-1" if source == "narrow" else "monitor-1",
    )
    installation.process(message)
    ((actor, reason),) = installation.rows(ACTORS)
    assert actor == "boss"
    assert reason == (expected or reason)
    assert reason is not None


def test_an_id_that_is_a_number_is_its_digits(installation: Installation) -> None:
    """As everywhere."""
    data = report(reporter_user_id=17, title=None)
    installation.process(delivery(event("report_incident", data, id="r1")))
    assert [row.actor for row in installation.rows(ACTORS)] == ["17"]


@pytest.mark.parametrize("actor", ["a b", "", None, True, ["boss"], "x" * 65, "Maren\nMeier"])
def test_what_is_no_id_is_no_actor(installation: Installation, actor: object) -> None:
    """Free text does not get into the audit."""
    data = {**report(), "reporter_user_id": actor}
    installation.process(delivery(event("report_incident", data, id="r1")))
    ((found, reason),) = installation.rows(ACTORS)
    assert found is None
    assert reason in ("missing_input", "invalid_input")


def test_a_message_that_proves_nothing_names_nobody(installation: Installation) -> None:
    """Anybody could have written the name."""
    forged = delivery(event("report_incident", report()), secret=b"guessed secret!!")
    installation.process(forged)
    assert [row.actor for row in installation.rows("SELECT actor FROM audit_records")] == [None]


def test_the_account_and_the_host_are_those_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What sudo's environment says is told apart, since anybody can set it."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    here = {"account": pwd.getpwuid(os.getuid()).pw_name, "host": socket.gethostname()}
    assert who_acts() == here
    monkeypatch.setenv("SUDO_USER", "maren")
    assert who_acts() == {**here, "sudo_user": "maren"}
    monkeypatch.setenv("SUDO_USER", "Maren Meier <maren@example.org>")
    assert who_acts() == {**here, "sudo_user": "illegible"}
