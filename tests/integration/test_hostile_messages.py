"""No message, however it is made, comes back for ever: each is decided, or halted as plainly."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tasks.faults import Fault, Outage, fault_of, frames_of
from tests.support.installation import Installation
from tests.support.requests import SOURCE, delivery, event, report

NO_ERRORS = "ALTER TABLE halts ADD CHECK (jsonb_array_length(errors) = 0)"
NO_HALTS_IN_LEDGER = "ALTER TABLE requests ADD CHECK (NOT halted)"
NO_HALTS = "ALTER TABLE halts ADD CHECK (halt_id < 0)"
HALTS = "SELECT source, request_id, reason, jsonb_array_length(errors), state FROM halts"


def test_a_halt_that_cannot_be_stored_is_stored_without_its_errors(
    installation: Installation,
) -> None:
    """The request ends as internal_error, under its own identity; a repetition is a duplicate."""
    installation.execute(NO_ERRORS)
    faulty = event("report_incident", report(severity="P9"), id="r1")
    (verdict,) = installation.process(delivery(faulty))
    assert installation.rows(HALTS) == [(SOURCE, "r1", "internal_error", 0, "open")]
    (again,) = installation.process(delivery(faulty))
    assert again.outcome == verdict.outcome
    assert installation.rows("SELECT sum(halted), sum(duplicates) FROM tallies") == [(1, 1)]


def test_a_malformed_message_whose_halt_cannot_be_stored_still_ends(
    installation: Installation,
) -> None:
    """Also what claims no identity is told by its entry, and the rest of its batch is done."""
    installation.execute(NO_ERRORS)
    good = delivery(event("report_incident", report(), id="r1"))
    bad = delivery(b'{"specversion": "1.0"}', entry="e/1")
    verdicts = installation.process(bad, good)
    assert [v.outcome.halted for v in verdicts if v.outcome] == [True, False]
    assert installation.rows(HALTS) == [(None, None, "internal_error", 0, "open")]


def test_a_request_that_the_ledger_does_not_take_is_halted_by_its_entry(
    installation: Installation,
) -> None:
    """It claims nothing then, and the same request may be sent again."""
    installation.execute(NO_HALTS_IN_LEDGER)
    faulty = event("report_incident", report(severity="P9"), id="r1")
    (verdict,) = installation.process(delivery(faulty, entry="e/1"))
    assert verdict.outcome is not None
    assert verdict.outcome.data["request"] == {"entry": "e/1"}
    assert installation.rows(HALTS) == [(None, None, "internal_error", 0, "open")]
    (sound,) = installation.process(delivery(event("report_incident", report(), id="r1")))
    assert sound.outcome is not None
    assert not sound.outcome.halted


def test_where_no_halt_can_be_stored_at_all_nothing_is_decided(installation: Installation) -> None:
    """Then it is not the message: the intake pauses."""
    installation.execute(NO_HALTS)
    with pytest.raises(Outage, match="halt cannot be stored"):
        installation.process(delivery(b"{}"))
    assert installation.rows("SELECT FROM tallies") == []


def test_what_is_too_large_for_postgresql_is_refused_and_no_outage(
    installation: Installation,
) -> None:
    """SQLSTATE 54000: an index entry that does not fit is the request's fault."""
    with (
        pytest.raises(DBAPIError) as refused,
        installation.pipeline.engine.begin() as connection,
    ):
        connection.execute(
            text("INSERT INTO attempts (entry, runners) SELECT string_agg(md5(n::text), ''), '{}'"
                 " FROM generate_series(1, 1000) AS n")
        )  # fmt: skip
    assert getattr(refused.value.orig, "sqlstate", None) == "54000"
    assert fault_of(refused.value) is Fault.REFUSED


def test_errors_of_the_database_and_frames_in_the_log_hold_no_values(
    installation: Installation,
) -> None:
    """The statement's parameters are what requests say; frames name places only."""
    with (
        pytest.raises(DBAPIError) as refused,
        installation.pipeline.engine.begin() as connection,
    ):
        connection.execute(text("SELECT 1 / :zero, :title"), {"zero": 0, "title": "secret title"})
    assert "secret title" not in str(refused.value)
    frames = frames_of(refused.value)
    assert frames[0].startswith("tests.integration.test_hostile_messages:")
    assert "secret title" not in "".join(frames)
