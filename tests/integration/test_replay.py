"""`andon halts replay`: the request of a halt is published again, unedited, and decided anew."""

from datetime import UTC, datetime, timedelta

import pytest
import redis

from models.events import MAX_EVENT_BYTES
from models.operator import who_acts
from models.streams import EVENT, KEY, SIGNATURE, StreamNames
from tests.support.draining import drain, draining
from tests.support.forgetting import forget
from tests.support.installation import REGISTRY, Installation
from tests.support.requests import KEY_ID, SECRET, SOURCE, delivery, event, report, update
from tests.support.shell import Finished, andon

NAMES = StreamNames()
INACTIVE = report(reporter_user_id="leaver")
STATES = "SELECT halt_id, state, settled_at IS NOT NULL FROM halts ORDER BY halt_id"


def replay(installation: Installation, *arguments: str, **settings: str) -> Finished:
    """Run the command against the installation."""
    return andon(
        "halts",
        "replay",
        *arguments,
        settings=installation.environment() | settings,
        directory=installation.directory,
    )


def test_a_replayed_request_is_decided_anew_once_its_cause_is_gone(
    installation: Installation, broker: redis.Redis
) -> None:
    """The same bytes, key and signature come in again; the halt is settled with the decision."""
    original = delivery(event("report_incident", INACTIVE, id="r1"))
    installation.process(original)
    installation.execute("UPDATE users SET status = 'active' WHERE user_id = 'leaver'")
    published = replay(installation, "1")
    assert published.code == 0, published.stderr
    ((number, fields),) = broker.xrange(NAMES.intake())
    assert published.lines == [
        {"request": {"source": SOURCE, "id": "r1"}, "entry": f"{NAMES.intake()}/{number.decode()}"}
    ]
    assert fields == {
        EVENT.encode(): original.event,
        KEY.encode(): original.key_id.encode(),
        SIGNATURE.encode(): original.signature.encode(),
    }
    assert installation.rows(STATES) == [(1, "replaying", False)]
    drain(installation)
    assert installation.rows(STATES) == [(1, "replayed", True)]
    assert installation.rows("SELECT request_id FROM incidents") == [("r1",)]


def test_the_operators_part_is_in_the_audit_without_a_word_of_the_request(
    installation: Installation,
) -> None:
    """An approve of the halt, with ids, and who it was."""
    installation.process(delivery(event("report_incident", INACTIVE, id="r1"), entry="e/1"))
    replay(installation, "1")
    assert installation.rows(
        "SELECT action, outcome, procedure, source, request_id, subject, context"
        " FROM audit_records WHERE action = 'approve'"
    ) == [
        (
            "approve",
            "replaying",
            "report_incident",
            SOURCE,
            "r1",
            "halt:1",
            {"entry": "e/1", **who_acts()},
        )
    ]


def test_with_wait_the_new_outcome_is_printed(installation: Installation) -> None:
    """Nothing was put right, so it halts again, as a new halt; exit 1, and 0 once it is done."""
    installation.process(delivery(event("report_incident", INACTIVE, id="r1")))
    with draining(installation):
        again = replay(installation, "1", "--wait")
        installation.execute("UPDATE users SET status = 'active' WHERE user_id = 'leaver'")
        done = replay(installation, "2", "--wait")
    assert again.code == 1
    assert again.lines[0]["halt"]["id"] == "2"
    assert done.code == 0, done.stderr
    assert done.lines[0]["request"] == {"source": SOURCE, "id": "r1"}
    assert done.lines[0]["outcome"] == "done"
    assert installation.rows(STATES) == [(1, "replayed", True), (2, "replayed", True)]


def test_a_message_that_was_no_request_is_published_as_it_came(installation: Installation) -> None:
    """Its halt is settled at once, since nothing in the ledger leads back to it."""
    genuine = event("report_incident", report(), id="r1", source="newcomer")
    installation.process(delivery(genuine, key_id="newcomer-1"))
    newcomer = REGISTRY.partition("[sources.narrow]")[0]
    newcomer = newcomer.replace(SOURCE, "newcomer")
    installation.settings.producers_file.write_text(REGISTRY + newcomer)
    with draining(installation):
        done = replay(installation, "1", "--wait")
    assert done.code == 0, done.stderr
    assert done.lines[0]["request"] == {"source": "newcomer", "id": "r1"}
    assert installation.rows(STATES) == [(1, "replayed", True)]


def test_a_conflict_is_settled_at_once_and_halts_as_a_conflict_again(
    installation: Installation,
) -> None:
    """The ledger belongs to the request that came first, which its replay does not touch."""
    installation.process(delivery(event("report_incident", report(), id="r1")))
    installation.process(delivery(event("report_incident", INACTIVE, id="r1")))
    with draining(installation):
        again = replay(installation, "1", "--wait")
    assert again.code == 1
    assert again.lines[0]["halt"]["reason"] == "idempotency_conflict"
    assert installation.rows(STATES) == [(1, "replayed", True), (2, "open", False)]
    assert installation.rows("SELECT halted FROM requests") == [(False,)]


def test_what_was_not_kept_whole_is_refused(
    installation: Installation, broker: redis.Redis
) -> None:
    """A part of a message is never published; the halt stays as it is."""
    installation.process(delivery(b"x")._replace(event=b"x" * (MAX_EVENT_BYTES + 1)))
    refused = replay(installation, "1")
    assert refused.code == 2
    assert "65,536" in refused.stderr
    assert "262,145" in refused.stderr
    assert installation.rows(STATES) == [(1, "open", False)]
    assert broker.xlen(NAMES.intake()) == 0


