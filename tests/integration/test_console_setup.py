"""Setting up a database from the command line: `andon migrate` and `andon directory load`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.support.command import andon, document
from tests.support.installation import Installation
from tests.support.servers import Servers
from tests.support.sheets import csv_text, row, write_all, write_sheet

_numbers = count(1)


@pytest.fixture
def empty(servers: Servers, installation: Installation) -> Iterator[Mapping[str, str]]:
    """An environment whose database is empty."""
    name = f"empty_{next(_numbers)}"
    urls = servers.postgres.create_database(name)
    yield replace(installation, urls=urls).environment()
    admin = create_engine(servers.postgres_urls.superuser, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def test_an_empty_database_is_migrated_once(empty: Mapping[str, str]) -> None:
    """Running it again finds nothing to do; then the worker can read and the audit verifies."""
    assert andon("incidents", "list", env=empty).exit_code == 3
    done = document(andon("migrate", "--json", env=empty))
    assert (done["before"], done["role"]) == (None, "andon_worker")
    assert document(andon("migrate", "--json", env=empty))["before"] == done["after"]
    assert andon("incidents", "list", env=empty).exit_code == 0
    assert andon("audit", "verify", env=empty).exit_code == 0


def test_a_database_that_is_not_migrated_is_told_from_one_that_is(
    empty: Mapping[str, str],
) -> None:
    """`migrate --check` changes nothing and exits 1 as long as something is to be done."""
    assert andon("migrate", "--check", env=empty).exit_code == 1
    result = andon("halts", "list", env=empty)
    assert result.exit_code == 3
    assert "andon migrate" in result.stderr
    andon("migrate", env=empty)
    checked = andon("migrate", "--check", "--json", env=empty)
    assert checked.exit_code == 0
    assert document(checked)["differences"] == []


def test_a_table_that_somebody_changed_is_found(installation: Installation) -> None:
    """The difference is named."""
    installation.execute("ALTER TABLE incidents ADD COLUMN mood text")
    result = andon("migrate", "--check", env=installation.environment())
    assert result.exit_code == 1
    assert "mood" in result.stdout


def test_without_the_worker_s_role_migrate_says_so(
    installation: Installation,
) -> None:
    """The schema is brought up to date all the same."""
    environment = installation.environment() | {"ANDON_WORKER_ROLE": "nobody_at_all"}
    result = andon("migrate", env=environment)
    assert result.exit_code == 0
    assert "nobody_at_all" in result.stderr


def test_a_directory_is_loaded_from_the_command_line(
    installation: Installation, tmp_path: Path
) -> None:
    """A table for people, a document for programs."""
    folder = write_all(tmp_path / "directory")
    environment = installation.environment()
    tried = document(
        andon("directory", "load", str(folder), "--dry-run", "--json", env=environment)
    )
    assert tried["dry_run"]
    assert installation.rows("SELECT FROM users WHERE user_id = 'u1'") == []
    loaded = andon("directory", "load", str(folder), env=environment)
    assert loaded.exit_code == 0
    assert "subscriptions.csv" in loaded.stdout
    again = document(andon("directory", "load", str(folder), "--json", env=environment))
    assert [each["unchanged"] for each in again["files"]] == [1] * 6
    assert andon("audit", "verify", env=environment).exit_code == 0


def test_faults_are_named_with_their_place_and_exit_code_1(
    installation: Installation, tmp_path: Path
) -> None:
    """Each on its line; for programs all in one document."""
    folder = write_all(tmp_path / "directory")
    write_sheet(folder, "users", row("users", role="boss\x1b[2J", client_id="c9"))
    (folder / "vendors.csv").unlink()
    (folder / "vendors.json").write_text(json.dumps([row("vendors", status="gone")]))
    (folder / "clints.csv").write_text("")
    environment = installation.environment()
    result = andon("directory", "load", str(folder), env=environment)
    assert result.exit_code == 1
    places = [line.partition(" '")[0] for line in result.stdout.splitlines()]
    assert places == [
        "clints.csv: is none of clients, vendors, users, products, components, subscriptions",
        "vendors.json row 1: status",
        "users.csv line 2: role",
        "users.csv line 2: client_id",
    ]
    assert "\x1b" not in result.stdout
    assert "Nothing was loaded: 4 faults." in result.stderr
    told = document(andon("directory", "load", str(folder), "--json", env=environment))
    assert [(each["file"], each["row"], each["column"]) for each in told["faults"]] == [
        ("clints.csv", None, None),
        ("vendors.json", 1, "status"),
        ("users.csv", 2, "role"),
        ("users.csv", 2, "client_id"),
    ]
    assert installation.rows("SELECT FROM clients WHERE client_id = 'c1'") == []


def test_a_misnamed_file_holds_back_the_sound_ones(
    installation: Installation, tmp_path: Path
) -> None:
    """A table that was meant to be loaded must not be left out in silence."""
    folder = write_all(tmp_path / "directory")
    (folder / "user.csv").write_text("")
    result = andon("directory", "load", str(folder), env=installation.environment())
    assert result.exit_code == 1
    assert installation.rows("SELECT FROM clients WHERE client_id = 'c1'") == []


def test_a_hundred_faults_are_shown_and_all_are_in_the_document(
    installation: Installation, tmp_path: Path
) -> None:
    """With a count of the rest."""
    path = tmp_path / "vendors.csv"
    path.write_text(
        csv_text(
            row("vendors", vendor_id=f"v{n}", contact_email="", status="x") for n in range(130)
        )
    )
    environment = installation.environment()
    shown = andon("directory", "load", str(path), env=environment).stdout.splitlines()
    assert len(shown) == 101
    assert "30 more" in shown[-1]
    told = document(andon("directory", "load", str(path), "--json", env=environment))
    assert len(told["faults"]) == 130


def test_loading_takes_the_owner_s_rights(installation: Installation, tmp_path: Path) -> None:
    """The worker may read the directory and no more; the setting that is missing is named."""
    environment = installation.environment()
    environment["ANDON_OWNER_DATABASE_URL"] = environment["ANDON_DATABASE_URL"]
    folder = write_all(tmp_path / "directory")
    result = andon("directory", "load", str(folder), env=environment)
    assert result.exit_code == 3
    assert "ANDON_OWNER_DATABASE_URL" in result.stderr


def test_two_files_of_one_table_are_refused_by_name(
    installation: Installation, tmp_path: Path
) -> None:
    """One fault, in the singular, and nothing is loaded."""
    folder = write_all(tmp_path / "directory")
    (folder / "users.json").write_text("[]")
    refused = andon("directory", "load", str(folder), env=installation.environment())
    assert refused.exit_code == 1
    assert "users.json: stands beside users.csv: both hold users" in refused.stdout
    assert "Nothing was loaded: 1 fault.\n" in refused.stderr


def test_a_file_without_rows_is_said(installation: Installation, tmp_path: Path) -> None:
    """A header alone is no fault, and hardly what was meant."""
    path = write_sheet(tmp_path, "vendors")
    path.write_text(path.read_text().splitlines()[0])
    done = andon("directory", "load", str(path), env=installation.environment())
    assert done.exit_code == 0
    assert "vendors.csv holds 0 rows." in done.stderr
