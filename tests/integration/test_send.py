"""`andon send`: a file of requests in, one outcome a line out, in the order of the file."""

import signal
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from console.request_examples import example_line
from models.inputs import read_inputs
from models.streams import Lane, StreamNames
from policy.procedures import PROCEDURES
from tests.support.draining import draining
from tests.support.installation import Installation
from tests.support.requests import SOURCE, event, report, update
from tests.support.shell import Finished, andon, command_environment, json_lines
from tests.support.waiting import wait_for


def send(installation: Installation, *arguments: str, lines: bytes = b"") -> Finished:
    """Send *lines* from standard input."""
    return andon(
        "send",
        *arguments,
        settings=installation.environment(),
        directory=installation.directory,
        stdin=lines,
    )


def line(procedure: str = "report_incident", **changes: Any) -> dict[str, Any]:
    """A line in the short form."""
    data = report() if procedure == "report_incident" else update()
    return {"procedure": procedure, "data": data} | changes


def test_outcomes_are_printed_in_input_order_with_the_ids_of_the_lines(
    installation: Installation,
) -> None:
    """The second line is decided last, since it waits for the third; it is printed second."""
    follow_up = update(incident_id=None, incident_request={"id": "late"})
    lines = json_lines(
        [
            line(id="first"),
            line("update_incident", id="follows", data=follow_up),
            line(id="late"),
        ]
    )
    with draining(installation):
        sent = send(installation, "-", "--wait", lines=lines)
    assert sent.code == 0, sent.stderr
    assert [one["request"] for one in sent.lines] == [
        {"source": SOURCE, "id": name} for name in ("first", "follows", "late")
    ]
    assert sent.lines[0]["procedure"] == "report_incident"
    assert sent.lines[0]["outcome"] == "done"
    assert sent.lines[0]["result"]["incident_id"] == "1"
    assert sent.lines[1]["result"]["changed"] == ["status"]


def test_a_line_without_an_id_gets_a_fresh_one(installation: Installation) -> None:
    """The same line twice without ids opens two incidents."""
    with draining(installation):
        sent = send(installation, "-", "--wait", lines=json_lines([line(), line()]))
    assert sent.code == 0, sent.stderr
    assert [one["result"]["incident_id"] for one in sent.lines] == ["1", "2"]
    assert len({one["request"]["id"] for one in sent.lines}) == 2


def test_sending_a_file_again_gives_the_same_outcomes_and_changes_nothing(
    installation: Installation,
) -> None:
    """Each line with an id: the first outcomes are published again, halts too."""
    lines = json_lines(
        [line(id="a"), line(id="b", data=report(reporter_user_id="leaver")), line(id="a")]
    )
    with draining(installation):
        first = send(installation, "-", "--wait", lines=lines)
        again = send(installation, "-", "--wait", lines=lines)
    assert (first.code, again.code) == (1, 1)
    assert first.lines == again.lines
    assert [one["outcome"] for one in first.lines] == ["done", "halted", "done"]
    assert first.lines[1]["halt"]["reason"] == "user_inactive"
    assert first.lines[0] == first.lines[2]
    assert installation.rows("SELECT count(*) FROM incidents") == [(1,)]
    assert installation.rows("SELECT count(*) FROM halts") == [(1,)]


@pytest.mark.parametrize("apart", [False, True])
def test_each_of_two_bodies_under_one_id_gets_its_own_outcome(
    installation: Installation, *, apart: bool
) -> None:
    """The later body halts as a conflict; the earlier one's lines keep their outcome, whether both
    are in one file or the first was sent before.
    """
    original, other = line(id="a"), line(id="a", data=report(title="Something else"))
    with draining(installation):
        if apart:
            send(installation, "-", "--wait", lines=json_lines([original]))
        sent = send(installation, "-", "--wait", lines=json_lines([original, other, original]))
    assert sent.code == 1
    assert [one["outcome"] for one in sent.lines] == ["done", "halted", "done"]
    assert sent.lines[1]["halt"]["reason"] == "idempotency_conflict"


