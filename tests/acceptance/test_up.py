"""`andon up`: real processes in a directory of their own, started, used, killed and stopped."""

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson
import pytest
from dotenv import dotenv_values

from tests.support.shell import Finished, andon, command_environment, finished
from tests.support.waiting import wait_for


@dataclass(slots=True)
class Up:
    """One `andon up`, with its processes and what it printed."""

    directory: Path
    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        """What it printed so far."""
        return self.log.read_text()

    def run(self, *arguments: str, stdin: bytes = b"") -> Finished:
        """Run another command in its directory, without any settings."""
        return andon(*arguments, settings={}, directory=self.directory, stdin=stdin)

    def stop(self) -> int:
        """Stop it as Ctrl-C in its terminal would."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def children(self) -> dict[str, int]:
        """Its worker, which Celery gives a title of its own, its schedules and its gateway."""
        marks = {
            "celery": "worker",
            "attended worker": "worker",
            "attended schedules": "schedules",
            "attended gateway": "gateway",
        }
        return {
            name: pid
            for pid, parent, command in processes()
            for mark, name in marks.items()
            if parent == self.process.pid and mark in command
        }

    def server(self, program: str) -> int:
        """The main process of one of its servers."""
        (found,) = (
            pid
            for pid, parent, command in processes()
            if parent == self.process.pid and Path(command.split()[0]).name.startswith(program)
        )
        return found


def processes() -> list[tuple[int, int, str]]:
    """Every process of this machine: its id, its parent's, its command line."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = (line.split(maxsplit=2) for line in listing.stdout.splitlines())
    return [(int(row[0]), int(row[1]), row[2] if len(row) > 2 else "") for row in rows]


@contextmanager
def running(directory: Path, *arguments: str) -> Iterator[Up]:
    """`andon up` in *directory*; ready when the block begins, and gone after it."""
    directory.mkdir(exist_ok=True)
    log = directory / "up.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "console.app", "up", *arguments],
            cwd=directory,
            env=command_environment({"TMPDIR": str(directory)}),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    up = Up(directory, process, log)
    try:
        wait_for(
            lambda: "ready" in up.output() or process.poll() is not None,
            seconds=60,
            what="andon up ready",
        )
        assert process.poll() is None, up.output()
        yield up
    finally:
        if process.poll() is None:
            up.stop()


def send_example(up: Up) -> Finished:
    """Send the example of a report, and wait for what becomes of it."""
    example = up.run("send", "--example", "report_incident")
    return up.run("send", "-", "--wait", stdin=example.stdout.encode())


def test_what_was_done_is_there_again_after_a_restart(tmp_path: Path) -> None:
    """Commands find the installation by its directory; Ctrl-C ends all of it; the next start has
    its data, its keys and what somebody added to its settings.
    """
    settings_file = tmp_path / ".andon" / "settings.env"
    with running(tmp_path, "--sample") as up:
        sent = send_example(up)
        assert sent.code == 0, sent.stderr
        assert sent.lines[0]["result"]["incident_id"] == "1"
        settings = dotenv_values(settings_file)
        with settings_file.open("a") as file:
            file.write("ANDON_CONCURRENCY='1'\n")
        own = {pid for pid, parent, _ in processes() if parent == up.process.pid}
        assert len(own) == 5  # the two servers, the worker, the schedules, the gateway
        assert up.stop() == 0
        assert own.isdisjoint(pid for pid, _, _ in processes())
        assert "Stopped." in up.output()
    with running(tmp_path) as up:
        again = send_example(up)
        assert again.code == 0, again.stderr
        assert again.lines[0]["result"] == sent.lines[0]["result"] | {"deduplicated": True}
        assert up.run("audit", "verify").code == 0
        assert up.run("status", "--json").document["account"]["done"] == 2
        after = dotenv_values(settings_file)
    assert after["ANDON_AUDIT_KEY"] == settings["ANDON_AUDIT_KEY"]
    assert after["ANDON_CONCURRENCY"] == "1"


def test_secrets_are_in_private_files_and_nowhere_else(tmp_path: Path) -> None:
    """No password or key is in what it prints or in a command line; its files are its owner's."""
    with running(tmp_path) as up:
        settings = dotenv_values(tmp_path / ".andon" / "settings.env")
        registry = (tmp_path / ".andon" / "producers.toml").read_text()
        secrets = re.findall(r'secret = "(\w+)"', registry)
        secrets.append(str(settings["ANDON_AUDIT_KEY"]).partition(":")[2])
        for name in (
            "ANDON_DATABASE_URL",
            "ANDON_OWNER_DATABASE_URL",
            "ANDON_GATEWAY_DATABASE_URL",
            "ANDON_BROKER_URL",
        ):
            secrets += re.findall(r"//\w*:([^@]+)@", str(settings[name]))
        gateway = (tmp_path / ".andon" / "gateway.toml").read_text()
        secrets += re.findall(r'\["(\w{32,})"\]', gateway)
        assert len(secrets) == 8
        visible = up.output() + "".join(command for _, _, command in processes())
        assert [secret for secret in secrets if unquote(secret) in visible] == []
        if sys.platform == "linux":
            for pid in up.children().values():
                environment = Path(f"/proc/{pid}/environ").read_text()
                assert str(settings["ANDON_OWNER_DATABASE_URL"]) not in environment
            environment = Path(f"/proc/{up.children()['gateway']}/environ").read_text()
            for name in ("ANDON_DATABASE_URL", "ANDON_AUDIT_KEY"):
                assert str(settings[name]) not in environment
        for name in ("settings.env", "producers.toml", "gateway.toml", "gateway.header"):
            mode = (tmp_path / ".andon" / name).stat().st_mode
            assert stat.S_IMODE(mode) == 0o600


