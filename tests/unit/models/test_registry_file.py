"""The producer registry: what a file may say, and which registry is in force."""

import os
from pathlib import Path

import pytest

from models.registry import RegistryError, RegistryFile, load_registry

ONE, OTHER = "ab" * 32, "cd" * 32
SOUND = f"""
[sources.monitor]
procedures = ["report_incident"]
users = ["17", 23]
[[sources.monitor.keys]]
id = "monitor-1"
secret = "{ONE}"
"""
BETTER = 'withdrawn = ["monitor"]' + SOUND.replace("monitor", "better")
"""One source in the place of the other."""
CLOSED = f"closed = true{SOUND}[end]\n"
NEW_KEY = f'[[sources.monitor.keys]]\nid = "monitor-2"\nsecret = "{OTHER}"\n'


def _write(path: Path, text: str | bytes, *, mode: int = 0o600) -> Path:
    """Replace the file as an editor does, by a new one."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(text if isinstance(text, bytes) else text.encode())
    fresh.chmod(mode)
    return fresh.rename(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sound registry."""
    return _write(tmp_path / "producers.toml", SOUND)


def test_a_source_may_do_what_is_named_and_nothing_else(path: Path) -> None:
    """Procedures and users that are not named are refused; a number is read as its digits."""
    source = load_registry(path).sources["monitor"]
    assert source.may_ask_for("report_incident")
    assert not source.may_ask_for("update_incident")
    assert [source.may_act_for(user) for user in ("17", "23", "18")] == [True, True, False]
    assert not source.require_severity_flags


def test_any_is_every_procedure_and_every_user(path: Path) -> None:
    """The word any must be written; nothing is any by default."""
    _write(path, '[sources.all]\nprocedures = "any"\nusers = "any"\n')
    source = load_registry(path).sources["all"]
    assert source.may_ask_for("submit_escalation")
    assert source.may_act_for("whoever")


def test_a_key_is_rotated_without_a_pause(path: Path) -> None:
    """While two keys stand there both belong to the source, then only the new one."""
    file = RegistryFile(path)
    assert file.current().owner_of("monitor-2") is None
    _write(path, SOUND + NEW_KEY)
    assert file.current().owner_of("monitor-1") == ("monitor", bytes.fromhex(ONE))
    assert file.current().owner_of("monitor-2") == ("monitor", bytes.fromhex(OTHER))
    _write(path, SOUND.replace("monitor-1", "monitor-2").replace(ONE, OTHER))
    assert file.current().owner_of("monitor-1") is None
    assert file.current().owner_of("monitor-2") == ("monitor", bytes.fromhex(OTHER))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sources = 1", "$.sources"),
        ("[source.monitor]", "$.source "),
        ("[sources.monitor]\nusers = 'any'", "$.sources.monitor.procedures is required"),
        ("[sources.monitor]\nprocedures = 'any'", "$.sources.monitor.users is required"),
        ("[sources.m]\nprocedures = ['reboot']\nusers = 'any'", "is no procedure: reboot"),
        ("[sources.m]\nprocedures = 'all'\nusers = 'any'", "$.sources.m.procedures"),
        ("[sources.m]\nprocedures = 'any'\nusers = ['a b']", "$.sources.m.users"),
        ("[sources.m]\nprocedures = 'any'\nusers = 'any'\ncolour = 1", "$.sources.m.colour"),
        (SOUND.replace(ONE, "abcd"), "at least 16 bytes written in hex"),
        (SOUND.replace(ONE, "xy" * 32), "at least 16 bytes written in hex"),
        (SOUND.replace(f'"{ONE}"', "7"), "at least 16 bytes written in hex"),
        (SOUND.replace('"monitor-1"', '"monitor 1"'), "$.sources.monitor.keys[0].id"),
        (
            SOUND + SOUND.replace("sources.monitor", "sources.other"),
            "key id monitor-1 stands twice",
        ),
        (SOUND + '[[sources.monitor.keys]]\nid = "monitor-1"\nsecret = "' + OTHER + '"', "twice"),
        ("[sources", "is not TOML"),
        (b"\xff\xfe", "is not TOML: not UTF-8"),
    ],
)
def test_a_fault_is_named_with_its_file(path: Path, text: str | bytes, says: str) -> None:
    """The error names the file and the place, and repeats no secret."""
    _write(path, text)
    with pytest.raises(RegistryError) as raised:
        load_registry(path)
    assert str(path) in str(raised.value)
    assert says in str(raised.value)
    assert ONE not in str(raised.value)