def test_whole_events_are_signed_with_their_own_sources_key(installation: Installation) -> None:
    """An event of a source that the registry does not know halts, told by its intake entry."""
    whole = [
        event("report_incident", report(), id="a"),
        event("report_incident", report(reporter_user_id="manager"), id="b", source="narrow"),
        event("report_incident", report(), id="c", source="stranger"),
        b'{"specversion": "1.0", "id": ""}',
    ]
    with draining(installation):
        sent = send(installation, "-", "--wait", lines=b"\n".join(whole))
    assert sent.code == 1
    own, narrow, stranger, malformed = sent.lines
    assert own["outcome"] == narrow["outcome"] == "done"
    assert narrow["request"] == {"source": "narrow", "id": "b"}
    assert stranger["halt"]["reason"] == "unauthenticated"
    assert malformed["halt"]["reason"] == "malformed"
    assert stranger["request"].keys() == malformed["request"].keys() == {"entry"}


def test_without_wait_what_was_accepted_is_printed(
    installation: Installation, broker: redis.Redis
) -> None:
    """Each line's identity and its intake entry; with --bulk in the lane that gives way."""
    sent = send(installation, "-", "--bulk", lines=json_lines([line(id="a"), line()]))
    assert sent.code == 0, sent.stderr
    stream = StreamNames().intake(Lane.BULK)
    entries = [f"{stream}/{number.decode()}" for number, _ in broker.xrange(stream)]
    assert [one["entry"] for one in sent.lines] == entries
    assert sent.lines[0]["request"] == {"source": SOURCE, "id": "a"}


def test_with_a_faulty_line_nothing_at_all_is_sent(
    installation: Installation, broker: redis.Redis
) -> None:
    """Every bad line is named with what is wrong about it, blank ones are passed over; exit 2."""
    lines = b"\n".join(
        [
            json_lines([line()]).strip(),
            b"",
            b"{not json",
            b"[1]",
            '{"title": "Über"}'.encode("latin-1"),
            b'{"title": "x"}',
            b'{"procedure": "report-incident", "data": {}}',
            b'{"procedure": "report_incident", "data": [1]}',
            b'{"procedure": "report_incident"}',
            b'{"procedure": "report_incident", "data": {}, "titel": 1}',
            b'{"procedure": "report_incident", "data": {}, "time": "yesterday"}',
            b'{"procedure": "report_incident", "data": {"note": "' + b"x" * 300_000 + b'"}}',
            b'{"procedure": "report_incident", "data": {"note": "' + b"x" * 2_000_000 + b'"}}',
            b'{"procedure": "reboot", "data": [], "id": "", "inputs": {}}',
            json_lines([line()]).strip(),
        ]
    )
    sent = send(installation, "-", "--wait", lines=lines)
    assert sent.code == 2
    assert sent.stdout == ""
    told = [row.strip() for row in sent.stderr.splitlines() if row.strip().startswith("line ")]
    assert [row.partition(":")[0] for row in told] == [f"line {n}" for n in range(3, 15)]
    for row, words in zip(
        told,
        ("column 2: is not JSON: unexpected character, expected a string key, at 'not json'",
         "a list, not a JSON object", "not UTF-8: byte 12 is 0xdc", "neither",
         "no procedure 'report-incident': did you mean report_incident?",
         "$.data is a list, not a JSON object", "$.data is required", "titel", "$.time",
         "262,144", "1,048,576",
         "has inputs besides procedure, data, id and time; inputs belong into data;"
         " $.id must not be empty; There is no procedure 'reboot'"),
        strict=True,
    ):  # fmt: skip
        assert words in row
    assert broker.xlen(StreamNames().intake()) == 0


def test_what_has_no_outcome_in_time_is_named(installation: Installation) -> None:
    """Nobody decides: stderr says that all stay accepted, and every id; the exit code is 3."""
    lines = json_lines(line(id=f"r{number}") for number in range(30))
    sent = send(installation, "-", "--wait", "--timeout", "0.1", lines=lines)
    assert sent.code == 3
    assert sent.stdout == ""
    told, *named = sent.stderr.splitlines()
    assert "not decided yet: 30 of 30 requests" in told
    assert "will be decided" in told
    assert "Sending them again is safe" in told
    assert named == [f"  {SOURCE} r{number}" for number in range(30)]


def test_lines_without_an_id_are_not_to_be_sent_again(installation: Installation) -> None:
    """After a timeout stderr says how many they are."""
    lines = json_lines([line(id="a"), line(), line()])
    sent = send(installation, "-", "--wait", "--timeout", "0.1", lines=lines)
    assert "Do not send them again: 2 have no id" in sent.stderr


