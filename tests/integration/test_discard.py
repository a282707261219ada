"""`andon halts discard`: what nobody will replay is settled, and that is recorded."""

from models.operator import who_acts
from tests.support.draining import drain
from tests.support.installation import Installation
from tests.support.requests import SOURCE, delivery, event, report
from tests.support.shell import Finished, andon

INACTIVE = report(reporter_user_id="leaver")
STATES = "SELECT halt_id, state, settled_at IS NOT NULL FROM halts ORDER BY halt_id"
REJECTED = (
    "SELECT outcome, procedure, source, request_id, subject, context FROM audit_records"
    " WHERE action = 'reject' ORDER BY subject"
)


def halts(installation: Installation, *arguments: str) -> Finished:
    """Run a command about halts against the installation."""
    return andon(
        "halts",
        *arguments,
        settings=installation.environment(),
        directory=installation.directory,
    )


def halt(installation: Installation, count: int) -> None:
    """Have *count* requests halt: r1 as halt 1, r2 as halt 2."""
    for number in range(1, count + 1):
        message = event("report_incident", INACTIVE, id=f"r{number}")
        installation.process(delivery(message, entry=f"e/{number}"))


def test_a_discard_settles_several_halts_and_is_recorded_as_reject(
    installation: Installation,
) -> None:
    """One record a halt, with ids and who it was; the others stay open, and the audit verifies."""
    halt(installation, 3)
    done = halts(installation, "discard", "3", "1")
    assert (done.code, done.stdout) == (0, "Discarded: halt 1, halt 3.\n"), done.stderr
    assert installation.rows(STATES) == [
        (1, "discarded", True),
        (2, "open", False),
        (3, "discarded", True),
    ]
    assert installation.rows(REJECTED) == [
        ("discarded", "report_incident", SOURCE, "r1", "halt:1", {"entry": "e/1", **who_acts()}),
        ("discarded", "report_incident", SOURCE, "r3", "halt:3", {"entry": "e/3", **who_acts()}),
    ]
    verified = andon(
        "audit",
        "verify",
        settings=installation.environment(),
        directory=installation.directory,
    )
    assert verified.code == 0


def test_of_several_all_are_discarded_or_none(installation: Installation) -> None:
    """Every one that cannot be is named; exit 2, and nothing is changed or recorded."""
    halt(installation, 3)
    assert halts(installation, "discard", "2").code == 0
    refused = halts(installation, "discard", "1", "2", "3", "99")
    assert refused.code == 2
    assert "Halt 2 is discarded already" in refused.stderr
    assert "no halt 99" in refused.stderr
    assert "alt 1" not in refused.stderr
    assert [state for _, state, _ in installation.rows(STATES)] == ["open", "discarded", "open"]
    assert len(installation.rows(REJECTED)) == 1


def test_the_document_names_each_halt_once(installation: Installation) -> None:
    """With --json; numbers are strings, as everywhere outside."""
    halt(installation, 2)
    done = halts(installation, "discard", "2", "1", "2", "--json")
    assert done.document == {"discarded": ["1", "2"]}


def test_a_message_that_is_no_request_can_be_discarded(installation: Installation) -> None:
    """Its record names the halt and the entry, since nothing else of it is known."""
    installation.process(delivery(b"\xff no event", entry="e/1"))
    assert halts(installation, "discard", "1").code == 0
    assert installation.rows(REJECTED) == [
        ("discarded", None, None, None, "halt:1", {"entry": "e/1", **who_acts()})
    ]


def test_a_replay_that_nobody_has_decided_is_called_off(installation: Installation) -> None:
    """The message that was published again gets the outcome of the halt, and has no effect."""
    halt(installation, 1)
    installation.execute("UPDATE users SET status = 'active' WHERE user_id = 'leaver'")
    assert halts(installation, "replay", "1").code == 0
    assert halts(installation, "discard", "1").code == 0
    drain(installation)
    assert installation.rows(STATES) == [(1, "discarded", True)]
    assert installation.rows("SELECT FROM incidents") == []
    assert installation.rows("SELECT halted FROM requests") == [(True,)]


def test_a_discarded_halt_cannot_be_replayed(installation: Installation) -> None:
    """It is settled; the message says how."""
    halt(installation, 1)
    assert halts(installation, "discard", "1").code == 0
    refused = halts(installation, "replay", "1")
    assert refused.code == 2
    assert "Halt 1 is discarded already" in refused.stderr
