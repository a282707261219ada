"""`andon producers`: the registry is changed safely, and says nothing that it should not."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from console.commands import app
from console.producer_keys import Rights, add_key
from models.registry import RegistryError, RegistryFile, load_registry

ANYTHING = Rights("any", "any")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry that is not there yet, and an environment that names it."""
    path = tmp_path / "etc" / "producers.toml"
    for name, value in {
        "DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none",
        "BROKER_URL": "redis://127.0.0.1:1/0",
        "PRODUCERS_FILE": str(path),
        "AUDIT_KEY": f"test:{'ab' * 32}",
    }.items():
        monkeypatch.setenv(f"ANDON_{name}", value)
    return path


def andon(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, ["producers", *arguments])


def added(*arguments: str) -> dict[str, str]:
    """What a successful `add --json` printed."""
    result = andon("add", *arguments, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, str] = json.loads(result.stdout)
    return document


def test_a_new_source_may_do_what_is_named_and_nothing_else(registry: Path) -> None:
    """Procedures and users are lists; the key signs for this source."""
    key = added(
        "alerts", "--procedure", "report_incident", "--user", "17", "--user", "23",
        "--require-severity-flags",
    )  # fmt: skip
    loaded = load_registry(registry)
    source = loaded.sources["alerts"]
    assert source.procedures == {"report_incident"}
    assert source.users == {"17", "23"}
    assert source.require_severity_flags
    assert loaded.owner_of(key["key_id"]) == ("alerts", bytes.fromhex(key["secret"]))
    assert len(bytes.fromhex(key["secret"])) == 32


def test_the_registry_is_for_its_owner_alone(registry: Path) -> None:
    """From the moment it exists."""
    added("alerts", "--any-procedure", "--any-user")
    assert registry.stat().st_mode & 0o777 == 0o600
    source = load_registry(registry).sources["alerts"]
    assert (source.procedures, source.users) == ("any", "any")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--any-procedure",),
        ("--any-user",),
        ("--user", "17"),
        ("--require-severity-flags",),
        ("--any-procedure", "--procedure", "report_incident", "--any-user"),
        ("--any-procedure", "--any-user", "--user", "17"),
        ("--procedure", "report_incidents", "--any-user"),
    ],
)
def test_what_a_new_source_may_do_must_be_said_plainly(
    arguments: tuple[str, ...], registry: Path
) -> None:
    """Nothing is assumed, and nothing is written."""
    result = andon("add", "alerts", *arguments)
    assert result.exit_code == 2
    assert result.stderr
    assert not registry.exists()


def test_a_user_id_that_cannot_be_is_refused(registry: Path) -> None:
    """Before the registry is touched; what is no text at all is refused like it."""
    for user in ("a b", "\udcff"):
        result = andon("add", "alerts", "--any-procedure", "--user", user)
        assert result.exit_code == 2
        assert result.stderr.startswith("--user must be ")
    assert not registry.exists()
    assert list(registry.parent.glob(".*")) == []


def test_a_further_key_leaves_everything_else_as_it_was(registry: Path) -> None:
    """Comments, order, rights and the other keys; both keys work."""
    registry.parent.mkdir()
    before = """\
# Who may publish.
[sources.alerts]  # the monitoring
procedures = ["report_incident"]   # no more
users = "any"

[[sources.alerts.keys]]
id = "alerts-1"   # since March
secret = "abababababababababababababababab"

[sources.other]
procedures = "any"
users = ["17"]
"""
    registry.write_text(before)
    registry.chmod(0o640)
    key = added("alerts")
    text = registry.read_text()
    assert [line for line in before.splitlines() if line not in text.splitlines()] == []
    loaded = load_registry(registry)
    assert [each.id for each in loaded.sources["alerts"].keys] == ["alerts-1", key["key_id"]]
    assert loaded.sources["alerts"].procedures == {"report_incident"}
    assert loaded.sources["other"].users == {"17"}
    assert registry.stat().st_mode & 0o777 == 0o640


