"""The account itself: whatever is changed in what a sound run has stored is found, and named."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from models.audit_verify import Misfit
from tests.acceptance.faults.accounting import Wrong, draw_up
from tests.acceptance.faults.brokers import RedisStage
from tests.acceptance.faults.journal import ReadJournal
from tests.acceptance.faults.running import Run, carry_out, place
from tests.acceptance.faults.stored import Record, Said, Stored

SEED = 20_250_925
Condition = Callable[[Record], bool]
Doctored = tuple[str, Wrong, Stored]


def changed(stored: Stored, table: str, rows: Sequence[Any]) -> Stored:
    """The same, with other rows in one table."""
    return replace(stored, tables=stored.tables | {table: rows})


def first(stored: Stored, table: str, such: Condition) -> tuple[Record, list[Record]]:
    """The first row that fulfils a condition, and all others."""
    rows = list(stored.tables[table])
    found = next(row for row in rows if such(row))
    return found, [row for row in rows if row is not found]


def without(stored: Stored, table: str, such: Condition = lambda _: True) -> Stored:
    """The same without one row."""
    return changed(stored, table, first(stored, table, such)[1])


def twice(stored: Stored, table: str, such: Condition = lambda _: True) -> Stored:
    """The same with one row twice."""
    found, others = first(stored, table, such)
    return changed(stored, table, [found, found, *others])


def altered(stored: Stored, table: str, such: Condition, **values: Any) -> Stored:
    """The same with other values in one row."""
    found, others = first(stored, table, such)
    return changed(stored, table, [SimpleNamespace(**found._asdict() | values), *others])


def is_done(row: Record) -> bool:
    """Whether a row of the ledger is of a request that is done."""
    return not row.halted


def is_end(row: Record) -> bool:
    """Whether an audit record is of a request's end, not of its waiting or of one more delivery.

    Another delivery's record is all that is stored of it, and no journal has to know its entry.
    What is recorded of something else, such as a registry that came into force, has none.
    """
    return row.entry is not None and row.outcome in ("done", "halted")


def is_foreign(row: Record) -> bool:
    """Whether a row is of a message that is no request."""
    return row.request_id is None


def doctored(journals: Sequence[ReadJournal], stored: Stored) -> list[Doctored]:
    """What is changed, what must be found, and the facts after the change."""
    foretold = {
        message.planned.id
        for journal in journals
        for message in journal.messages.values()
        if message.planned.last_status is not None
    }
    halted, _ = first(stored, "requests", lambda row: row.halted)
    outcome, *others = stored.outcomes
    others = [each for each in others if each.entry != outcome.entry]
    retold = replace(outcome, data={**outcome.data, "outcome": "forgotten"})
    account = stored.status.document["account"]
    miscounted = {"account": {**account, "done": account["done"] + 1}}
    waiting = [SimpleNamespace(request_id=halted.request_id)]
    anonymous = lambda row: row.request_id == halted.request_id  # noqa: E731
    return [
        ("a request without an end", Wrong.LOST, without(stored, "requests", is_done)),
        ("a request with two ends", Wrong.DOUBLED, twice(stored, "requests")),
        ("a report without incident", Wrong.LOST, without(stored, "incidents")),
        ("a report with two", Wrong.DOUBLED, twice(stored, "incidents")),
        ("an escalation lost", Wrong.LOST, without(stored, "escalations")),
        ("an escalation twice", Wrong.DOUBLED, twice(stored, "escalations")),
        ("a communication lost", Wrong.LOST, without(stored, "communications")),
        ("an update lost", Wrong.LOST, without(stored, "incident_updates")),
        ("an update twice", Wrong.DOUBLED, twice(stored, "incident_updates")),
        ("a halt with effect", Wrong.INVENTED, altered(
            stored, "communications", lambda _: True, request_id=halted.request_id)),
        ("an unknown request", Wrong.INVENTED, altered(
            stored, "requests", is_done, request_id="nobody's")),
        ("another reason", Wrong.OTHER_OUTCOME, altered(
            stored, "requests", anonymous, body={**halted.body, "reason": "user_on_fire"})),
        ("another status", Wrong.OTHER_STATE, altered(
            stored, "incidents", lambda row: row.request_id in foretold, status="lost")),
        ("another version", Wrong.OTHER_STATE, altered(
            stored, "incidents", lambda _: True, version=99)),
        ("a halt lost", Wrong.LOST, without(stored, "halts", anonymous)),
        ("a foreign halt lost", Wrong.LOST, without(stored, "halts", is_foreign)),
        ("a foreign halt twice", Wrong.DOUBLED, twice(stored, "halts", is_foreign)),
        ("a record lost", Wrong.UNRECORDED, without(stored, "audit_records", is_end)),
        ("a record twice", Wrong.UNRECORDED, twice(stored, "audit_records", is_end)),
        ("a record changed", Wrong.UNRECORDED, replace(stored, misfits=[Misfit(1, 1, "was")])),
        ("andon audit verify fails", Wrong.UNRECORDED, replace(stored, verified=Said(1, "cut"))),
        ("a number told twice", Wrong.DOUBLED, altered(
            stored, "incidents", lambda row: row.request_id in foretold, request_id="another's")),
        ("an outcome lost", Wrong.UNTOLD, replace(stored, outcomes=others)),
        ("other words", Wrong.UNTOLD, replace(stored, outcomes=[*stored.outcomes, retold])),
        ("one still waits", Wrong.LEFT_OVER, changed(stored, "waiting", waiting)),
        ("andon status fails", Wrong.STATUS, replace(stored, status=Said(1, "out of order"))),
        ("andon status differs", Wrong.STATUS, replace(stored, status=Said(0, miscounted))),
    ]  # fmt: skip


def unfinished(journals: Sequence[ReadJournal]) -> list[ReadJournal]:
    """The same, but one producer did not come to its end."""
    return [replace(journals[0], finished=False), *journals[1:]]


def test_the_account_finds_whatever_is_not_as_it_must_be() -> None:
    """A sound run has no findings; each thing changed in what it stored has the right one."""
    with place("redis") as directory:
        result = carry_out(Run(SEED, requests=200, faults=0), directory, RedisStage(directory))
        assert result.account.findings == []
        for what, wrong, stored in doctored(result.journals, result.stored):
            assert draw_up(result.journals, stored).count(wrong) > 0, what
        account = draw_up(unfinished(result.journals), result.stored)
        assert [finding.wrong for finding in account.findings] == [Wrong.LEFT_OVER]
