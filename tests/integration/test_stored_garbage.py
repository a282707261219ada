"""Whatever is stored can be listed and shown: no message of anybody's ends a command."""

import json

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from typer.testing import CliRunner

from console.commands import app
from tests.support.installation import Installation

NESTED = (100, 200, 253, 254, 255, 256, 500, 1_000, 1_023, 1_025, 10_000)
GARBAGE = {
    "nothing": b"",
    "not UTF-8": b"\xff\xfe\x00{",
    "NUL": b'{"title": "\\u0000"}\x00',
    "lone surrogates": b'{"title": "\\ud800", "\\udfff": "\xed\xa0\x80"}',
    "huge numbers": b'{"a": 1e999, "b": ' + b"9" * 5_000 + b"}",
    "a number of 30 digits": b'{"a": 123456789012345678901234567890}',
    "not a number": b'{"a": NaN, "b": -Infinity}',
    "truncated": (b'{"title": "' + b"x" * 70_000)[:65_536],
    "64 KiB of open brackets": b"[" * 65_536,
    "keys that are twice there": b'{"a": 1, "a": 2}',
    "escapes": b'{"a": "\\u001b[2J \\u202e"}\x1b[2J',
    **{f"objects {each} deep": b'{"a":' * each + b"1" + b"}" * each for each in NESTED},
    **{f"arrays {each} deep": b'{"a":' + b"[" * each + b"]" * each + b"}" for each in NESTED},
}

_INSERT = text("""
    INSERT INTO halts (halted_at, reason, message, errors, source, request_id, door, entry, event,
                       event_bytes, event_sha256, key_id, signature)
    VALUES (now(), 'malformed', :message, CAST(:errors AS jsonb), :name, :name, 'intake', :entry,
            :event, :length, '', :name, :name)
    RETURNING halt_id
""")


@pytest.fixture
def runner(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Runs commands in this process, with the installation's settings."""
    monkeypatch.chdir(installation.directory)
    for name, value in installation.environment().items():
        monkeypatch.setenv(name, value)
    return CliRunner()


def store(installation: Installation, event: bytes, words: str = "no request") -> int:
    """Store a halt of *event*, whose every text is *words*; its number."""
    with installation.superuser.begin() as connection:
        ((count,),) = connection.execute(text("SELECT count(*) FROM halts")).all()
        values = {
            "message": words,
            "errors": json.dumps([{"path": words, "message": words}]),
            "name": words,
            "entry": f"entry-{count}",
            "event": event,
            "length": len(event),
        }
        return int(connection.execute(_INSERT, values).scalar_one())


def check(runner: CliRunner, *arguments: str) -> str:
    """Run a command that must do what it is for, without a steering character on the screen."""
    found = runner.invoke(app, arguments)
    assert found.exit_code == 0, (arguments, found.output[-2_000:], found.exception)
    assert not set("\x1b\u202e\x00\x9b") & set(found.stdout)
    return found.stdout


@pytest.mark.parametrize("kind", GARBAGE)
def test_a_message_is_shown_whatever_it_is(
    installation: Installation, runner: CliRunner, kind: str
) -> None:
    """As JSON where it can be, else in base64; its exact bytes in the document for programs."""
    number = store(installation, GARBAGE[kind])
    assert check(runner, "halts", "show", str(number))
    document = orjson.loads(check(runner, "halts", "show", str(number), "--json"))
    assert document["halt_id"] == str(number)
    assert check(runner, "halts", "list")
    assert orjson.loads(check(runner, "halts", "list", "--json"))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    event=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(st.text(max_size=8), inner, max_size=4)
            ),
            max_leaves=10,
        ).map(lambda value: json.dumps({"data": value}).encode("utf-8", "surrogatepass")),
    ),
    words=st.text(
        st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=60
    ),
)
def test_anything_stored_is_listed_and_shown(
    installation: Installation, runner: CliRunner, event: bytes, words: str
) -> None:
    """Any bytes as the message, any text in each column, for people and for programs."""
    number = store(installation, event, words)
    for command in (("halts", "show", str(number)), ("halts", "list", "--limit", "3")):
        check(runner, *command)
        check(runner, *command, "--json")


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.text(
        st.characters(exclude_categories=("Cs",), exclude_characters="\x00"),
        min_size=1,
        max_size=60,
    )
)
def test_incidents_and_records_with_any_text_are_listed_and_shown(
    installation: Installation, runner: CliRunner, words: str
) -> None:
    """Titles, notes, sources and ids are whatever somebody sent; no record is left out for them."""
    with installation.superuser.begin() as connection:
        number = connection.execute(_INCIDENT, {"words": words}).scalar_one()
        connection.execute(_UPDATE, {"number": number, "words": words})
        connection.execute(_RECORD, {"number": number, "words": words})
    for command in (
        ("incidents", "list", "--limit", "3"),
        ("incidents", "show", str(number)),
        ("audit", "list", "--limit", "3"),
    ):
        check(runner, *command)
        check(runner, *command, "--json")


_INCIDENT = text("""
    INSERT INTO incidents (title, category, severity, severity_origin, severity_flags, impact_level,
        urgency_level, status, client_id, component_id, reporter_user_id, detection_timestamp,
        source, request_id, dedup_key, stamps, version, reported_at, updated_at)
    VALUES (:words, :words, 'P1', 'stated', '{}', 'high', 'high', 'open', :words, :words, :words,
        now(), :words, :words, :words, '{}', 1, now(), now())
    RETURNING incident_id
""")
_UPDATE = text("""
    INSERT INTO incident_updates (incident_id, field, old_value, new_value, note, superseded,
        updated_by_user, updated_at, source, request_id)
    VALUES (:number, 'title', :words, :words, :words, false, :words, now(), :words, :words)
""")
_RECORD = text("""
    INSERT INTO audit_records (chain, sequence, at, action, outcome, procedure, source, request_id,
        entry, actor, subject, reason, context, key_id, mac)
    VALUES (1, :number, now(), 'execute', 'done', :words, :words, :words, :words, :words, :words,
        :words, jsonb_build_object(CAST(:words AS text), CAST(:words AS text)), 'k', '')
""")
