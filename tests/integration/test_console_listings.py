"""The listings of `andon`: what requests left behind, for people and for programs."""

import base64
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from console.audit import AuditOutcome
from tests.support.command import andon, document, lines
from tests.support.installation import Installation
from tests.support.requests import communication, delivery, escalation, event, report, update

NOT_JSON = b"\xff\x00 no event"
STEERING = "\x1b[2J[red]gone[/red]"


@pytest.fixture
def eventful(installation: Installation) -> Installation:
    """Two incidents, the first with a history; three halts."""
    p1 = {"p1_outage_no_workaround": True}
    installation.process(
        delivery(event("report_incident", report(dedup_key="k", note=STEERING), id="r1")),
        delivery(event("report_incident", report(dedup_key="k", severity_flags=p1), id="r2")),
        delivery(event("report_incident", report(client_id="globex", title=STEERING), id="r3")),
        delivery(event("update_incident", update(note="Looking into it"), id="r4")),
        delivery(event("submit_escalation", escalation(status="resolved", reason="Slow"), id="r5")),
        delivery(event("record_communication", communication(), id="r6")),
        delivery(event("update_incident", update(updated_by_user="leaver"), id="r7")),
        delivery(event("report_incident", report(client_id="none", note=STEERING), id="r8")),
        delivery(NOT_JSON),
    )
    return installation


def test_incidents_are_listed_newest_first(eventful: Installation) -> None:
    """One JSON line each, with ids as strings."""
    found = lines(andon("incidents", "list", "--json", env=eventful.environment()))
    assert [(each["incident_id"], each["severity"], each["status"]) for each in found] == [
        ("2", "P2", "open"),
        ("1", "P1", "investigating"),
    ]


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (("--status", "open"), ["2"]),
        (("--severity", "P1"), ["1"]),
        (("--client", "acme"), ["1"]),
        (("--client", "acme", "--status", "open"), []),
        (("--limit", "1"), ["2"]),
    ],
    ids=" ".join,
)
def test_incidents_can_be_filtered(
    options: tuple[str, ...], ids: list[str], eventful: Installation
) -> None:
    """By status, severity and client, alone and together."""
    found = lines(andon("incidents", "list", *options, "--json", env=eventful.environment()))
    assert [each["incident_id"] for each in found] == ids


@pytest.mark.parametrize(("what", "total"), [("incidents", 2), ("halts", 3), ("audit", 9)])
def test_a_listing_that_stops_at_its_limit_says_so(
    what: str, total: int, eventful: Installation
) -> None:
    """On stderr, and JSON on stdout stays as it is; nobody counts how many there are for that."""
    environment = eventful.environment()
    for options in ((), ("--json",)):
        result = andon(what, "list", "--limit", str(total - 1), *options, env=environment)
        said = f"The newest {total - 1}; there are more, and --limit shows them.\n"
        assert result.stderr == said
    assert len(lines(result)) == total - 1
    assert andon(what, "list", "--limit", str(total), env=environment).stderr == ""


def test_listings_of_nothing_say_so(installation: Installation) -> None:
    """In words for people; for programs there is no line."""
    environment = installation.environment()
    for what, says in (
        (("incidents",), "No incident was reported.\n"),
        (("halts",), "Nothing is halted.\n"),
        (("halts", "--state", "open"), "No halt is open.\n"),
        (("halts", "--reason", "malformed"), "No halt is like that.\n"),
        (("audit",), "Audit records: none.\n"),
    ):
        group, *options = what
        assert andon(group, "list", *options, env=environment).stdout == says
        assert andon(group, "list", *options, "--json", env=environment).stdout == ""