def test_keys_written_in_another_way_are_added_to(registry: Path) -> None:
    """TOML has several ways to write the same."""
    registry.parent.mkdir()
    secret = "ab" * 16
    registry.write_text(
        f"""
        [sources]
        b = {{procedures = "any", users = []}}
        [sources.a]
        keys = [{{id = "k", secret = "{secret}"}}]
        procedures = "any"
        users = "any"
        """
    )
    registry.chmod(0o600)
    keys = [added("a"), added("b"), added("c d.e", "--any-procedure", "--any-user")]
    loaded = load_registry(registry)
    owners = [loaded.owner_of(key["key_id"]) for key in keys]
    assert [owner and owner[0] for owner in owners] == ["a", "b", "c d.e"]
    assert loaded.owner_of("k") == ("a", bytes.fromhex(secret))


@pytest.mark.parametrize("source", ["b", "new"])
def test_a_registry_that_cannot_be_added_to_without_harm_is_left_alone(
    source: str, registry: Path
) -> None:
    """Among dotted keys a table would swallow what follows it."""
    registry.parent.mkdir()
    registry.write_text('sources.b.procedures = "any"\nsources.b.users = "any"\n')
    registry.chmod(0o600)
    before = registry.read_bytes()
    rights = ("--any-procedure", "--any-user") if source == "new" else ()
    result = andon("add", source, *rights)
    assert result.exit_code == 2
    assert "dotted keys" in result.stderr
    assert registry.read_bytes() == before


def test_the_rights_of_a_source_that_is_there_are_not_changed(registry: Path) -> None:
    """Who wants to change them edits the file."""
    added("alerts", "--procedure", "report_incident", "--any-user")
    before = registry.read_bytes()
    result = andon("add", "alerts", "--any-procedure", "--any-user")
    assert result.exit_code == 2
    assert registry.read_bytes() == before


def test_a_faulty_registry_is_not_touched(registry: Path) -> None:
    """And the fault is named."""
    registry.parent.mkdir()
    registry.write_text("[sources.a]\nprocedures = 17\n")
    registry.chmod(0o600)
    before = registry.read_bytes()
    for arguments in (("add", "b", "--any-procedure", "--any-user"), ("list",)):
        result = andon(*arguments)
        assert result.exit_code == 2
        assert "$.sources.a.users" in result.stderr
    assert registry.read_bytes() == before


def test_the_key_can_go_to_a_file_instead(registry: Path, tmp_path: Path) -> None:
    """To a new one for its owner alone; then it is not printed."""
    file = tmp_path / "key"
    result = andon("add", "alerts", "--any-procedure", "--any-user", "--key-file", str(file))
    assert result.exit_code == 0
    key_id, secret = file.read_text().strip().split(":")
    assert load_registry(registry).owner_of(key_id) == ("alerts", bytes.fromhex(secret))
    assert secret not in result.output
    assert file.stat().st_mode & 0o777 == 0o600


def test_no_key_is_registered_that_cannot_be_handed_over(registry: Path, tmp_path: Path) -> None:
    """A file that is there is not written over; one for a refused key does not stay."""
    file = tmp_path / "key"
    file.write_text("precious")
    result = andon("add", "alerts", "--any-procedure", "--any-user", "--key-file", str(file))
    assert result.exit_code == 2
    assert file.read_text() == "precious"
    assert not registry.exists()
    assert andon("add", "alerts", "--key-file", str(tmp_path / "new")).exit_code == 2
    assert not (tmp_path / "new").exists()


def test_keys_added_at_the_same_time_are_all_kept(registry: Path) -> None:
    """Changes wait for each other."""
    add_key(registry, "alerts", ANYTHING)
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: add_key(registry, "alerts", None), range(16)))
    kept = {key.id for key in load_registry(registry).sources["alerts"].keys}
    assert {key.key_id for key in keys} < kept
    assert len(kept) == 17


@pytest.mark.usefixtures("registry")
def test_the_listing_never_shows_a_secret() -> None:
    """Neither as a table nor as JSON."""
    key = added("alerts", "--procedure", "report_incident", "--any-user")
    for result in (andon("list"), andon("list", "--json")):
        assert result.exit_code == 0
        assert key["key_id"] in result.stdout
        assert key["secret"] not in result.output
    assert json.loads(andon("list", "--json").stdout) == [
        {
            "source": "alerts",
            "procedures": ["report_incident"],
            "users": "any",
            "require_severity_flags": False,
            "key_ids": [key["key_id"]],
        }
    ]


