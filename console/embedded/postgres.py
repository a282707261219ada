"""A real PostgreSQL in one directory, on a unix socket, or a loopback port if its path is too long.

Every login needs its password (SCRAM). PostgreSQL refuses to run as root; root's server runs as
`nobody`.
"""

import os
import secrets
import signal
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from console.embedded.account import Account
from console.embedded.binaries import POSTGRES_MAJOR, postgres_home, readable_home
from console.embedded.cluster import SUPERUSER, make_cluster, path_for
from console.embedded.errors import Unavailable
from console.embedded.lock import DirectoryLock
from console.embedded.memory import recall, remember
from console.embedded.ports import LOOPBACK, run_on_free_port
from console.embedded.process import ServerProcess

DATABASE = "andon"
OWNER = "andon_owner"
WORKER = "andon_worker"
GATEWAY = "andon_gateway"

_INSTALLED = Path(__file__).with_name("rights.sql")
_RIGHTS = (
    _INSTALLED
    if _INSTALLED.exists()
    else Path(__file__).parents[2] / "deploy" / "postgresql" / "rights.sql"
)
"""Which the wheel has beside this module, and a checkout where every other server finds it."""

_SOCKET_PORT = 5432
_SOCKET_PATH_BYTES = 103
"""What every system takes: Linux allows 107 bytes, macOS 103."""


@dataclass(frozen=True, slots=True)
class PostgresUrls:
    """One database, as SQLAlchemy URLs for psycopg 3. They contain passwords."""

    owner: str
    """For migrations and the directory: owns the database and what is in it."""
    worker: str
    """For the worker: may connect, and do what the owner grants."""
    gateway: str
    """For the gateway, likewise."""
    superuser: str
    """For tests and repairs."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a server listens, as libpq names it."""

    host: str
    port: int


