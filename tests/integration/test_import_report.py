"""`andon import vendor-report`: rows in, requests published once each, and every row's end told."""

import csv
from pathlib import Path
from typing import Any

import openpyxl
import orjson
import pytest

from console.sample import load_sample
from tests.support.draining import draining
from tests.support.installation import Installation
from tests.support.reports import COLUMNS, change, fault, mail, write_csv, write_mapping
from tests.support.requests import SOURCE
from tests.support.shell import Finished, andon


class Report:
    """One vendor's report, imported again and again."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.directory = installation.directory
        self.mapping = write_mapping(self.directory)
        self.file = self.directory / "june.csv"

    def run(self, *rows: dict[str, str], more: tuple[str, ...] = ()) -> Finished:
        """Import *rows*, while a worker decides."""
        if rows:
            write_csv(self.file, rows)
        with draining(self.installation):
            return andon(
                "import", "vendor-report", self.file, "--mapping", self.mapping,
                "--report-id", "netco-6", "--results", "results.jsonl", *more,
                settings=self.installation.environment(), directory=self.directory,
            )  # fmt: skip

    def results(self) -> list[dict[str, Any]]:
        """What became of each row, as was written."""
        lines = (self.directory / "results.jsonl").read_bytes().splitlines()
        return [orjson.loads(line) for line in lines]

    def outcomes(self) -> dict[int, tuple[str, str]]:
        """Each row's request and how it ended."""
        return {each["row"]: (each["request"], each["outcome"]) for each in self.results()}


@pytest.fixture
def report(installation: Installation) -> Report:
    """A report without rows yet."""
    return Report(installation)


def count(installation: Installation, table: str) -> int:
    """How many rows a table has."""
    ((number,),) = installation.rows(f"SELECT count(*) FROM {table}")  # noqa: S608  # our own names
    return int(number)


def test_each_row_has_its_effect_and_its_end_is_told(report: Report) -> None:
    """Reports, updates and communications of one file; a row may refer to an earlier one."""
    ended = report.run(
        fault("T1"), change("T1", 1), mail("T1", 2), {"Type": "Comment"}, fault("T2", Part="DB")
    )
    assert ended.code == 0, ended.stderr
    assert "4 rows: 4 done." in ended.stdout
    assert report.outcomes() == {
        2: ("netco-6/T1/0", "done"),
        3: ("netco-6/T1/1", "done"),
        4: ("netco-6/T1/2", "done"),
        6: ("netco-6/T2/0", "done"),
    }
    first, changed, written, _ = report.results()
    assert first["result"] == {"incident_id": "1", "severity": "P1", "status": "open"}
    assert changed["result"]["changed"] == ["status"]
    assert written["result"]["delivery_status"] == "sent"
    ((detected, reported, source),) = report.installation.rows(
        "SELECT detection_timestamp, reported_at, source FROM incidents WHERE incident_id = 1"
    )
    assert detected.isoformat() == "2025-09-25T12:00:00+00:00"
    assert reported.isoformat() == "2025-09-25T12:00:00.000002+00:00"
    assert source == SOURCE


def test_a_second_run_changes_nothing(report: Report) -> None:
    """Every row is a duplicate, with the ids of the first time, and nothing is published."""
    rows = (fault("T1"), change("T1", 1))
    report.run(*rows)
    first = report.results()
    ended = report.run(*rows)
    assert ended.code == 0
    assert "2 rows: 2 duplicate." in ended.stdout
    assert [each["result"] for each in report.results()] == [each["result"] for each in first]
    assert all(each["earlier"] for each in report.results())
    assert count(report.installation, "audit_records") == 2


def test_a_broken_row_names_its_column_and_does_not_stop_the_others(report: Report) -> None:
    """What the mapping cannot read is refused, what policy refuses is halted; exit 1."""
    ended = report.run(
        fault("T1", When="yesterday", Part="XX"),
        fault("T2"),
        fault("T3", Customer="nobody"),
        fault("T4", By="leaver"),
        fault("T5", Customer=""),
        fault(""),
        {"Type": "Invoice"},
    )
    assert ended.code == 1
    assert "7 rows: 1 done, 3 halted, 3 refused." in ended.stdout
    told = {each["row"]: each for each in report.results()}
    assert {row: each["outcome"] for row, each in told.items()} == {
        2: "refused", 3: "done", 4: "halted", 5: "halted", 6: "halted", 7: "refused", 8: "refused",
    }  # fmt: skip
    assert {fault["column"] for fault in told[2]["faults"]} == {"Part", "When"}
    assert told[4]["reason"] == "client_not_found"
    assert told[4]["faults"] == [{"column": "Customer", "message": "client_id names no client"}]
    sentence = "The user named as reporter_user_id is inactive, not active."
    assert told[5]["faults"] == [{"column": "By", "message": sentence}]
    assert told[6]["reason"] == "missing_input"
    assert told[6]["faults"] == [{"column": "Customer", "message": "client_id is required"}]
    assert told[7]["faults"][0]["column"] == "Ticket"
    assert told[8]["faults"][0]["column"] == "Type"
    assert count(report.installation, "incidents") == 1