def test_without_a_registry_there_are_no_sources(registry: Path) -> None:
    """Which is no error."""
    assert json.loads(andon("list", "--json").stdout) == []
    assert not registry.exists()


def test_the_registry_says_where_it_ends(registry: Path) -> None:
    """From the first change on, also one that was written by hand; no more is changed."""
    registry.parent.mkdir()
    by_hand = '# ours\n[sources.a]\nprocedures = "any"\nusers = "any"\n'
    registry.write_text(by_hand)
    registry.chmod(0o600)
    for source in ("a", "b", "a"):
        added(source, *(("--any-procedure", "--any-user") if source == "b" else ()))
        lines = registry.read_text().splitlines()
        assert lines[0] == "closed = true"
        assert lines[-1] == "[end]"
        assert lines.count("[end]") == 1
        assert by_hand in registry.read_text()
    for length in range(len(registry.read_text().rstrip())):
        cut = registry.with_name("cut.toml")
        cut.write_bytes(registry.read_bytes()[:length])
        cut.chmod(0o600)
        with pytest.raises(RegistryError):
            load_registry(cut)


def test_a_source_is_taken_out_and_comes_back(registry: Path) -> None:
    """With all its keys; workers that run see that it was meant."""
    keys = [added(source, "--any-procedure", "--any-user") for source in ("a", "b")]
    file = RegistryFile(registry)
    file.current()
    result = andon("remove", "a")
    assert result.exit_code == 0
    assert "The source a is taken out." in result.stdout
    assert keys[0]["secret"] not in registry.read_text()
    assert file.current().owner_of(keys[0]["key_id"]) is None
    assert file.current().owner_of(keys[1]["key_id"]) is not None
    assert file.fault is None
    back = added("a", "--any-procedure", "--any-user")
    assert file.current().owner_of(back["key_id"]) is not None
    assert file.current().withdrawn == frozenset()


def test_the_last_source_may_be_taken_out(registry: Path) -> None:
    """Then nobody may publish."""
    key = added("a", "--any-procedure", "--any-user")
    file = RegistryFile(registry)
    file.current()
    assert andon("remove", "a").exit_code == 0
    assert file.current().owner_of(key["key_id"]) is None
    assert json.loads(andon("list", "--json").stdout) == []


def test_one_key_is_taken_out(registry: Path) -> None:
    """As at the end of a rotation; the source stays, and everything else."""
    old = added("a", "--any-procedure", "--any-user")
    new = added("a")
    result = andon("remove", "a", "--key", old["key_id"], "--json")
    assert json.loads(result.stdout) == {"source": "a", "key_id": old["key_id"]}
    loaded = load_registry(registry)
    assert [key.id for key in loaded.sources["a"].keys] == [new["key_id"]]
    assert loaded.withdrawn == frozenset()


@pytest.mark.parametrize("arguments", [("b",), ("a", "--key", "a-2"), ("a", "--key", "")])
def test_what_is_not_there_cannot_be_taken_out(arguments: tuple[str, ...], registry: Path) -> None:
    """And nothing is changed."""
    assert andon("remove", *arguments).exit_code == 2
    assert not registry.exists()
    added("a", "--any-procedure", "--any-user")
    before = registry.read_bytes()
    assert andon("remove", *arguments).exit_code == 2
    assert registry.read_bytes() == before


def test_a_source_that_is_withdrawn_by_hand_gets_no_key(registry: Path) -> None:
    """It would be of no use, since withdrawn counts."""
    added("a", "--any-procedure", "--any-user")
    by_hand = registry.read_text().replace("withdrawn = []", 'withdrawn = ["a"]')
    registry.write_text(by_hand)
    result = andon("add", "a")
    assert result.exit_code == 2
    assert "withdrawn" in result.stderr
    assert registry.read_text() == by_hand


@pytest.mark.usefixtures("registry")
def test_the_registry_is_changed_though_nobody_can_record_who_did_it() -> None:
    """A key that leaked has to come out, database or none; that it is not recorded is said."""
    for result in (
        andon("add", "a", "--any-procedure", "--any-user"),
        andon("remove", "a"),
    ):
        assert result.exit_code == 0
        assert "does not say who has changed the registry" in result.stderr