def test_a_settled_halt_and_one_that_does_not_exist_are_refused(
    installation: Installation, broker: redis.Redis
) -> None:
    """The message says which it is; nothing is published or recorded."""
    installation.process(delivery(event("report_incident", INACTIVE, id="r1")))
    installation.execute("UPDATE halts SET state = 'discarded'")
    settled, missing = replay(installation, "1"), replay(installation, "2")
    assert (settled.code, missing.code) == (2, 2)
    assert "discarded" in settled.stderr
    assert "no halt 2" in missing.stderr
    assert broker.xlen(NAMES.intake()) == 0
    assert installation.rows("SELECT FROM audit_records WHERE action = 'approve'") == []


def test_a_replay_that_could_not_be_published_can_be_repeated(installation: Installation) -> None:
    """The halt stays replaying meanwhile; the repetition leads to one incident."""
    installation.process(delivery(event("report_incident", INACTIVE, id="r1")))
    installation.execute("UPDATE users SET status = 'active' WHERE user_id = 'leaver'")
    failed = replay(installation, "1", ANDON_BROKER_URL="redis://127.0.0.1:1/0")
    assert failed.code == 3
    assert installation.rows(STATES) == [(1, "replaying", False)]
    assert replay(installation, "1").code == 0
    assert replay(installation, "1").code == 0
    drain(installation)
    assert installation.rows(STATES) == [(1, "replayed", True)]
    assert len(installation.rows("SELECT FROM incidents")) == 1


def test_a_request_older_than_the_ledgers_retention_can_be_replayed(
    installation: Installation,
) -> None:
    """Its identity is kept as long as its halt is open, so that it need not expire."""
    long_ago = datetime.now(UTC) - timedelta(days=40)
    installation.process(delivery(event("report_incident", INACTIVE, id="r1", time=long_ago)))
    forget(installation, identities_after=timedelta(days=30))
    installation.execute("UPDATE users SET status = 'active' WHERE user_id = 'leaver'")
    assert replay(installation, "1").code == 0
    drain(installation)
    assert installation.rows(STATES) == [(1, "replayed", True)]
    assert installation.rows("SELECT request_id FROM incidents") == [("r1",)]


def test_an_old_request_that_is_replayed_may_wait_for_its_report(
    installation: Installation,
) -> None:
    """It refers to a report that is not there yet, and is decided when it is."""
    long_ago = datetime.now(UTC) - timedelta(days=40)
    follows = update(incident_id=None, incident_request={"id": "opens"}, updated_by_user="nobody")
    message = delivery(event("update_incident", follows, id="u1", time=long_ago))
    installation.process(message)
    forget(installation, identities_after=timedelta(days=30))
    installation.execute(
        "INSERT INTO users SELECT 'nobody', first_name, last_name, 'nobody@example.com', role,"
        " client_id, vendor_id, timezone, status FROM users WHERE user_id = 'support'"
    )
    assert replay(installation, "1").code == 0
    drain(installation)
    assert installation.rows("SELECT request_id FROM waiting") == [("u1",)]
    installation.process(delivery(event("report_incident", report(), id="opens")))
    drain(installation)
    assert installation.rows(STATES) == [(1, "replayed", True)]
    assert installation.rows("SELECT status FROM incidents") == [("investigating",)]


def test_what_halted_for_its_age_expires_again(installation: Installation) -> None:
    """Whether it was carried out before cannot be told by the entry that its halt has made."""
    forget(installation, identities_after=timedelta(days=30))
    long_ago = datetime.now(UTC) - timedelta(days=40)
    installation.process(delivery(event("report_incident", report(), id="r1", time=long_ago)))
    assert replay(installation, "1").code == 0
    drain(installation)
    assert installation.rows(STATES) == [(1, "replayed", True), (2, "open", False)]
    assert installation.rows("SELECT DISTINCT reason FROM halts") == [("expired",)]
    assert installation.rows("SELECT FROM incidents") == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ((KEY_ID, "monitor-2"), "'monitor-1' is not in the producer registry"),
        ((SECRET.hex(), "12" * 32), "not the key any more"),
        ((f"sources.{SOURCE}", "sources.another"), "not the key any more"),
    ],
)
def test_a_request_that_cannot_prove_its_source_any_more_is_refused(
    installation: Installation, broker: redis.Redis, change: tuple[str, str], says: str
) -> None:
    """It would halt again as unauthenticated, and its own halt would stay replaying."""
    installation.process(delivery(event("report_incident", INACTIVE, id="r1")))
    installation.settings.producers_file.write_text(REGISTRY.replace(*change))
    refused = replay(installation, "1")
    assert refused.code == 2
    assert says in refused.stderr
    assert installation.rows(STATES) == [(1, "open", False)]
    assert broker.xlen(NAMES.intake()) == 0
    assert installation.rows("SELECT FROM audit_records WHERE action = 'approve'") == []


def test_a_halt_whose_request_is_no_longer_kept_is_refused(installation: Installation) -> None:
    """Pruned, it is settled, and the message says so."""
    installation.process(delivery(event("report_incident", INACTIVE, id="r1")))
    installation.execute("UPDATE halts SET state = 'replayed', settled_at = now(), event = NULL")
    refused = replay(installation, "1")
    assert refused.code == 2
    assert "Halt 1 is replayed already" in refused.stderr