def test_the_alert_that_it_shows_opens_an_incident(tmp_path: Path) -> None:
    """The command line that is printed works as it stands, and says where the receipt is."""
    with running(tmp_path, "--sample") as up:
        url = wait_for(lambda: re.search(r"ready at (http://\S+)", up.output()), what="gateway")[1]
        assert f"{url}/v1/alertmanager" in up.output()
        sent = subprocess.run(
            [
                *("curl", "--silent", "-H", "@.andon/gateway.header", "-d", "@.andon/alert.json"),
                f"{url}/v1/alertmanager",
            ],
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
        (request,) = orjson.loads(sent.stdout)["requests"]

        def receipt() -> dict[str, Any]:
            asked = subprocess.run(
                [
                    *("curl", "--silent", "-H", "@.andon/gateway.header"),
                    url + request["receipt"],
                ],
                cwd=tmp_path,
                capture_output=True,
                check=True,
            )
            return dict(orjson.loads(asked.stdout))

        wait_for(lambda: receipt()["state"] != "pending", what="its decision")
        assert receipt()["result"] == {"incident_id": "1", "severity": "P1", "status": "open"}


def test_a_second_one_in_the_same_directory_says_so_and_ends(tmp_path: Path) -> None:
    """Exit 2, with the process id of the first, which goes on undisturbed."""
    with running(tmp_path, "--sample") as up:
        second = up.run("up")
        assert second.code == 2
        assert f"process {up.process.pid}" in second.stderr
        assert send_example(up).code == 0


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    """They could have put settings and programs there; exit 2, and nothing is started."""
    place = tmp_path / ".andon"
    place.mkdir()
    place.chmod(mode)
    refused = andon("up", settings={}, directory=tmp_path)
    assert refused.code == 2
    assert f"chmod 700 {place}" in refused.stderr
    assert list(place.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("by_link", [False, True])
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path, by_link: bool) -> None:
    """Also if only the link that leads to it is theirs."""
    place = tmp_path / ".andon"
    if by_link:
        (tmp_path / "ours").mkdir(mode=0o700)
        place.symlink_to("ours")
    else:
        place.mkdir(mode=0o700)
    os.chown(place, 65534, 65534, follow_symlinks=False)
    refused = andon("up", settings={}, directory=tmp_path)
    assert refused.code == 2
    assert "belongs to another user" in refused.stderr
    assert list(place.iterdir()) == []


def test_a_full_disk_ends_it_in_one_sentence_and_keeps_everything(tmp_path: Path) -> None:
    """No file may grow: exit 3, what is kept and what to do, no traceback; then all is there."""
    with running(tmp_path, "--sample") as started:
        assert send_example(started).code == 0
        assert started.stop() == 0
    full = finished(
        ["sh", "-c", f'ulimit -f 16; exec "{sys.executable}" -P -m console.app up'],
        settings={"PYTHONPATH": str(Path(__file__).parents[2])},
        directory=tmp_path,
    )
    said = full.stdout + full.stderr
    assert full.code == 3, said
    assert "Traceback" not in said
    assert f"The disk that holds {tmp_path / '.andon'} is full" in " ".join(full.stderr.split())
    assert "is kept there: make room, and start it again." in " ".join(full.stderr.split())
    with running(tmp_path) as started:
        assert started.run("incidents", "show", "1").code == 0
        assert started.run("audit", "verify").code == 0


def test_two_in_different_directories_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Each has its own incidents; stopping one leaves the other."""
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(running(tmp_path / name, "--sample")) for name in ("a", "b c")
        )
        assert send_example(first).code == 0
        assert second.run("incidents", "list", "--json").stdout == ""
        assert first.stop() == 0
        assert send_example(second).code == 0


def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    """It says so, and requests sent meanwhile are done."""
    with running(tmp_path, "--sample") as up:
        os.kill(up.children()["worker"], signal.SIGKILL)
        assert send_example(up).code == 0
        assert "ended (SIGKILL)" in up.output()


def test_a_server_that_dies_is_started_again(tmp_path: Path) -> None:
    """PostgreSQL and Redis come back where they were, with all that they held."""
    with running(tmp_path, "--sample") as up:
        assert send_example(up).code == 0
        for program, name in (("postgres", "PostgreSQL"), ("redis-server", "Redis")):
            os.kill(up.server(program), signal.SIGKILL)
            wait_for(lambda name=name: f"{name} had ended" in up.output(), what=f"{name} again")
            assert send_example(up).code == 0
        assert up.run("status").code == 0
        assert up.run("audit", "verify").code == 0


def test_nothing_outlives_one_that_was_killed(tmp_path: Path) -> None:
    """Its children end by themselves, and the next start finds everything in order."""
    with running(tmp_path, "--sample") as up:
        children = set(up.children().values())
        assert len(children) == 3
        os.kill(up.process.pid, signal.SIGKILL)
        up.process.wait()
        wait_for(
            lambda: not children & {pid for pid, _, _ in processes()},
            seconds=40,
            what="end of the children",
        )
    with running(tmp_path) as up:
        assert send_example(up).code == 0
        assert up.run("status").code == 0
