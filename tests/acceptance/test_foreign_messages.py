"""What is no request, or proves no right to be one, is halted for its own reason and kept."""

import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from models.entries import place_of
from models.streams import StreamNames
from tests.support.installation import Installation
from tests.support.requests import KEY_ID, SECRET, event, report, update
from tests.support.traffic import Traffic, read_books
from tests.support.workers import running

KEPT = 64 * 1024
NAMES = StreamNames()
GENUINE = event("report_incident", report(), id="genuine")


def entry(message: bytes, *, key: str = KEY_ID, secret: bytes = SECRET) -> dict[str, Any]:
    """The fields of a stream entry, signed as a program in any language would."""
    signature = hmac.new(secret, message, hashlib.sha256).hexdigest()
    return {"event": message, "key": key, "signature": signature}


def without(field: str) -> dict[str, Any]:
    """A genuine entry that lacks one field."""
    return {name: value for name, value in entry(GENUINE).items() if name != field}


def many_deep_faults() -> bytes:
    """Less than 256 KiB that hold U+0000 in 19,500 places, each 240 levels deep."""
    inner: Any = ["\0"] * 19_500
    for _ in range(240):
        inner = {"k" * 60: inner}
    return orjson.dumps(orjson.loads(GENUINE) | {"x": inner})


FOREIGN: dict[str, tuple[str, dict[str, Any]]] = {
    "not JSON": ("malformed", entry(b'{"specversion": "1.0", ')),
    "not UTF-8": ("malformed", entry(b'{"id": "\xff"}')),
    "empty": ("malformed", entry(b"")),
    "2 MB": ("malformed", entry(b'{"x": "' + b"a" * 2_000_000 + b'"}')),
    "deeply nested": ("malformed", entry(b"[" * 100_000 + b"]" * 100_000)),
    "no object": ("malformed", entry(b"[1, 2]")),
    "many deep faults": ("malformed", entry(many_deep_faults(), key="nobody")),
    "no CloudEvent": ("malformed", entry(b'{"procedure": "report_incident", "data": {}}')),
    "another version": ("malformed", entry(GENUINE.replace(b'"1.0"', b'"0.3"'))),
    "wrong secret": ("unauthenticated", entry(GENUINE, secret=b"guessed secret!!")),
    "changed after signing": (
        "unauthenticated",
        entry(GENUINE) | {"event": GENUINE.replace(b"acme", b"globex")},
    ),
    "signature is no hex": (
        "unauthenticated",
        entry(GENUINE) | {"signature": "\udcff".encode("utf-8", "surrogateescape")},
    ),
    "unknown key": ("unauthenticated", entry(GENUINE, key="nobody-1")),
    "key of another source": ("unauthenticated", entry(GENUINE, key="narrow-1")),
    "no event": ("malformed", without("event")),
    "no key": ("unauthenticated", without("key")),
    "no signature": ("unauthenticated", without("signature")),
    "foreign fields": ("malformed", {"body": "hello", "colour": "red"}),
}
"""By what is wrong: the reason, and the entry. None of them proves whose it is."""


def as_narrow(procedure: str, data: dict[str, Any], *, id: str) -> dict[str, Any]:
    """An entry of the source that may only report, and only for one user."""
    return entry(event(procedure, data, id=id, source="narrow"), key="narrow-1")


@pytest.fixture
def boundless(broker: redis.Redis) -> Iterator[redis.Redis]:
    """A Redis as somebody else may run one, which takes entries of any size; Andon's takes 1 MB."""
    broker.config_set("proto-max-bulk-len", 512 * 1024 * 1024)
    yield broker
    broker.config_set("proto-max-bulk-len", 1024 * 1024)


def test_foreign_messages_halt_for_their_own_reasons_and_the_worker_goes_on(
    installation: Installation, boundless: redis.Redis, tmp_path: Path
) -> None:
    """Each is halted with its bytes, none takes the genuine request's identity, all else runs."""
    traffic = Traffic(boundless)
    with running(installation.environment(), tmp_path) as worker:
        # A number far in the future; from then on, every entry's is.
        boundless.xadd(NAMES.intake(), entry(b"{}"), id="9999999999999999-0")
        traffic.published += 1
        entries = dict(
            zip(FOREIGN, traffic.put_raw(*(fields for _, fields in FOREIGN.values())), strict=True)
        )
        traffic.put_raw(
            as_narrow("update_incident", update(), id="asks for another procedure"),
            as_narrow(
                "report_incident", report(reporter_user_id="support"), id="acts for another user"
            ),
            as_narrow("report_incident", report(), id="does what it may"),
        )
        traffic.wait_until_empty()
        traffic.put_raw(entry(GENUINE))
        traffic.wait_until_empty()
        assert worker.terminate() == 0
    assert traffic.unacknowledged() == 0

    told = traffic.outcomes_by_entry()
    kept = {
        place_of(row.entry): row
        for row in installation.rows(
            "SELECT entry, reason, event, event_bytes, event_sha256, source FROM halts"
        )
    }
    for name, (reason, fields) in FOREIGN.items():
        (outcome,) = told[entries[name]]
        assert outcome["request"] == {"entry": entries[name]}, name
        assert (outcome["outcome"], outcome["halt"]["reason"]) == ("halted", reason), name
        halt, message = kept[entries[name]], fields.get("event", b"")
        assert (halt.reason, halt.source) == (reason, None), name
        assert bytes(halt.event) == message[:KEPT], name
        assert halt.event_bytes == len(message), name
        assert bytes(halt.event_sha256) == hashlib.sha256(message).digest(), name

    by_id = traffic.outcomes_by_id()
    for refused in ("asks for another procedure", "acts for another user"):
        assert by_id[refused][0]["request"] == {"source": "narrow", "id": refused}
        assert by_id[refused][0]["halt"]["reason"] == "source_not_allowed"
    assert [by_id[done][0]["outcome"] for done in ("does what it may", "genuine")] == ["done"] * 2
    assert {halt["entry"] for halt in traffic.halts()} == kept.keys()
    assert len(installation.rows("SELECT FROM incidents")) == 2
    records = installation.rows("SELECT count(*) FROM audit_records WHERE outcome = 'halted'")
    assert records == [(len(FOREIGN) + 3,)]
    books = read_books(installation, traffic)
    assert books.balanced, books
    assert (books.done, books.halted) == (2, len(FOREIGN) + 3)
