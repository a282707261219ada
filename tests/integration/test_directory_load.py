"""Loading the directory into a real PostgreSQL: all or nothing, and every change recorded."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from console.embedded import PostgresUrls
from models.directory import Load, load_directory
from models.operator import who_acts
from models.sheet_files import find_files
from tests.support.installation import AUDIT_KEY
from tests.support.sheets import SOUND, row, write_all, write_sheet


@pytest.fixture
def owner(database: PostgresUrls) -> Iterator[Engine]:
    """The owner of an empty directory."""
    engine = create_engine(database.owner)
    yield engine
    engine.dispose()


def load(engine: Engine, path: Path, *, dry_run: bool = False) -> Load:
    """Load what is at *path*."""
    files, misplaced = find_files(path)
    assert not misplaced
    return load_directory(engine, files, key=AUDIT_KEY, dry_run=dry_run)


def faults(done: Load) -> list[tuple[str, int | None, str | None, str]]:
    """The faults of a load that was refused."""
    assert done.files == ()
    return [tuple(fault) for fault in done.faults]


def query(engine: Engine, statement: str) -> list[tuple[object, ...]]:
    """What a query finds."""
    with engine.connect() as connection:
        return [tuple(found) for found in connection.execute(text(statement))]


def audited(engine: Engine) -> list[tuple[object, ...]]:
    """Every audit record, as action, subject and context, in order."""
    return query(
        engine,
        "SELECT action, subject, context FROM audit_records ORDER BY at, chain, sequence",
    )


def test_all_six_files_are_loaded_as_they_stand(owner: Engine, tmp_path: Path) -> None:
    """Each row is stored with its values; what is empty is NULL; each leaves one record."""
    done = load(owner, write_all(tmp_path))
    assert not done.faults
    assert [(each.table, each.created, each.updated) for each in done.files] == [
        (table, 1, 0) for table in SOUND
    ]
    for table, values in SOUND.items():
        columns = ", ".join(f"{name}::text" for name in values)
        stored = query(owner, f"SELECT {columns} FROM {table}")  # noqa: S608  # names of ours
        assert stored == [tuple(value or None for value in values.values())]
    assert [record[:2] for record in audited(owner)] == [
        ("create", "client:c1"),
        ("create", "vendor:v1"),
        ("create", "user:u1"),
        ("create", "product:p1"),
        ("create", "component:k1"),
        ("create", "subscription:s1"),
    ]


def test_loading_the_same_again_changes_nothing(owner: Engine, tmp_path: Path) -> None:
    """Unchanged rows write neither themselves nor a record."""
    load(owner, write_all(tmp_path))
    before = query(owner, "SELECT xmin, user_id FROM users"), audited(owner)
    done = load(owner, tmp_path)
    assert [(each.created, each.updated, each.unchanged) for each in done.files] == [(0, 0, 1)] * 6
    assert (query(owner, "SELECT xmin, user_id FROM users"), audited(owner)) == before


def test_a_change_is_stored_and_recorded_by_its_fields_without_their_values(
    owner: Engine, tmp_path: Path
) -> None:
    """One record for the row that changed, with names of fields and nothing else."""
    load(owner, write_all(tmp_path))
    write_sheet(
        tmp_path,
        "users",
        row("users", last_name="Lovelace", timezone=""),
        row("users", user_id="u2", email=""),
    )
    done = load(owner, tmp_path / "users.csv")
    assert [(each.rows, each.created, each.updated, each.unchanged) for each in done.files] == [
        (2, 1, 1, 0)
    ]
    assert query(owner, "SELECT last_name, timezone FROM users WHERE user_id = 'u1'") == [
        ("Lovelace", None)
    ]
    assert sorted(audited(owner)[6:], key=str) == [
        (
            "create",
            "user:u2",
            {
                "fields": [
                    "first_name",
                    "last_name",
                    "role",
                    "client_id",
                    "timezone",
                    "status",
                ],
                **who_acts(),
            },
        ),
        ("update", "user:u1", {"fields": ["last_name", "timezone"], **who_acts()}),
    ]


def test_no_value_of_the_directory_is_in_the_audit(owner: Engine, tmp_path: Path) -> None:
    """No name, address or other free text; ids alone."""
    load(owner, write_all(tmp_path))
    write_sheet(tmp_path, "clients", row("clients", name="Initech Two", country="Peru"))
    load(owner, tmp_path)
    # A moment or a MAC may have any figures in it, and so a version's by chance.
    records = "SELECT (to_jsonb(r) - 'at' - 'mac')::text FROM audit_records r"
    written = json.dumps(query(owner, records))
    ids = {f"{letter}1" for letter in "cvupks"}
    words = {"active", "production", "premium", "client_contact", "full", "UTC"}
    values = {value for values in SOUND.values() for value in values.values()} - ids - words
    assert [value for value in values | {"Initech Two", "Peru"} if value and value in written] == []


def test_references_may_point_to_rows_that_are_stored_already(
    owner: Engine, tmp_path: Path
) -> None:
    """One file can be loaded by itself."""
    load(owner, write_all(tmp_path))
    done = load(
        owner, write_sheet(tmp_path / "more", "users", row("users", user_id="u2", email=""))
    )
    assert not done.faults
    assert query(owner, "SELECT client_id FROM users WHERE user_id = 'u2'") == [("c1",)]


def test_with_one_fault_anywhere_nothing_is_loaded(owner: Engine, tmp_path: Path) -> None:
    """The sound files are held back with the faulty one."""
    write_all(tmp_path)
    write_sheet(tmp_path, "subscriptions", row("subscriptions", sla_tier="gold"))
    assert faults(load(owner, tmp_path)) == [
        ("subscriptions.csv", 2, "sla_tier", "'gold' is none of premium, standard, basic")
    ]
    assert query(owner, "SELECT FROM clients") == []
    assert audited(owner) == []


def test_the_faults_of_all_files_are_named_in_their_order(owner: Engine, tmp_path: Path) -> None:
    """What is wrong by itself, with other rows, and with other files, all at once."""
    write_all(tmp_path)
    write_sheet(
        tmp_path,
        "users",
        row("users", client_id="nobody"),
        row("users", role="boss"),
        row("users", user_id="u3", email="three@initech.example", vendor_id="v9", status=""),
    )
    write_sheet(tmp_path, "components", row("components", product_id="p1", environment="prod"))
    assert [fault[:3] for fault in faults(load(owner, tmp_path))] == [
        ("users.csv", 2, "client_id"),
        ("users.csv", 3, "user_id"),
        ("users.csv", 3, "email"),
        ("users.csv", 3, "role"),
        ("users.csv", 4, "vendor_id"),
        ("users.csv", 4, "status"),
        ("components.csv", 2, "environment"),
    ]


def test_ids_addresses_and_registration_numbers_may_not_repeat_in_a_file(
    owner: Engine, tmp_path: Path
) -> None:
    """The earlier row is named; names may repeat."""
    write_sheet(tmp_path, "clients", row("clients"), row("clients"))
    found = faults(load(owner, tmp_path))
    assert [fault[1:] for fault in found] == [
        (3, column, "stands in line 2 already")
        for column in ("client_id", "registration_number", "contact_email")
    ]
    other = row("clients", client_id="c2", registration_number="", contact_email="")
    write_sheet(tmp_path, "clients", row("clients"), other, {**other, "client_id": "c3"})
    assert not load(owner, tmp_path).faults


def test_an_address_that_another_stored_row_has_is_taken(owner: Engine, tmp_path: Path) -> None:
    """Unless the same load gives that row another one: addresses may be exchanged."""
    two = row("users", user_id="u2", email="two@initech.example")
    write_all(tmp_path)
    write_sheet(tmp_path, "users", row("users"), two)
    assert not load(owner, tmp_path).faults

    taken = row("users", user_id="u3", email=two["email"])
    more = write_sheet(tmp_path / "more", "users", taken)
    assert faults(load(owner, more)) == [
        ("users.csv", 2, "email", "belongs to user_id 'u2', which is stored")
    ]

    exchanged = row("users", email=two["email"]), {**two, "email": SOUND["users"]["email"]}
    done = load(owner, write_sheet(tmp_path / "swap", "users", *exchanged))
    assert [(each.updated, each.created) for each in done.files] == [(2, 0)]
    assert query(owner, "SELECT user_id, email FROM users ORDER BY user_id") == [
        ("u1", "two@initech.example"),
        ("u2", "ada@initech.example"),
    ]


def test_an_address_in_other_letters_is_the_same(owner: Engine, tmp_path: Path) -> None:
    """In the file, and against what is stored; a row's own address may change its case."""
    write_all(tmp_path)
    louder = row("users", user_id="u2", email="ADA@initech.example")
    twice = write_sheet(tmp_path / "twice", "users", row("users", client_id=""), louder)
    assert faults(load(owner, twice))[0][2:] == ("email", "stands in line 2 already")
    assert not load(owner, tmp_path).faults
    assert faults(load(owner, write_sheet(tmp_path / "more", "users", louder))) == [
        ("users.csv", 2, "email", "belongs to user_id 'u1', which is stored")
    ]
    own = {**louder, "user_id": "u1"}
    assert [each.updated for each in load(owner, write_sheet(tmp_path / "own", "users", own)).files]