def test_after_fixing_two_rows_just_those_two_are_applied(report: Report) -> None:
    """A corrected row that had been halted is ~2, then ~3; what refers to it follows it."""
    report.run(fault("T1", By="leaver"), change("T1", 1), fault("T2"), fault("T3", Customer="no"))
    assert [each["outcome"] for each in report.results()] == ["halted", "halted", "done", "halted"]
    report.run(fault("T1", By="holiday"), change("T1", 1), fault("T2"), fault("T3", Customer="no"))
    assert report.outcomes()[2] == ("netco-6/T1/0~2", "halted")
    ended = report.run(fault("T1"), change("T1", 1), fault("T2"), fault("T3"))
    assert ended.code == 0
    assert report.outcomes() == {
        2: ("netco-6/T1/0~3", "done"),
        3: ("netco-6/T1/1~3", "done"),
        4: ("netco-6/T2/0", "duplicate"),
        5: ("netco-6/T3/0~2", "done"),
    }
    again = report.run()
    assert again.code == 0
    assert {outcome for _, outcome in report.outcomes().values()} == {"duplicate"}
    assert count(report.installation, "incidents") == 3


def test_what_was_halted_stays_so_unless_it_is_to_be_tried_again(report: Report) -> None:
    """Without a change, a halted row is told again; with --retry-halted it is asked for anew."""
    report.run(fault("T1", Customer="later"))
    again = report.run()
    assert again.code == 1
    assert report.outcomes() == {2: ("netco-6/T1/0", "halted")}
    assert report.results()[0]["earlier"]
    assert count(report.installation, "halts") == 1
    report.installation.execute(
        "INSERT INTO clients (client_id, name, status) VALUES ('later', 'Later', 'active')"
    )
    tried = report.run(more=("--retry-halted",))
    assert tried.code == 0
    assert report.outcomes() == {2: ("netco-6/T1/0~2", "done")}


def test_a_done_row_with_other_content_is_a_conflict(report: Report) -> None:
    """It is refused as idempotency_conflict; what was done stays as it is."""
    report.run(fault("T1"))
    ended = report.run(fault("T1", Summary="Something else"))
    assert ended.code == 1
    (told,) = report.results()
    assert (told["outcome"], told["reason"]) == ("refused", "idempotency_conflict")
    assert report.installation.rows("SELECT title FROM incidents") == [("Gateway down, T1",)]


def test_rows_with_one_key_are_refused_by_their_numbers(report: Report) -> None:
    """Neither is published, since nobody can tell which one is meant; others are."""
    ended = report.run(fault("T1"), fault("T2"), fault("T1", Level="3"))
    assert ended.code == 1
    first, other, last = report.results()
    assert first["outcome"] == last["outcome"] == "refused"
    assert "rows 2, 4" in first["faults"][0]["message"]
    assert other["outcome"] == "done"


def test_results_as_csv_are_safe_to_open(report: Report) -> None:
    """A row each, with ids as columns; text that a spreadsheet would run is quoted."""
    path = Path("results.csv")
    report.run(fault("T1"), fault("=cmd()", Part="?"), more=("--results", str(path)))
    with (report.directory / path).open(newline="") as file:
        told = list(csv.DictReader(file))
    assert [each["outcome"] for each in told] == ["done", "refused"]
    assert told[0]["incident_id"] == "1"
    assert told[1]["faults"] == "Part: '?' is none of GW, DB"


def test_without_a_worker_it_ends_and_says_that_nothing_is_lost(report: Report) -> None:
    """Exit 3 after the timeout; the rows are undecided, and the next run finds them done."""
    write_csv(report.file, [fault("T1")])
    ended = andon(
        "import", "vendor-report", report.file, "--mapping", report.mapping,
        "--report-id", "netco-6", "--results", "results.jsonl", "--timeout", "1",
        settings=report.installation.environment(), directory=report.directory,
    )  # fmt: skip
    assert ended.code == 3
    assert "1 requests are accepted" in ended.stderr
    assert report.outcomes() == {2: ("netco-6/T1/0", "undecided")}
    assert report.run().code == 0
    assert count(report.installation, "incidents") == 1


