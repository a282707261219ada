"""The account of a run: each message that a producer was about to publish, and what became of it.

Judged by the producers' journals and by what is stored and published; Andon's own figures are only
compared with it in the end.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from models.outcomes import Identity
from producers.outcomes import PublishedOutcome
from tests.acceptance.faults.journal import Journalled, ReadJournal
from tests.acceptance.faults.planning import DONE, Nature
from tests.acceptance.faults.stored import Record, Stored, grouped
from tests.support.requests import SOURCE


class Wrong(StrEnum):
    """What may be found."""

    LOST = "lost"
    """A request or a message has no end, or a done request no effect."""
    DOUBLED = "doubled"
    """A request has two ends, or its effect twice."""
    INVENTED = "invented"
    """Something is stored that nobody asked for, or that a halted request may not have done."""
    OTHER_OUTCOME = "other outcome"
    """It has another outcome than it must have."""
    OTHER_STATE = "other state"
    """An incident is not what its requests, in their signed order, make of it."""
    UNRECORDED = "audit"
    """The audit does not have exactly one record of a delivery's end, or does not verify."""
    UNTOLD = "outcome not told"
    """An outcome was not published, or not as it is stored, or not twice the same."""
    LEFT_OVER = "left over"
    """Something is still waiting, or a producer has not finished."""
    STATUS = "andon status"
    """`andon status` says otherwise."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be, and where."""

    wrong: Wrong
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.wrong}: {self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Account:
    """What a run came to.

    Attributes:
        figures: what is shown, by name.
        ends: how many requests ended in which way.
    """

    findings: Sequence[Finding]
    figures: dict[str, int]
    ends: dict[str, int]

    def count(self, wrong: Wrong) -> int:
        """How many findings of one kind there are."""
        return sum(finding.wrong is wrong for finding in self.findings)


_TERMINAL = ("done", "halted", "duplicate")
_FOREIGN = (Nature.FORGED, Nature.MALFORMED)
_EFFECTS = ("incidents", "incident_updates", "escalations", "communications")
_OWN_EFFECT = {"submit_escalation": "escalations", "record_communication": "communications"}


def draw_up(journals: Sequence[ReadJournal], stored: Stored) -> Account:
    """Judge a run that has come to rest."""
    messages = [message for journal in journals for message in journal.messages.values()]
    reissued = frozenset[str]().union(*(journal.reissued for journal in journals))
    books = _Books(messages, stored, reissued)
    findings = [
        *_unfinished(journals, stored),
        *books.requests(),
        *books.foreign(),
        *books.incidents(),
        *books.shared_keys(),
        *books.audit(),
        *books.outcomes(),
        *_invented(messages, stored),
        *_misfits(stored),
        *_numbers_given_twice(stored),
        *_other_status(messages, stored),
    ]
    return Account(findings, _figures(messages, stored), _ends(stored))


class _Books:
    """Journals and facts, each by what they are looked up by."""

    def __init__(
        self, messages: Sequence[Journalled], stored: Stored, reissued: frozenset[str]
    ) -> None:
        tables = stored.tables
        self.reissued = reissued
        self.may_be_lost = stored.may_be_lost
        self.by_id = grouped(_genuine(messages), lambda each: each.planned.id)
        self.strangers = [m for m in messages if m.planned.nature in _FOREIGN]
        self.ledger = grouped(tables["requests"], lambda row: row.request_id)
        self.halts = grouped(tables["halts"], lambda row: row.request_id)
        self.halts_by_hash = grouped(tables["halts"], lambda row: row.sha256)
        self.effects = {
            name: grouped(tables[name], lambda row: row.request_id) for name in _EFFECTS
        }
        self.incident_rows = tables["incidents"]
        self.updates_of = grouped(tables["incident_updates"], lambda row: row.incident_id)
        self.records = grouped(
            [row for row in tables["audit_records"] if row.entry], lambda row: row.entry
        )
        self.told = grouped(stored.outcomes, lambda outcome: outcome.identity)
        self.told_by_entry = grouped(stored.outcomes, lambda outcome: outcome.entry)

    def requests(self) -> Iterator[Finding]:
        """Each request has one end, the right one, and the effects that belong to it."""
        for request_id, messages in self.by_id.items():
            rows = self.ledger.get(request_id, [])
            if len(rows) != 1:
                yield Finding(
                    Wrong.LOST if not rows else Wrong.DOUBLED, request_id, f"{len(rows)} ends"
                )
                continue
            (row,) = rows
            end = row.body["reason"] if row.halted else DONE
            if end not in {message.planned.expected for message in messages}:
                expected = messages[0].planned.expected
                yield Finding(Wrong.OTHER_OUTCOME, request_id, f"{end} instead of {expected}")
            yield from self._halts_of(request_id, row, messages)
            yield from self._effects_of(request_id, row)

    def _halts_of(
        self, request_id: str, row: Record, messages: Sequence[Journalled]
    ) -> Iterator[Finding]:
        """One halt if the ledger says so, and one for each delivery of a rival."""
        halts = self.halts.get(request_id, [])
        own = [halt for halt in halts if halt.halt_id == row.halt_id]
        if len(own) != row.halted:
            yield Finding(Wrong.LOST, request_id, f"{len(own)} halts in the store")
        conflicts = [halt for halt in halts if halt.halt_id != row.halt_id]
        if others := {halt.reason for halt in conflicts} - {"idempotency_conflict"}:
            yield Finding(Wrong.DOUBLED, request_id, f"also halted as {', '.join(sorted(others))}")
        beaten = [message for message in messages if row.entry not in message.entries]
        if len(messages) > 1 and len(beaten) < len(messages):  # the winner's entry is known
            yield from _as_often(request_id, len(conflicts), beaten)
        elif len(messages) == 1 and conflicts:
            yield Finding(Wrong.INVENTED, request_id, f"{len(conflicts)} conflicts with itself")

    def _effects_of(self, request_id: str, row: Record) -> Iterator[Finding]:
        """Exactly what the request asked for, once; nothing of one that halted."""
        found = Counter({name: len(self.effects[name].get(request_id, ())) for name in _EFFECTS})
        wanted: Counter[str] = Counter()
        lines = [
            (line.field, line.superseded)
            for line in self.effects["incident_updates"].get(request_id, ())
        ]
        if not row.halted:
            wanted, wanted_lines = _effects_wanted(row)
            if Counter(lines) != wanted_lines and len(lines) == sum(wanted_lines.values()):
                yield Finding(Wrong.OTHER_STATE, request_id, f"wrote {lines}, told {row.body}")
        for name in _EFFECTS:
            if found[name] != wanted[name]:
                wrong = Wrong.LOST if found[name] < wanted[name] else Wrong.DOUBLED
                if not wanted[name]:
                    wrong = Wrong.INVENTED
                yield Finding(wrong, request_id, f"{found[name]} {name} instead of {wanted[name]}")

    def foreign(self) -> Iterator[Finding]:
        """One halt for each message that arrived and was no request."""
        for message in self.strangers:
            planned = message.planned
            halts = self.halts_by_hash.get(message.sha256, [])
            yield from _as_often(planned.key, len(halts), [message])
            for entry in set(message.entries) - {halt.entry for halt in halts}:
                yield Finding(Wrong.LOST, planned.key, f"no halt of {entry}")
            for reason in {halt.reason for halt in halts} - {planned.expected}:
                yield Finding(Wrong.OTHER_OUTCOME, planned.key, f"halted as {reason}")
            for halt in halts:
                told = [o for o in self.told_by_entry.get(halt.entry, ()) if o.identity is None]
                if not told and self.may_be_lost(halt.entry):
                    continue
                if not told or any(each.data != told[0].data for each in told):
                    yield Finding(Wrong.UNTOLD, planned.key, f"{len(told)} outcomes")

    def incidents(self) -> Iterator[Finding]:
        """Each incident is what the requests about it make of it, in their signed order."""
        about: dict[str, list[Journalled]] = grouped(
            [m for messages in self.by_id.values() for m in messages if m.planned.report],
            lambda message: message.planned.report,
        )
        for row in self.incident_rows:
            requests = [m for m in about.get(row.request_id, ()) if m.planned.expected == DONE]
            # An update may have been signed before the report, which is what all begins with.
            requests.sort(key=lambda message: message.planned.id != row.request_id)
            states = [m.planned.last_status for m in requests if m.planned.last_status]
            if states and row.status != states[-1]:
                yield Finding(
                    Wrong.OTHER_STATE, row.request_id, f"{row.status} instead of {states[-1]}"
                )
            categories = [category for m in requests if (category := _category(m))]
            if states and row.category != categories[-1]:
                yield Finding(
                    Wrong.OTHER_STATE, row.request_id, f"{row.category}, not {categories[-1]}"
                )
            changes = {
                line.request_id
                for line in self.updates_of.get(row.incident_id, ())
                if line.field not in ("note", "report") and not line.superseded
            }
            if row.version != 1 + len(changes):
                what = f"version {row.version} after {len(changes)} changes"
                yield Finding(Wrong.OTHER_STATE, row.request_id, what)

    def shared_keys(self) -> Iterator[Finding]:
        """Reports under one dedup key have opened one incident together."""
        opened = Counter(row.dedup_key for row in self.incident_rows if row.dedup_key)
        planned = {m[0].planned.dedup_key for m in self.by_id.values()} - {None}
        for key in planned:
            if opened[key] != 1:
                wrong = Wrong.DOUBLED if opened[key] else Wrong.LOST
                yield Finding(wrong, str(key), f"{opened[key]} incidents under one key")

    def audit(self) -> Iterator[Finding]:
        """Each delivery that arrived has one record of its end, and at most one of its waiting."""
        known = {
            entry: message.planned.key
            for messages in (*self.by_id.values(), self.strangers)
            for message in messages
            for entry in message.entries
        }
        # A confirmation may be lost, or go to a process that keeps no journal; what is stored of
        # the delivery's end names its entry too.
        stored = {
            row.entry: str(row.request_id)
            for rows in (*self.ledger.values(), *self.halts.values())
            for row in rows
        }
        for entry, key in (stored | known).items():
            outcomes = Counter(record.outcome for record in self.records.get(entry, ()))
            ends = sum(outcomes[outcome] for outcome in _TERMINAL)
            if ends != 1 + (entry in self.reissued) or outcomes["waiting"] > 1:
                yield Finding(Wrong.UNRECORDED, key, f"{entry}: {dict(outcomes)}")
        for entry, records in self.records.items():
            if entry in stored or entry in known:
                continue
            # It arrived, but its confirmation did not: its record is all that is known of it.
            ends = sum(record.outcome in _TERMINAL for record in records)
            if ends != 1:
                yield Finding(Wrong.UNRECORDED, str(entry), f"{ends} ends of one delivery")
        yield from self._in_doubt(known)

    def _in_doubt(self, known: dict[str, str]) -> Iterator[Finding]:
        """No more deliveries were recorded than may have been published."""
        unknown = [
            records[0].request_id
            for entry, records in self.records.items()
            if entry not in known and records[0].request_id is not None
        ]
        for request_id, count in Counter(unknown).items():
            doubt = sum(message.in_doubt for message in self.by_id.get(request_id, ()))
            if count > doubt:
                yield Finding(
                    Wrong.UNRECORDED, request_id, f"{count} deliveries that nobody published"
                )

    def outcomes(self) -> Iterator[Finding]:
        """Each request's end was told, as it is stored, and each time in the same words."""
        for request_id in self.by_id:
            told = grouped(self.told.get(Identity(SOURCE, request_id), []), lambda each: each.entry)
            conflicts = {halt.entry for halt in self.halts.get(request_id, ())}
            own = {row.entry for row in self.ledger.get(request_id, ())}
            for entry in [each for each in told if self._is_forgotten(each, own | conflicts)]:
                del told[entry]
            for entry, outcomes in told.items():
                if any(outcome.data != outcomes[0].data for outcome in outcomes):
                    yield Finding(Wrong.UNTOLD, request_id, f"{entry}: told in different words")
            for row in self.ledger.get(request_id, ()):
                if row.entry not in told:
                    yield Finding(Wrong.UNTOLD, request_id, "its outcome was never published")
                elif told[row.entry][0].data != _as_told(row):
                    yield Finding(Wrong.UNTOLD, request_id, "published and stored outcomes differ")
            untold = {e for e in conflicts - own - told.keys() if self.may_be_lost(e)}
            for entry in ((own | conflicts) ^ told.keys()) - untold:
                yield Finding(Wrong.UNTOLD, request_id, f"{entry}: told or stored, but not both")

    def _is_forgotten(self, entry: str, stored: Collection[str]) -> bool:
        """Whether an outcome is of a decision that went with a state of PostgreSQL."""
        return entry not in stored and self.may_be_lost(entry)


def _genuine(messages: Iterable[Journalled]) -> list[Journalled]:
    return [message for message in messages if message.planned.nature is Nature.GENUINE]


def _as_often(where: str, found: int, messages: Sequence[Journalled]) -> Iterator[Finding]:
    """One halt for each delivery: those confirmed at least, those attempted at most."""
    least = sum(len(message.entries) for message in messages)
    most = sum(message.attempts for message in messages)
    if found < least:
        yield Finding(Wrong.LOST, where, f"{found} halts of {least} deliveries")
    if found > most:
        yield Finding(Wrong.DOUBLED, where, f"{found} halts of {most} deliveries")


def _effects_wanted(row: Record) -> tuple[Counter[str], Counter[tuple[str, bool]]]:
    """How many rows of each table a done request has written, and its lines in the history."""
    lines: Counter[tuple[str, bool]] = Counter()
    if row.procedure == "report_incident":
        if not row.body.get("deduplicated"):
            return Counter(incidents=1), lines
        lines = Counter([("report", False)])
    elif row.procedure == "update_incident":
        changed = [(name, False) for name in row.body["changed"]]
        superseded = [(name, True) for name in row.body.get("superseded", ())]
        lines = Counter([*changed, *superseded, ("note", False)])
    else:
        return Counter({_OWN_EFFECT[row.procedure]: 1}), lines
    return Counter(incident_updates=sum(lines.values())), lines


def _category(message: Journalled) -> Any:
    data = message.planned.data
    if message.planned.procedure == "update_incident":
        return data.get("change_set", {}).get("category")
    return data.get("category")


def _as_told(row: Record) -> dict[str, Any]:
    """The data of the outcome event that the ledger's row comes to."""
    word, key = ("halted", "halt") if row.halted else ("done", "result")
    return {
        "request": {"source": row.source, "id": row.request_id},
        "procedure": row.procedure,
        "outcome": word,
        key: row.body,
    }


def _unfinished(journals: Sequence[ReadJournal], stored: Stored) -> Iterator[Finding]:
    for number, journal in enumerate(journals):
        if not journal.finished:
            yield Finding(Wrong.LEFT_OVER, f"producer {number}", "has not finished")
    for name in ("waiting", "outbox"):
        if rows := stored.tables[name]:
            yield Finding(Wrong.LEFT_OVER, name, f"{len(rows)} rows")


def _invented(messages: Sequence[Journalled], stored: Stored) -> Iterator[Finding]:
    """Nothing is stored or told of a request that no journal knows."""
    ids = {message.planned.id for message in _genuine(messages)}
    for name in ("requests", *_EFFECTS):
        for request_id in {row.request_id for row in stored.tables[name]} - ids:
            yield Finding(Wrong.INVENTED, request_id, f"a row in {name}")
    for identity in {outcome.identity for outcome in stored.outcomes if outcome.identity}:
        if identity.id not in ids:
            yield Finding(Wrong.INVENTED, identity.id, "an outcome")
    hashes = {message.sha256 for message in messages}
    for halt in stored.tables["halts"]:
        if halt.sha256 not in hashes:
            yield Finding(Wrong.INVENTED, halt.entry, "a halt of bytes that nobody published")


def _misfits(stored: Stored) -> Iterator[Finding]:
    for misfit in stored.misfits:
        where = f"chain {misfit.chain}, record {misfit.sequence}"
        yield Finding(Wrong.UNRECORDED, where, misfit.message)
    if stored.verified.code != 0:
        yield Finding(Wrong.UNRECORDED, "andon audit verify", str(stored.verified.document))


def _numbers_given_twice(stored: Stored) -> Iterator[Finding]:
    """No number of an incident was ever told that is another request's now."""
    opened_by = {str(row.incident_id): row.request_id for row in stored.tables["incidents"]}
    for outcome in stored.outcomes:
        result = outcome.data.get("result", {})
        if outcome.identity is None or outcome.data["procedure"] != "report_incident":
            continue
        if not result or result.get("deduplicated"):
            continue
        number = result["incident_id"]
        if opened_by.get(number, outcome.identity.id) != outcome.identity.id:
            what = f"incident {number} was told, which is {opened_by[number]}'s"
            yield Finding(Wrong.DOUBLED, outcome.identity.id, what)


def _other_status(messages: Sequence[Journalled], stored: Stored) -> Iterator[Finding]:
    """`andon status` agrees: the sum comes out, and its parts are those of the account."""
    status = stored.status
    if status.code != 0:
        yield Finding(Wrong.STATUS, "exit code", f"{status.code}: {status.document}")
        return
    account = status.document["account"]
    records = Counter(record.outcome for record in stored.tables["audit_records"] if record.entry)
    counted = {
        "done": records["done"],
        "halted": records["halted"],
        "duplicates": records["duplicate"],
        "pending": 0,
    }
    if {name: account[name] for name in counted} != counted or account["in_motion"]:
        yield Finding(Wrong.STATUS, "account", f"{account} instead of {counted}")
    if account["accepted"] is None:  # RabbitMQ does not count them, so no sum can be drawn
        return
    if not account["holds"]:
        yield Finding(Wrong.STATUS, "account", f"does not hold: {account}")
    if stored.losses:  # what was accepted is known no better than that
        return
    confirmed = sum(len(message.entries) for message in messages)
    attempted = sum(message.attempts for message in messages)
    if not confirmed <= account["accepted"] <= attempted:
        what = f"{account['accepted']}, where {confirmed} to {attempted} arrived"
        yield Finding(Wrong.STATUS, "accepted", what)


def _copies(outcomes: Sequence[PublishedOutcome]) -> int:
    """How many outcomes were told again."""
    return len(outcomes) - len({(each.identity, each.entry) for each in outcomes})


def _figures(messages: Sequence[Journalled], stored: Stored) -> dict[str, int]:
    return {
        "requests": len({message.planned.id for message in _genuine(messages)}),
        "foreign messages": len(messages) - len(_genuine(messages)),
        "deliveries confirmed": sum(len(message.entries) for message in messages),
        "deliveries in doubt": sum(message.in_doubt for message in messages),
        "incidents": len(stored.tables["incidents"]),
        "incident updates": len(stored.tables["incident_updates"]),
        "escalations": len(stored.tables["escalations"]),
        "communications": len(stored.tables["communications"]),
        "audit records verified": stored.audited,
        "outcomes published": len(stored.outcomes),
        "of them told again": _copies(stored.outcomes),
    }


def _ends(stored: Stored) -> dict[str, int]:
    done = sum(not row.halted for row in stored.tables["requests"])
    halts = Counter(row.reason for row in stored.tables["halts"])
    return {DONE: done, **dict(halts.most_common())}