def test_a_file_that_cannot_be_read_does_not_make_references_to_it_dangle(
    owner: Engine, tmp_path: Path
) -> None:
    """Only what is known to be wrong is named."""
    write_all(tmp_path)
    (tmp_path / "clients.csv").write_text("")
    assert [fault[:2] for fault in faults(load(owner, tmp_path))] == [("clients.csv", None)]


def test_a_dry_run_says_what_would_change_and_changes_nothing(
    owner: Engine, tmp_path: Path
) -> None:
    """The same counts as the load itself."""
    write_all(tmp_path)
    tried = load(owner, tmp_path, dry_run=True)
    assert query(owner, "SELECT FROM clients") == []
    assert audited(owner) == []
    assert load(owner, tmp_path) == tried


def test_a_large_file_is_loaded_and_changed_whole(owner: Engine, tmp_path: Path) -> None:
    """Rows beyond one copy's worth: none is lost between copies."""
    rows = [
        row("users", user_id=f"u{n}", email=f"u{n}@x.example", client_id="") for n in range(12_001)
    ]
    assert [each.created for each in load(owner, write_sheet(tmp_path, "users", *rows)).files] == [
        12_001
    ]
    assert query(owner, "SELECT count(*), max(sequence) FROM audit_records") == [(12_001, 12_001)]
    rows[-1]["status"] = "on_leave"
    done = load(owner, write_sheet(tmp_path, "users", *rows))
    assert [(each.updated, each.unchanged) for each in done.files] == [(1, 12_000)]