def test_a_worker_that_does_not_know_the_key_is_told_of(report: Report) -> None:
    """Such a halt is in no ledger; it is found all the same."""
    settings = report.installation.environment()
    other = report.directory / "other.toml"
    other.write_text(
        report.installation.settings.producers_file.read_text().replace("monitor-1", "unknown-1")
    )
    other.chmod(0o600)
    write_csv(report.file, [fault("T1")])
    with draining(report.installation):
        ended = andon(
            "import", "vendor-report", report.file, "--mapping", report.mapping,
            "--report-id", "netco-6", "--results", "results.jsonl",
            settings=settings | {"ANDON_PRODUCERS_FILE": str(other)}, directory=report.directory,
        )  # fmt: skip
    assert ended.code == 1, ended.stderr
    assert report.results()[0]["reason"] == "unauthenticated"


def test_a_dry_run_says_what_would_become_of_each_row_and_does_nothing(report: Report) -> None:
    """With the sentence of the policy; rows see what earlier ones would have done."""
    report.run(fault("T0"))
    ended = report.run(
        fault("T0"),
        fault("T1"),
        change("T1", 1),
        fault("T2", By="leaver"),
        change("T2", 1),
        change("T1", 2, When="never"),
        more=("--dry-run",),
    )
    assert ended.code == 1
    assert "nothing was published" in ended.stdout
    told = report.results()
    assert [each["outcome"] for each in told] == [
        "duplicate", "done", "done", "halted", "halted", "refused",
    ]  # fmt: skip
    assert "formal management response" in told[1]["policy"]
    assert told[2]["result"]["incident_id"] == told[1]["result"]["incident_id"] == "new-1"
    assert told[3]["faults"][0]["column"] == "By"
    assert "active" in told[3]["policy"]
    assert told[4]["reason"] == "incident_not_found"
    assert count(report.installation, "requests") == 1
    assert count(report.installation, "halts") == 0


@pytest.mark.parametrize("ending", [".jsonl", ".xlsx"])
def test_other_formats_end_alike(report: Report, ending: str) -> None:
    """JSON lines and spreadsheets, whose rows are known again in the other format."""
    rows = [fault("T1", When="25.09.2025 14:00"), change("T1", 1)]
    report.run(*rows)
    report.file = report.directory / f"june{ending}"
    if ending == ".jsonl":
        report.file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    else:
        book = openpyxl.Workbook()
        for row in (COLUMNS, *([each.get(name) for name in COLUMNS] for each in rows)):
            book.active.append(row)
        book.save(report.file)
    ended = report.run()
    assert ended.code == 0, ended.stderr
    assert "2 rows: 2 duplicate." in ended.stdout


def test_the_example_of_the_page_comes_to_what_the_page_says(report: Report) -> None:
    """docs/vendor-reports.md can be tried on the sample organisation as it stands."""
    load_sample(report.installation.settings)
    page = (Path(__file__).parents[2] / "docs/vendor-reports.md").read_text()
    report.mapping.write_text(page.partition("```toml\n")[2].partition("```")[0])
    report.file.write_text(page.partition("```csv\n")[2].partition("```")[0])
    tried = report.run(more=("--dry-run",))
    (said,) = [line.strip() for line in page.splitlines() if "Dry run, nothing" in line]
    assert said in tried.stdout, tried
    assert "Level: '7' is none of 1, 2, 3" in tried.stdout
    done = report.run()
    assert said.partition("published. ")[2] in done.stdout, done


def test_what_cannot_be_imported_is_said(report: Report) -> None:
    """Exit 2: the file, the mapping or the options, before anything is published."""
    rows = [fault("T1")]
    write_csv(report.file, rows, columns=COLUMNS)
    missing = report.file.read_text().replace("Customer", "Client")
    for change_of, more, words in (
        (lambda: None, ("--report-id", "a b"), "--report-id must be 1 to 64"),
        (lambda: None, ("--report-time", "2999-01-01"), "lies in the future"),
        (lambda: None, ("--results", str(report.file)), "would be overwritten"),
        (lambda: None, ("--source", "nobody"), "andon producers add nobody"),
        (lambda: report.file.write_text(missing), (), "lacks columns that the mapping reads"),
        (
            lambda: report.file.write_text(missing.replace(",", ";")),
            (),
            "alone, as with a wrong `delimiter`.",
        ),
        (lambda: report.file.write_text(""), (), "is empty"),
        (lambda: report.file.unlink(), (), "is no file"),
        (lambda: write_mapping(report.directory, "key = 1"), (), "mapping.toml is at fault"),
    ):
        change_of()
        ended = report.run(more=more)
        assert ended.code == 2, (words, ended)
        assert words in ended.stderr
    assert count(report.installation, "requests") == 0


def test_results_that_cannot_be_written_keep_the_import_from_beginning(report: Report) -> None:
    """What became of the rows would be lost; exit code 2, and nothing is published."""
    (report.directory / "folder").mkdir()
    for place in ("folder", "nowhere/results.csv", report.mapping.name):
        ended = report.run(fault("T1"), more=("--results", place))
        assert (ended.code, ended.stdout) == (2, "")
        assert "Traceback" not in ended.stderr
    assert count(report.installation, "requests") == 0
