"""Settings that are missing, wrong or misspelt: every one is named, with what is expected."""

import os
import re
from pathlib import Path

import pytest

from worker.settings import Settings, SettingsError, load_settings
from worker.settings import read_settings as read

SOUND = {
    "ANDON_DATABASE_URL": "postgresql+psycopg://andon@localhost/andon",
    "ANDON_BROKER_URL": "redis://localhost:6379/0",
    "ANDON_PRODUCERS_FILE": "producers.toml",
    "ANDON_AUDIT_KEY": "first:" + "ab" * 32,
}
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A sound environment, and nothing else of ours in it."""
    for name in [name for name in os.environ if name.upper().startswith("ANDON_")]:
        monkeypatch.delenv(name)
    for name, value in SOUND.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def faults(directory: Path) -> str:
    """What is said when the settings are read."""
    with pytest.raises(SettingsError) as raised:
        load_settings(directory)
    return str(raised.value)


def test_every_fault_is_named_at_once(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever kind of fault it is."""
    wrong = {
        "ANDON_CLAIM_IDLE": "soon",
        "ANDON_AUDIT_KEY": "x",
        "ANDON_RETIRED_AUDIT_KEYS": "old:12",
        "ANDON_DATABASE_URL": "sqlite://",
        "ANDON_OWNER_DATABASE_URL": "postgresql://u:p@host:port/x",
        "ANDON_BROKER_URL": "http://somewhere",
        "ANDON_BATCH_SIZE": "0",
        "ANDON_BATCHSIZE": "5",
    }
    for name, value in wrong.items():
        environment.setenv(name, value)
    environment.delenv("ANDON_PRODUCERS_FILE")
    named = re.findall(r"^  (ANDON_\w+): ", faults(tmp_path), re.MULTILINE)
    assert sorted(named) == sorted({*wrong, "ANDON_PRODUCERS_FILE"})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ANDON_BATCHSIZE", "ANDON_BATCH_SIZE"),
        ("andon_concurency", "ANDON_CONCURRENCY"),
        ("ANDON_RETIRED_AUDIT_KEY", "ANDON_RETIRED_AUDIT_KEYS"),
    ],
)
def test_a_misspelt_setting_is_an_error(
    environment: pytest.MonkeyPatch, tmp_path: Path, name: str, meant: str
) -> None:
    """In the environment and in an installation's file; the nearest name is suggested."""
    environment.setenv(name, "5")
    assert f"{name}: is no setting; is {meant} meant?" in faults(tmp_path)
    environment.delenv(name)
    load_settings(tmp_path)
    file = tmp_path / "settings.env"
    file.write_text(f"{name}='5'\n")
    with pytest.raises(SettingsError, match=f"{name}: is no setting; is {meant} meant"):
        read(file)


def test_what_is_not_ours_is_left_alone(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Variables of the tests and of docker-compose.yml, and all that others use."""
    example = (ROOT / ".env.example").read_text()
    for name in re.findall(r"^(\w+)=", example, re.MULTILINE):
        environment.setenv(name, SOUND.get(name, "x"))
    environment.setenv("ANDON_TEST_RABBITMQ", "x")
    environment.setenv("ANDONBATCH", "x")
    load_settings(tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:SEC/RET@host/0",
        "redis://u:12/SECRET@host",
        "amqp://u:SE?CRET@h",
        "redis://[SECRET",
    ],
)
def test_a_broker_s_url_that_misleads_is_refused(
    environment: pytest.MonkeyPatch, tmp_path: Path, url: str
) -> None:
    """An unencoded password would end where nobody expects; what is said holds nothing of it."""
    environment.setenv("ANDON_BROKER_URL", url)
    said = faults(tmp_path)
    assert "ANDON_BROKER_URL: is not a URL that can be read: percent-encode" in said
    assert "SEC" not in said


@pytest.mark.parametrize(
    "url", ["postgresql://u:SEC/RET@h/d", "postgresql://u:12@SECRET@h/d", "postgresql://u:?SEC@h/d"]
)
def test_a_database_s_url_that_misleads_is_refused(
    environment: pytest.MonkeyPatch, tmp_path: Path, url: str
) -> None:
    """Else a part of the password would be looked up as a host, and told when there is none."""
    environment.setenv("ANDON_DATABASE_URL", url)
    said = faults(tmp_path)
    assert "ANDON_DATABASE_URL: is not a URL that can be read: percent-encode" in said
    assert "SEC" not in said


def test_an_empty_registry_s_path_is_no_path(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It does not mean the working directory."""
    environment.setenv("ANDON_PRODUCERS_FILE", "")
    assert "ANDON_PRODUCERS_FILE: must name a file" in faults(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("BATCH_SIZE", "many", "must be a whole number"),
        ("GATEWAY_PORT", "99999", "must be at most 65535"),
        ("LOG_JSON", "perhaps", "must be true or false"),
        ("LOG_LEVEL", "loud", "must be 'debug', 'info', 'warning' or 'error'"),
        ("CLAIM_IDLE", "0", "must be at least 1 second"),
        ("CLAIM_IDLE", "soon", "must be a number of seconds"),
        ("PATIENCE", "1e400", "must be a number of seconds"),
    ],
)
def test_a_setting_s_fault_is_told_in_plain_words(
    environment: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, told: str
) -> None:
    """What it must be, with the name of its variable."""
    environment.setenv(f"ANDON_{name}", value)
    assert f"ANDON_{name}: {told}\n" in f"{faults(tmp_path)}\n"


def test_an_empty_owner_s_url_is_none(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So that a process can be kept from what its settings file says."""
    environment.setenv("ANDON_OWNER_DATABASE_URL", "")
    settings = load_settings(tmp_path)
    assert settings.owner_database_url is None
    assert settings.owner_url == SOUND["ANDON_DATABASE_URL"]
    environment.setenv("ANDON_DATABASE_URL", "")
    assert "ANDON_DATABASE_URL: must begin with" in faults(tmp_path)


@pytest.mark.parametrize("retired", ["first:" + "cd" * 32, f"a:{'1' * 32},a:{'2' * 32}"])
def test_each_audit_key_has_a_name_of_its_own(
    environment: pytest.MonkeyPatch, tmp_path: Path, retired: str
) -> None:
    """Records refer to keys by their names."""
    environment.setenv("ANDON_RETIRED_AUDIT_KEYS", retired)
    assert "ANDON_RETIRED_AUDIT_KEYS: has a name that stands twice" in faults(tmp_path)


def test_audit_keys_are_read(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The current one, and the retired ones in the order in which they are given."""
    environment.setenv("ANDON_RETIRED_AUDIT_KEYS", f" a:{'1' * 32} , b:{'2' * 32},")
    keys = load_settings(tmp_path).audit_keys()
    assert keys.current.key_id == "first"
    assert [key.key_id for key in keys.retired] == ["a", "b"]
    assert {name for name in Settings.model_fields if "audit_key" in name} == {
        "audit_key",
        "retired_audit_keys",
    }


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666])
def test_settings_that_others_may_have_written_are_not_taken(tmp_path: Path, mode: int) -> None:
    """They say which database and which keys are used; the message says what to do."""
    file = tmp_path / ".andon" / "settings.env"
    file.parent.mkdir()
    file.write_text("ANDON_BATCH_SIZE=7\n")
    file.chmod(mode)
    assert "can be written to by others" in faults(tmp_path)
    file.chmod(0o600)
    assert load_settings(tmp_path).batch_size == 7