def test_ctrl_c_says_what_was_accepted(installation: Installation, broker: redis.Redis) -> None:
    """Exit 130 without a traceback; the request is named as after a timeout."""
    file = installation.directory / "requests.jsonl"
    file.write_bytes(json_lines([line(id="a")]))
    with subprocess.Popen(
        [sys.executable, "-m", "console.app", "send", file, "--wait"],
        env=command_environment(installation.environment()),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as waiting:
        try:
            wait_for(
                lambda: any(client["cmd"] == "xread" for client in broker.client_list()),
                what="the command waits for the outcome",
            )
            waiting.send_signal(signal.SIGINT)
            out, told = waiting.communicate(timeout=120)
        finally:
            waiting.kill()
    assert waiting.returncode == 130
    assert out == ""
    assert "not decided yet: 1 of 1 requests" in told
    assert f"{SOURCE} a" in told
    assert "Traceback" not in told


def test_an_empty_file_is_said(installation: Installation) -> None:
    """Nothing is sent, which is no fault; blank lines are none."""
    sent = send(installation, "-", lines=b"\n\n")
    assert (sent.code, sent.stdout) == (0, "")
    assert "0 requests" in sent.stderr


def test_a_full_intake_is_said_and_so_is_one_that_is_away(installation: Installation) -> None:
    """Exit 3, with the reason, and without the password of the URL."""
    settings = installation.environment()
    for changes, words in (
        ({"ANDON_INTAKE_LIMIT": "1"}, "The intake is full"),
        ({"ANDON_BROKER_URL": "redis://:hunter2@127.0.0.1:1/0"}, "out of reach"),
    ):
        sent = andon(
            "send",
            "-",
            "--wait",
            settings=settings | changes,
            directory=installation.directory,
            stdin=json_lines([line(), line()]),
        )
        assert sent.code == 3
        assert words in sent.stderr
        assert "hunter2" not in sent.stderr


def test_a_source_without_a_key_is_refused(installation: Installation) -> None:
    """Nothing can be signed for it; the message says how to make one."""
    sent = send(installation, "-", "--source", "nobody", lines=json_lines([line()]))
    assert sent.code == 2
    assert "andon producers add nobody" in sent.stderr


def test_more_lines_than_one_round_trip_come_back_in_order(installation: Installation) -> None:
    """1,200 lines, repeated ids among them, give as many outcomes as lines, in their order."""
    names = [f"r{number % 700}" for number in range(1_200)]
    lines = json_lines(line(id=name) for name in names)
    with draining(installation):
        sent = send(installation, "-", "--wait", lines=lines)
    assert sent.code == 0, sent.stderr
    assert [one["request"]["id"] for one in sent.lines] == names
    assert installation.rows("SELECT count(*) FROM incidents") == [(700,)]


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_an_example_is_a_complete_line(procedure: str) -> None:
    """Its inputs are valid, so that one can start from it, and its id is fresh."""
    example = example_line(procedure)
    assert example["procedure"] == procedure
    assert example["id"] != example_line(procedure)["id"]
    assert read_inputs(procedure, example["data"], now=datetime.now(UTC))


def test_an_example_of_no_procedure_is_refused(installation: Installation) -> None:
    """The message names the procedure that was probably meant; exit 2."""
    sent = send(installation, "--example", "report-incidents")
    assert sent.code == 2
    assert "report_incident" in sent.stderr


@pytest.mark.parametrize(
    "further", ["requests.jsonl", "--wait", "--dry-run", "--bulk", "--source=a"]
)
def test_an_example_sends_nothing_and_says_so(
    further: str, installation: Installation, broker: redis.Redis
) -> None:
    """With a file, or asked to wait, nothing is printed, and what to do instead is said; exit 2."""
    sent = send(installation, "--example", "report_incident", further)
    assert (sent.code, sent.stdout) == (2, "")
    assert "andon send --example report_incident > FILE" in sent.stderr
    assert broker.xlen(StreamNames().intake()) == 0


def test_of_very_many_faulty_lines_a_hundred_are_named(installation: Installation) -> None:
    """And how many more there are: a wrong file is no flood."""
    sent = send(installation, "-", lines=b"[1]\n" * 1_234)
    assert sent.code == 2
    assert len(sent.stderr.splitlines()) == 102
    assert sent.stderr.splitlines()[-1].strip() == "and 1,134 more lines"
