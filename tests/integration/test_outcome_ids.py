"""The ids of outcome events: CloudEvents asks that ``(source, id)`` tells each from all others."""

import orjson

from tasks.verdicts import Verdict
from tests.support.installation import Installation
from tests.support.requests import delivery, event, report, update

LONGEST = 255


def id_of(verdict: Verdict) -> str:
    """The id of the event that tells the outcome."""
    assert verdict.outcome is not None
    id_: str = orjson.loads(verdict.outcome.event())["id"]
    return id_


def test_each_outcome_of_one_batch_has_an_id_of_its_own(installation: Installation) -> None:
    """Done, in conflict with it, or no request at all: one transaction, and four ids."""
    verdicts = installation.process(
        delivery(event("report_incident", report(), id="same")),
        delivery(event("report_incident", report(title="Other"), id="same")),
        delivery(event("update_incident", update(), id="same")),
        delivery(b"\xff no event"),
    )
    assert [verdict.outcome and verdict.outcome.halted for verdict in verdicts] == [
        False, True, True, True,
    ]  # fmt: skip
    assert len({id_of(verdict) for verdict in verdicts}) == 4


def test_an_outcome_that_is_published_again_keeps_its_id(installation: Installation) -> None:
    """Redelivered or repeated, a request has one outcome, and its consumers can tell."""
    message = event("report_incident", report(), id="r1")
    first = delivery(message)
    (done,) = installation.process(first)
    (redelivered,) = installation.process(first._replace(deliveries=2))
    (repeated,) = installation.process(delivery(message))
    assert id_of(done) == id_of(redelivered) == id_of(repeated)


def test_the_longest_names_make_no_long_id(installation: Installation) -> None:
    """A consumer may keep ids in 255 characters, however long the request's own are."""
    (verdict,) = installation.process(delivery(event("report_incident", report(), id="x" * 255)))
    assert len(id_of(verdict)) <= LONGEST