@pytest.mark.parametrize("width", [40, 60, 100])
def test_an_incident_can_be_read_on_a_narrow_screen(
    width: int, eventful: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No word of its story is folded, and every time has its zone."""
    monkeypatch.setenv("COLUMNS", str(width))
    shown = andon("incidents", "show", "1", env=eventful.environment()).stdout
    for words in ("investigating", "escalation resolved", "manager", "acme-contact"):
        assert words in shown
    assert max(map(len, shown.splitlines())) <= width
    assert len(re.findall(r"\d\d:\d\d:\d\d", shown)) == shown.count(" UTC")


def test_a_changed_time_is_told_as_all_others(installation: Installation) -> None:
    """To the second, with its zone."""
    changed = {"status": "resolved", "resolution_timestamp": "2025-09-25T14:30:00+02:00"}
    installation.process(
        delivery(event("report_incident", report())),
        delivery(event("update_incident", update())),
        delivery(event("update_incident", update(change_set=changed))),
    )
    shown = andon("incidents", "show", "1", env=installation.environment()).stdout
    assert "resolution_timestamp: none → 2025-09-25 12:30:00 UTC" in " ".join(
        shown.replace("│", " ").split()
    )


def test_an_incident_is_shown_with_everything_about_it(eventful: Installation) -> None:
    """One document: fields, history, escalations, communications."""
    shown = document(andon("incidents", "show", "1", "--json", env=eventful.environment()))
    assert (shown["incident_id"], shown["severity"], shown["dedup_key"]) == ("1", "P1", "k")
    assert [each["field"] for each in shown["updates"]] == [
        "note",
        "report",
        "severity",
        "status",
        "note",
    ]
    assert [each["escalation_level"] for each in shown["escalations"]] == ["management"]
    assert [each["recipient_id"] for each in shown["communications"]] == ["acme-contact"]


def test_the_picture_of_an_incident_tells_its_story_in_order(eventful: Installation) -> None:
    """From the report on; nothing in it steers the terminal."""
    shown = andon("incidents", "show", "1", env=eventful.environment()).stdout
    story = [
        "reported",
        r"“\x1b[2J[red]gone[/red]”",
        "reported again",
        "severity: P2 → P1",
        "status: open → investigating",
        "“Looking into it”",
        "“Slow”",
        "escalation resolved",
        "status_update by email to acme-contact",
    ]
    places = [shown.find(words) for words in story]
    assert -1 not in places
    assert places == sorted(places)
    assert "\x1b" not in shown


def test_a_superseded_change_is_marked(installation: Installation) -> None:
    """It stands in the history, without effect."""
    now = datetime.now(UTC)
    later, earlier = now - timedelta(seconds=1), now - timedelta(seconds=2)
    installation.process(
        delivery(event("report_incident", report(), time=now - timedelta(seconds=3))),
        delivery(event("update_incident", update(change_set={"category": "b"}), time=later)),
        delivery(event("update_incident", update(change_set={"category": "a"}), time=earlier)),
    )
    environment = installation.environment()
    shown = document(andon("incidents", "show", "1", "--json", env=environment))
    assert [each["superseded"] for each in shown["updates"]] == [False, True]
    assert "superseded" in andon("incidents", "show", "1", env=environment).stdout


def test_halts_are_listed_and_filtered(eventful: Installation) -> None:
    """Newest first; by state, reason and source."""
    environment = eventful.environment()

    def ids(*options: str) -> list[str]:
        found = lines(andon("halts", "list", *options, "--json", env=environment))
        return [each["halt_id"] for each in found]

    assert ids() == ["3", "2", "1"]
    assert ids("--state", "open", "--limit", "2") == ["3", "2"]
    assert ids("--state", "replayed") == []
    assert ids("--reason", "user_inactive") == ["1"]
    assert ids("--source", "monitor") == ["2", "1"]


def test_a_halt_is_shown_with_its_reason_and_its_message(eventful: Installation) -> None:
    """What the reason means, what to do, and the request itself."""
    environment = eventful.environment()
    shown = document(andon("halts", "show", "2", "--json", env=environment))
    assert (shown["reason"], shown["request_id"]) == ("client_not_found", "r8")
    assert shown["event"]["data"]["client_id"] == "none"
    assert json.loads(base64.b64decode(shown["event_base64"])) == shown["event"]
    assert shown["meaning"]
    assert shown["remedy"]
    picture = andon("halts", "show", "2", env=environment).stdout
    assert '"client_id": "none"' in picture
    assert "What to do" in picture
    assert "\x1b" not in picture


def test_a_halt_can_be_read_on_a_narrow_screen(
    eventful: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is cut off: its hash is folded."""
    monkeypatch.setenv("COLUMNS", "60")
    shown = andon("halts", "show", "2", env=eventful.environment()).stdout
    ((digest,),) = eventful.rows("SELECT encode(event_sha256, 'hex') FROM halts WHERE halt_id = 2")
    assert digest in re.sub(r"[\s│]", "", shown)


def test_a_message_that_is_no_json_is_shown_in_base64(eventful: Installation) -> None:
    """With its length and its hash."""
    environment = eventful.environment()
    shown = document(andon("halts", "show", "3", "--json", env=environment))
    assert shown["event"] is None
    assert base64.b64decode(shown["event_base64"]) == NOT_JSON
    assert shown["event_bytes"] == len(NOT_JSON)
    assert shown["event_sha256"] == hashlib.sha256(NOT_JSON).hexdigest()
    picture = andon("halts", "show", "3", env=environment).stdout
    assert base64.b64encode(NOT_JSON).decode() in picture
    assert shown["event_sha256"] in picture


def test_a_halt_whose_message_is_gone_is_still_shown(eventful: Installation) -> None:
    """Once it is settled and its time has passed."""
    eventful.execute("UPDATE halts SET event = NULL WHERE halt_id = 2")
    environment = eventful.environment()
    assert document(andon("halts", "show", "2", "--json", env=environment))["event"] is None
    assert "no longer kept" in andon("halts", "show", "2", env=environment).stdout


@pytest.mark.parametrize("what", ["incidents", "halts"])
def test_what_is_not_there_is_said(what: str, eventful: Installation) -> None:
    """Exit code 2: the number is wrong."""
    result = andon(what, "show", "99", env=eventful.environment())
    assert result.exit_code == 2
    assert "99" in result.stderr


def test_audit_records_are_listed_and_filtered(eventful: Installation) -> None:
    """By source, subject and outcome."""
    environment = eventful.environment()

    def found(*options: str) -> list[dict[str, str]]:
        return lines(andon("audit", "list", *options, "--json", env=environment))

    assert len(found()) == 9
    assert len(found("--limit", "4")) == 4
    assert {each["request_id"] for each in found("--outcome", "halted")} == {"r7", "r8", None}
    assert len(found("--source", "monitor")) == 8
    assert found("--source", "nobody") == []
    subject = found("--outcome", "done")[0]["subject"]
    assert {each["subject"] for each in found("--subject", subject)} == {subject}
    assert {each["outcome"] for each in found()} <= set(AuditOutcome)


@pytest.mark.parametrize(
    ("option", "word", "told"),
    [
        ("--outcome", "don", "'done', 'halted', 'duplicate', 'waiting'"),
        ("--subject", "17", "KIND:ID, such as incident:17. Kinds are incident, escalation"),
        ("--subject", "incident:", "KIND:ID"),
        ("--subject", "ticket:17", "KIND:ID"),
    ],
)
def test_a_word_that_no_audit_record_has_is_refused(
    option: str, word: str, told: str, eventful: Installation
) -> None:
    """The known ones are named; no empty list makes believe that nothing happened. Exit code 2."""
    result = andon("audit", "list", option, word, env=eventful.environment())
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    "listing", [("incidents", "list", "--client"), ("audit", "list", "--source")], ids=" ".join
)
def test_what_is_not_utf_8_is_refused(listing: tuple[str, ...], eventful: Installation) -> None:
    """PostgreSQL has no such text; exit code 2, without a traceback."""
    result = andon(*listing, "\udcff", env=eventful.environment())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "An argument is not UTF-8.\n"