class Postgres:
    """One PostgreSQL server in one directory.

    Args:
        directory: made if it is missing; nothing else may live in it.
        durable: whether a commit waits for the disk. Without, a crash of the machine (not of the
            server) may ruin the database: for tests only.
    """

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self._directory = directory.absolute()
        self._data = self._directory / "data"
        self._durable = durable
        self._lock = DirectoryLock(self._directory)
        self._place: _Place | None = None
        self._passwords: dict[str, str] = {}
        self._server = ServerProcess(
            self._data,
            names=("postgres",),
            pid_file=self._data / "postmaster.pid",
            log=self._directory / "server.log",
        )

    @property
    def pid(self) -> int | None:
        """The server's main process, while it runs."""
        return self._server.pid

    def start(self) -> PostgresUrls:
        """Start the server and wait until it answers.

        The first start makes the cluster, its roles and its database. A server that a killed
        process left behind here is stopped first.

        Raises:
            AlreadyRunning: a live process holds the directory.
            Unavailable: this machine has no PostgreSQL, or one that does not fit the directory, or
                may not run it.
            StartFailed: the server does not come up.
        """
        home = postgres_home()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        self._lock.acquire()
        try:
            self._server.stop(signal.SIGINT)
            return self._start(home)
        except BaseException:
            self._server.kill()
            self._lock.release()
            raise

    def stop(self) -> None:
        """End the server in good order and wait for it; nothing happens where none was started."""
        if self._lock.held:
            self._server.stop(signal.SIGINT)
            self._lock.release()

    def kill(self) -> None:
        """End the server and its backends at once, as a crash would, if one was started."""
        if self._lock.held:
            self._server.kill()
            self._lock.release()

    def create_database(self, name: str) -> PostgresUrls:
        """Make a further database with the same owner and the same rights.

        Raises:
            RuntimeError: the server was not started.
            psycopg.errors.DuplicateDatabase: there is one of this name.
        """
        database = sql.Identifier(name)
        with self._connect() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(database, sql.Identifier(OWNER))
            )
        self._limit_rights(name)
        return self._urls(name)

    def _start(self, home: Path) -> PostgresUrls:
        memory_file = self._directory / "memory.json"
        memory = recall(memory_file)
        self._passwords = {
            role: memory.get(role) or secrets.token_urlsafe(24)
            for role in (SUPERUSER, OWNER, WORKER, GATEWAY)
        }
        remember(memory_file, memory | self._passwords)

        account = self._account()
        if account is not None:
            home = readable_home(home)
        if not self._data.exists():
            make_cluster(
                home, self._data, self._passwords[SUPERUSER], account=account, durable=self._durable
            )
        self._check_version()

        if len(os.fsencode(self._data / f".s.PGSQL.{_SOCKET_PORT}")) <= _SOCKET_PATH_BYTES:
            self._run(home, _Place(str(self._data), _SOCKET_PORT), account)
        else:

            def run(port: int) -> None:
                remember(memory_file, memory | self._passwords | {"port": str(port)})
                self._run(home, _Place(LOOPBACK, port), account)

            run_on_free_port(memory.get("port"), run)
        self._ensure_database()
        return self._urls(DATABASE)

    def _account(self) -> Account | None:
        """Who runs root's server: the cluster's owner, for a new one `nobody`."""
        if os.geteuid() != 0:
            return None
        return Account.owning(self._data) if self._data.exists() else Account.unprivileged()

    def _check_version(self) -> None:
        found = (self._data / "PG_VERSION").read_text().strip()
        if found != str(POSTGRES_MAJOR):
            raise Unavailable(
                f"{self._data} was made by PostgreSQL {found}, andon brings {POSTGRES_MAJOR}: "
                "move the data with pg_dump, or begin in another directory"
            )

    def _run(self, home: Path, place: _Place, account: Account | None) -> None:
        # What a crash left is removed, since no server works here now: PostgreSQL would refuse to
        # start where an id in these files has meanwhile gone to another process.
        for stale in (
            "postmaster.pid",
            f".s.PGSQL.{_SOCKET_PORT}",
            f".s.PGSQL.{_SOCKET_PORT}.lock",
        ):
            (self._data / stale).unlink(missing_ok=True)
        self._place = place
        data = path_for(self._data, account)
        socket = place.host != LOOPBACK
        settings = {
            "listen_addresses": "" if socket else LOOPBACK,
            "port": str(place.port),
            "unix_socket_directories": data if socket else "",
            "unix_socket_permissions": "0700",
            "shared_buffers": "128MB",
            "max_connections": "100",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # Details and parameters of a failing statement quote rows: names, titles.
            "log_error_verbosity": "terse",
            "log_min_error_statement": "panic",
            "log_parameter_max_length": "0",
            "log_parameter_max_length_on_error": "0",
            "fsync": "on" if self._durable else "off",
            "full_page_writes": "on" if self._durable else "off",
        }
        options = [
            argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")
        ]
        self._server.launch([home / "bin" / "postgres", "-D", data, *options], account=account)
        self._server.wait_until(self._answers)

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:  # not listening yet, or still recovering
            return False
        return True

    def _connect(self, database: str = "postgres") -> psycopg.Connection:
        """A connection as superuser, each statement committed by itself."""
        if self._place is None:
            raise RuntimeError(f"PostgreSQL in {self._directory} was not started")
        return psycopg.connect(
            host=self._place.host,
            port=self._place.port,
            user=SUPERUSER,
            password=self._passwords[SUPERUSER],
            dbname=database,
            connect_timeout=5,
            autocommit=True,
        )

    def _ensure_database(self) -> None:
        """Make the roles and the database that are missing, be it after a start cut short."""
        with self._connect() as connection:
            roles = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
            for role in sorted({OWNER, WORKER, GATEWAY} - roles):
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                        sql.Identifier(role), sql.Literal(self._passwords[role])
                    )
                )
            databases = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        if DATABASE not in databases:
            self.create_database(DATABASE)
        self._limit_rights(DATABASE)
        with self._connect() as connection:  # nobody but the superuser needs the others
            connection.execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")

    def _limit_rights(self, name: str) -> None:
        """Let worker and gateway connect to a database, and do there what they need alone."""
        with self._connect(name) as connection:
            connection.execute(_RIGHTS.read_bytes())

    def _urls(self, database: str) -> PostgresUrls:
        return PostgresUrls(
            owner=self._url(OWNER, database),
            worker=self._url(WORKER, database),
            gateway=self._url(GATEWAY, database),
            superuser=self._url(SUPERUSER, database),
        )

    def _url(self, role: str, database: str) -> str:
        if self._place is None:
            raise RuntimeError(f"PostgreSQL in {self._directory} was not started")
        login = f"postgresql+psycopg://{role}:{self._passwords[role]}"
        if self._place.host == LOOPBACK:
            return f"{login}@{LOOPBACK}:{self._place.port}/{quote(database, safe='')}"
        host = quote(self._place.host, safe="/")
        return f"{login}@/{quote(database, safe='')}?host={host}&port={self._place.port}"
