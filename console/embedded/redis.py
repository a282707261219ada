"""A real Redis (or Valkey) in one directory, on a loopback port, each accepted write on the disk.

No single URL names a unix socket to both redis-py (`unix://`) and kombu (`redis+socket://`), so the
server listens on 127.0.0.1, on a port of its own that it keeps while it is free, and asks for a
random password.
"""

import re
import secrets
import signal
import subprocess
from pathlib import Path
from typing import Literal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from console.embedded.binaries import REDIS_NAMES, redis_server
from console.embedded.errors import Unavailable
from console.embedded.lock import DirectoryLock
from console.embedded.memory import recall, remember, write_private
from console.embedded.ports import LOOPBACK, run_on_free_port
from console.embedded.process import ServerProcess, clean_environment

_SINCE_7 = "appendonlydir"
"""Where Redis 7 and later, and Valkey, keep what they hold; older ones look for one file."""


def version_of(binary: Path) -> int:
    """The major version of a redis-server or valkey-server.

    Raises:
        Unavailable: it does not say.
    """
    said = subprocess.run(
        [binary, "--version"], env=clean_environment(), capture_output=True, text=True, check=False
    )
    found = re.search(r"\bv=(\d+)\.", said.stdout)
    if found is None:
        raise Unavailable(f"{binary} does not say which version it is: {said.stdout.strip()}")
    return int(found[1])


class Redis:
    """One Redis server in one directory.

    Args:
        directory: made if it is missing; nothing else may live in it.
        appendfsync: when writes reach the disk. With "everysec" a crash may take up to a second of
            accepted requests.
    """

    def __init__(
        self, directory: Path, *, appendfsync: Literal["always", "everysec"] = "always"
    ) -> None:
        self._directory = directory.absolute()
        self._appendfsync = appendfsync
        self._lock = DirectoryLock(self._directory)
        self._server = ServerProcess(
            self._directory,
            names=REDIS_NAMES,
            pid_file=self._directory / "redis.pid",
            log=self._directory / "server.log",
        )

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return self._server.pid

    def start(self) -> str:
        """Start the server and wait until it answers; what it held is there again.

        A server that a killed process left behind here is stopped first.

        Returns:
            A URL that redis-py and kombu accept. It contains the password.

        Raises:
            AlreadyRunning: a live process holds the directory.
            Unavailable: this machine has no redis-server, or one that does not fit the directory.
            StartFailed: the server does not come up.
        """
        binary = redis_server()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        self._lock.acquire()
        try:
            self._server.stop(signal.SIGTERM)
            return self._start(binary)
        except BaseException:
            self._server.kill()
            self._lock.release()
            raise

    def stop(self) -> None:
        """End the server in good order and wait for it; nothing happens where none was started."""
        if self._lock.held:
            self._server.stop(signal.SIGTERM)
            self._lock.release()

    def kill(self) -> None:
        """End the server at once, as a crash would; nothing happens where none was started."""
        if self._lock.held:
            self._server.kill()
            self._lock.release()

    def _start(self, binary: Path) -> str:
        self._check_version(binary)
        memory_file = self._directory / "memory.json"
        memory = recall(memory_file)
        password = memory.get("password") or secrets.token_urlsafe(24)

        def run(port: int) -> str:
            remember(memory_file, {"password": password, "port": str(port)})
            write_private(self._directory / "redis.conf", self._configuration(port, password))
            self._server.launch([binary, "redis.conf"], account=None)
            url = f"redis://default:{password}@{LOOPBACK}:{port}/0"
            with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as client:
                self._server.wait_until(lambda: _answers(client))
            return url

        return run_on_free_port(memory.get("port"), run)

    def _check_version(self, binary: Path) -> None:
        """Refuse a server that would not see what is kept here, and begin with an empty intake."""
        kept = self._directory / _SINCE_7
        if kept.exists() and (version := version_of(binary)) < 7:
            raise Unavailable(
                f"{kept} was written by Redis 7 or later, and {binary} is version {version}: it"
                " would not see what is kept there, and accepted requests would be lost. Start it"
                " with the Redis that it was last started with (the first redis-server or"
                " valkey-server on the PATH is taken)"
            )

    def _configuration(self, port: int, password: str) -> str:
        return f"""\
# Written anew at every start.
bind {LOOPBACK}
port {port}
requirepass {password}
daemonize no
dir .
pidfile redis.pid
appendonly yes
appendfsync {self._appendfsync}
save ""
maxmemory-policy noeviction
# An event has 256 KiB at most.
proto-max-bulk-len 1mb
"""


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:  # not listening yet, or still loading its file
        return False