def test_every_fault_is_named(path: Path) -> None:
    """All faults at once, not only the first."""
    _write(path, SOUND.replace(ONE, "ab").replace("report_incident", "reboot") + "[sources.x]\n")
    with pytest.raises(RegistryError) as raised:
        load_registry(path)
    for place in ("monitor.procedures", "monitor.keys[0].secret", "x.procedures", "x.users"):
        assert f"$.sources.{place}" in str(raised.value)


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o620, 0o660, 0o644, 0o777])
def test_a_file_that_is_open_to_others_is_refused(path: Path, mode: int) -> None:
    """It holds secrets: nobody else may read it, and only its owner may write it."""
    path.chmod(mode)
    with pytest.raises(RegistryError, match="chmod 600"):
        load_registry(path)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
def test_the_owner_and_a_reading_group_are_fine(path: Path, mode: int) -> None:
    """A container may read it by its group."""
    path.chmod(mode)
    assert load_registry(path).sources


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error says which file is missing."""
    with pytest.raises(RegistryError, match=r"nowhere\.toml: No such file"):
        RegistryFile(tmp_path / "nowhere.toml").current()


@pytest.mark.parametrize(
    "slip",
    ["not toml [", "[sources.x]", b"\xff", None, "", "# saved soon\n", 'withdrawn = ["monitor"]'],
)
def test_the_last_good_registry_stays_in_force(path: Path, slip: str | bytes | None) -> None:
    """A slip of an editor stops no producer, is told, and is over when the file is sound again."""
    file = RegistryFile(path)
    good = file.current()
    assert file.fault is None
    if slip is None:
        path.unlink()
    else:
        _write(path, slip)
    assert file.current() is good
    assert file.fault is not None
    assert str(path) in file.fault
    _write(path, BETTER)
    assert list(file.current().sources) == ["better"]
    assert file.fault is None


def test_a_fault_is_told_once_and_so_is_its_end(path: Path) -> None:
    """A key that was taken out may still be good: somebody has to hear of it."""
    told: list[str | None] = []
    file = RegistryFile(path, told.append)
    file.current()
    _write(path, "not toml [")
    for _ in range(3):
        file.current()
    path.touch()
    file.current()
    assert len(told) == 1
    _write(path, "[sources.x]")
    file.current()
    assert "sources.x" in str(told[1])
    _write(path, SOUND)
    file.current()
    assert told[2:] == [None]


@pytest.mark.parametrize("text", ["", "# saved soon\n", CLOSED.replace(SOUND, "\n")])
def test_a_file_without_sources_is_no_registry(path: Path, text: str) -> None:
    """A process that starts on an emptied file waits, and calls no producer unknown."""
    _write(path, text)
    with pytest.raises(RegistryError, match="has no sources"):
        RegistryFile(path).current()


def test_a_source_that_is_lost_stays_in_force_and_is_named(path: Path) -> None:
    """As where the end of the file is cut off, or an older copy was put in its place."""
    other = SOUND.replace("monitor", "other")
    _write(path, SOUND + other)
    file = RegistryFile(path)
    both = file.current()
    _write(path, SOUND)
    assert file.current() is both
    assert file.fault is not None
    assert "lacks what was there: other" in file.fault
    _write(path, SOUND + other)
    assert file.current() is not both
    assert file.fault is None


@pytest.mark.parametrize("rest", [SOUND, "\n"])
def test_a_source_is_taken_out_by_its_name(path: Path, rest: str) -> None:
    """At once, and whether or not its keys still stand in the file."""
    other = SOUND.replace("monitor", "other")
    _write(path, SOUND + other)
    file = RegistryFile(path)
    assert file.current().owner_of("monitor-1") is not None
    _write(path, 'withdrawn = ["monitor"]\n' + rest + other)
    assert file.current().owner_of("monitor-1") is None
    assert list(file.current().sources) == ["other"]
    assert file.fault is None


def test_all_sources_may_be_taken_out_of_a_file_that_is_whole(path: Path) -> None:
    """Then nobody publishes, on purpose."""
    file = RegistryFile(path)
    file.current()
    _write(path, 'closed = true\nwithdrawn = ["monitor"]\n[end]\n')
    assert file.current().sources == {}
    assert file.fault is None


def test_no_beginning_of_a_closed_file_is_taken_for_the_whole(path: Path) -> None:
    """Wherever it was cut off, a process that starts on it waits."""
    whole = f"closed = true{SOUND}{NEW_KEY}[end]\n"
    assert list(load_registry(_write(path, whole)).sources) == ["monitor"]
    for length in range(len(whole.rstrip())):
        _write(path, whole[:length])
        with pytest.raises(RegistryError):
            load_registry(path)


def test_keys_lost_with_the_end_of_a_closed_file_stay_in_force(path: Path) -> None:
    """A key that is taken out of the same file, which is whole then, is out at once."""
    whole = f"closed = true{SOUND}{NEW_KEY}[end]\n"
    _write(path, whole)
    file = RegistryFile(path)
    file.current()
    _write(path, whole[: whole.index(NEW_KEY)])
    assert file.current().owner_of("monitor-2") is not None
    assert "is not whole" in str(file.fault)
    _write(path, whole.replace(NEW_KEY, ""))
    assert file.current().owner_of("monitor-2") is None
    assert file.fault is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (CLOSED + NEW_KEY, "its last line is not [end]"),
        (SOUND + "[end]\n", "does not say closed = true"),
        (CLOSED.replace("true", "false"), "does not say closed = true"),
        (CLOSED.replace("[end]", 'end = { keys = 1 }\n"[end]" = 1'), "its last line is not [end]"),
    ],
)
def test_an_end_that_is_none_is_named(path: Path, text: str, says: str) -> None:
    """What was added below the end is not taken in silence, nor left out."""
    _write(path, text)
    with pytest.raises(RegistryError) as raised:
        load_registry(path)
    assert says in str(raised.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_refused(path: Path) -> None:
    """Its owner could change it, or let others; one of root's is fine."""
    os.chown(path, 12345, 0)
    with pytest.raises(RegistryError, match="belongs to another user"):
        load_registry(path)
    os.chown(path, 0, 10001)
    path.chmod(0o640)
    assert load_registry(path).sources


def test_rights_that_are_put_right_count_at_once(path: Path) -> None:
    """Chmod changes neither the content nor its time."""
    file = RegistryFile(path)
    file.current()
    path.write_text(BETTER)
    path.chmod(0o644)
    assert list(file.current().sources) == ["monitor"]
    path.chmod(0o600)
    assert list(file.current().sources) == ["better"]


def test_an_unchanged_file_is_not_read_again(path: Path) -> None:
    """The file is looked at for every batch, and read only when it has changed."""
    file = RegistryFile(path)
    assert file.current() is file.current()


def test_secrets_are_not_shown(path: Path) -> None:
    """Neither repr nor str of a registry shows a secret."""
    registry = load_registry(path)
    shown = repr(registry) + str(registry)
    assert ONE not in shown
    assert repr(bytes.fromhex(ONE)) not in shown
