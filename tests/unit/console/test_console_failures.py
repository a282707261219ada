"""What can be expected to go wrong ends a command with one message and the right exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis
import typer
from amqp.exceptions import AccessRefused
from sqlalchemy.exc import ArgumentError

from console.failures import failures_explained
from tests.support.command import andon
from tests.support.shell import andon as in_shell

PASSWORD = "never-to-be-shown"
UNREACHABLE = {
    "ANDON_DATABASE_URL": f"postgresql+psycopg://worker:{PASSWORD}@127.0.0.1:1/andon",
    "ANDON_BROKER_URL": "redis://127.0.0.1:1/0",
    "ANDON_PRODUCERS_FILE": "/nowhere/producers.toml",
    "ANDON_AUDIT_KEY": f"test:{'ab' * 32}",
}
READING = [
    ("incidents", "list"),
    ("incidents", "show", "1"),
    ("halts", "list"),
    ("halts", "show", "1"),
    ("audit", "list"),
    ("audit", "verify"),
    ("migrate",),
    ("migrate", "--check"),
]


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_database_that_does_not_answer_is_named_without_its_password(
    command: tuple[str, ...],
) -> None:
    """Exit code 3, nothing on stdout, and what to do next."""
    result = andon(*command, env=UNREACHABLE)
    assert result.exit_code == 3
    assert result.stdout == ""
    assert (
        "PostgreSQL does not answer at postgresql+psycopg://worker:***@127.0.0.1:1" in result.stderr
    )
    assert "andon up" in result.stderr
    assert PASSWORD not in result.stderr


def test_loading_into_a_database_that_does_not_answer(tmp_path: Path) -> None:
    """Exit code 3, also with files that could be read."""
    (tmp_path / "vendors.csv").write_text("vendor_id,name,vendor_type,contact_email,status\n")
    result = andon("directory", "load", str(tmp_path), env=UNREACHABLE)
    assert result.exit_code == 3
    assert "PostgreSQL does not answer" in result.stderr


def test_a_registry_that_is_missing_is_named_with_its_setting(tmp_path: Path) -> None:
    """Exit code 2, and the setting that says where it was looked for."""
    requests = tmp_path / "requests.jsonl"
    requests.write_text('{"procedure": "report_incident", "data": {}}\n')
    result = andon("send", str(requests), env=UNREACHABLE)
    assert result.exit_code == 2
    assert result.stderr == (
        "ANDON_PRODUCERS_FILE: /nowhere/producers.toml: No such file or directory\n"
    )


@pytest.mark.parametrize("command", [*READING, ("producers", "list")], ids=" ".join)
def test_missing_settings_are_all_named(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, and where they were looked for."""
    monkeypatch.chdir(tmp_path)
    for name in UNREACHABLE:
        monkeypatch.delenv(name, raising=False)
    result = andon(*command)
    assert result.exit_code == 2
    for name in UNREACHABLE:
        assert f"{name}: is not set" in result.stderr
    assert str(tmp_path) in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("incidents", "show", "0"),
        ("incidents", "show", str(2**63)),
        ("incidents", "show", "one"),
        ("incidents", "list", "--limit", "0"),
        ("incidents", "list", "--status", "shut"),
        ("incidents", "list", "--limit", str(2**63)),
        ("audit", "list", "--outcome", "don"),
        ("audit", "list", "--subject", "17"),
        ("send", "--example", "report_incident", "requests.jsonl"),
        ("gateway", "check-mapping", "/nowhere/at/all"),
        ("contract", "--out", "/dev/null"),
        ("producers", "add", "new", "--any-procedure", "--user", "two words"),
        ("halts", "list", "--reason", "no_such_reason"),
        ("halts", "list", "--state", "gone"),
        ("directory", "load", "/nowhere/at/all"),
        ("directory", "load"),
        ("nonsense",),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_said_before_anything_is_reached(command: tuple[str, ...]) -> None:
    """Exit code 2 although no service answers."""
    result = andon(*command, env=UNREACHABLE)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr != ""


def test_the_process_ends_with_the_exit_code_and_without_a_traceback(tmp_path: Path) -> None:
    """The command as it is installed."""
    ended = subprocess.run(
        [Path(sys.executable).with_name("andon"), "incidents", "list"],
        env=os.environ | UNREACHABLE,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 3
    assert ended.stderr.startswith("PostgreSQL does not answer at ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ("up", "--dir", "a-file"),
        ("demo", "--keep", "a-file"),
        ("demo", "--svg", "nowhere/picture.svg"),
        ("demo", "--svg", "."),
    ],
    ids=" ".join,
)
def test_a_place_that_cannot_be_used_is_said_and_nothing_is_started(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    """One sentence, exit code 2, and no traceback."""
    (tmp_path / "a-file").touch()
    ended = in_shell(*command, settings={}, directory=tmp_path)
    assert ended.code == 2
    assert ended.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


@pytest.mark.parametrize(
    ("url", "says"),
    [("nonsense", "ANDON_DATABASE_URL"), ("postgresql+nodriver://h/d", "ANDON_DATABASE_URL")],
)
def test_a_database_url_that_is_none_is_said(url: str, says: str) -> None:
    """Exit code 2, whichever part reads it first."""
    result = andon("incidents", "list", env=UNREACHABLE | {"ANDON_DATABASE_URL": url})
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (ArgumentError("Could not parse"), 2, "ANDON_DATABASE_URL"),
        (AccessRefused("no such vhost"), 3, "RabbitMQ does not answer: "),
        (ConnectionRefusedError(111, "refused"), 3, "RabbitMQ does not answer: "),
        (redis.ConnectionError("refused"), 3, "Is `andon up` running?"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_what_can_be_expected_ends_with_its_message(
    error: BaseException, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback; Ctrl-C ends as shells know it, without a word."""
    with pytest.raises(typer.Exit) as ended, failures_explained():
        raise error
    assert ended.value.exit_code == code
    told = capsys.readouterr().err
    assert says in told
    assert bool(told) is bool(says)


def test_ctrl_c_while_the_command_starts_leaves_no_traceback() -> None:
    """Exit 130 from the very first import on."""
    program = (
        "import sys; from console.app import main\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (130, "")
