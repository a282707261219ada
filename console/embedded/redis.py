"""A real Redis (or Valkey) in one directory, on a loopback port, each accepted write on the disk.

No single URL names a unix socket to both redis-py (`unix://`) and kombu (`redis+socket://`), so the
server listens on 127.0.0.1, on a port of its own that it keeps while it is free, and asks for a
random password.
"""

import os
import secrets
import signal
from contextlib import suppress
from pathlib import Path
from typing import Literal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from console.embedded.binaries import REDIS_NAMES, redis_server
from console.embedded.errors import StartFailed
from console.embedded.lock import DirectoryLock
from console.embedded.memory import recall, remember, write_private
from console.embedded.ports import LOOPBACK, run_on_free_port
from console.embedded.process import ServerProcess

_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


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
            Unavailable: this machine has no redis-server that is young enough.
            StartFailed: the server does not come up; it may not read what another one kept here.
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
        memory_file = self._directory / "memory.json"
        memory = recall(memory_file)
        writer = memory.get("server") or str(binary)
        password = memory.get("password") or secrets.token_urlsafe(24)

        def run(port: int) -> str:
            kept = {"password": password, "port": str(port)}
            remember(memory_file, kept | {"server": writer})
            write_private(self._directory / "redis.conf", self._configuration(port, password))
            self._server.launch([binary, "redis.conf"], account=None)
            url = f"redis://default:{password}@{LOOPBACK}:{port}/0"
            with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as client:
                self._server.wait_until(lambda: _answers(client))
            remember(memory_file, kept | {"server": str(binary)})
            return url

        try:
            return run_on_free_port(memory.get("port"), run)
        except StartFailed as failed:
            if writer == str(binary):
                raise
            raise StartFailed(
                f"{binary} may not be able to read what {writer} has kept in {self._directory}."
                " Have that one taken again (the first redis-server or valkey-server on the PATH"
                " is); repair no file, or accepted requests are lost.\n" + str(failed)
            ) from failed

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
maxmemory {_memory_limit()}
maxmemory {_half_of_memory()}
maxmemory-policy noeviction
# An event has 256 KiB at most.
proto-max-bulk-len 1mb
"""


def _memory_limit() -> int:
    """Half of the machine's memory, in bytes: producers are refused before the system kills it."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _half_of_memory() -> int:
    """Half of what this machine, or this container, has; the other half is for all the rest."""
    bytes_there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no such file outside of a container, or "max" in it
        bytes_there = min(bytes_there, int(_CONTAINER_LIMIT.read_text()))
    return bytes_there // 2


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:  # not listening yet, or still loading its file
        return False