def test_a_client_that_does_not_exist_is_said(eventful: Installation) -> None:
    """An id with a slip in it is told from a client without incidents."""
    environment = eventful.environment()
    result = andon("incidents", "list", "--client", "acmee", env=environment)
    assert result.exit_code == 2
    assert "There is no client 'acmee'" in result.stderr
    closed = ("incidents", "list", "--client", "globex", "--status", "closed")
    assert andon(*closed, env=environment).exit_code == 0


@pytest.mark.parametrize("what", ["incidents", "halts", "audit"])
def test_every_listing_has_a_table(what: str, eventful: Installation) -> None:
    """With nothing in it that steers the terminal."""
    result = andon(what, "list", env=eventful.environment())
    assert result.exit_code == 0
    assert result.stdout.count("│") > 10
    assert "\x1b" not in result.stdout


def test_the_audit_is_verified_from_the_command_line(eventful: Installation) -> None:
    """Exit code 0; and 1, with the record named, once one byte has changed."""
    environment = eventful.environment()
    assert andon("audit", "verify", env=environment).exit_code == 0
    verified = document(andon("audit", "verify", "--json", env=environment))
    assert verified == {
        "verified": True,
        "chains": 64,
        "records": 9,
        "misfits": [],
        "unmatched": [],
    }

    eventful.execute("ALTER TABLE audit_records DISABLE TRIGGER USER")
    ((chain, sequence),) = eventful.rows(
        "UPDATE audit_records SET actor = 'manageR' WHERE request_id = 'r2'"
        " RETURNING chain, sequence"
    )
    result = andon("audit", "verify", env=environment)
    assert result.exit_code == 1
    assert f"Chain {chain}: record {sequence} was changed" in result.stdout
    told = andon("audit", "verify", "--json", env=environment)
    assert told.exit_code == 1
    assert [(each["chain"], each["sequence"]) for each in document(told)["misfits"]] == [
        (chain, sequence)
    ]
