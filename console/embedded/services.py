"""Both servers together in one data directory, held by one process."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from console.embedded.errors import StartFailed
from console.embedded.lock import DirectoryLock
from console.embedded.postgres import Postgres, PostgresUrls
from console.embedded.redis import Redis


@dataclass(frozen=True, slots=True)
class Services:
    """Where the running servers are reached. The URLs contain passwords."""

    postgres: PostgresUrls
    redis_url: str


class Embedded:
    """PostgreSQL and Redis in one directory, kept over restarts.

    Args:
        directory: made if it is missing. Servers in different directories do not disturb each
            other.
        durable: see `Postgres`; Redis always writes everything to the disk.
    """

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self._directory = directory.absolute()
        self._lock = DirectoryLock(self._directory)
        self._postgres = Postgres(self._directory / "postgres", durable=durable)
        self._redis = Redis(self._directory / "redis")
        self._services: Services

    def start(self) -> Services:
        """Start both servers and wait until they answer.

        Servers that a killed process left behind here are stopped first.

        Raises:
            AlreadyRunning: a live process, which it names, holds the directory.
            Unavailable: a server program is missing on this machine.
            StartFailed: a server does not come up. None runs then.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock.acquire()
        with ExitStack() as on_failure:
            on_failure.callback(self.stop)
            self._services = Services(self._postgres.start(), self._redis.start())
            on_failure.pop_all()
        return self._services

    def restart_ended(self) -> list[str]:
        """Start servers again that have ended, though nobody stopped them.

        Returns:
            Their names.

        Raises:
            StartFailed: one does not come up, or not where it was.
        """
        ended: list[str] = []
        if self._postgres.pid is None:
            self._postgres.kill()
            ended.append("PostgreSQL")
            self._keep_place(self._postgres.start(), self._services.postgres)
        if self._redis.pid is None:
            self._redis.kill()
            ended.append("Redis")
            self._keep_place(self._redis.start(), self._services.redis_url)
        return ended

    def _keep_place(self, now: object, before: object) -> None:
        if now != before:
            raise StartFailed(
                f"A server in {self._directory} ended, and somebody has taken its port: start anew."
            )

    def stop(self) -> None:
        """Stop both servers in good order; nothing happens where none was started."""
        self._redis.stop()
        self._postgres.stop()
        self._lock.release()

    def __enter__(self) -> Services:
        """Start the servers; leaving the block stops them."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the servers."""
        self.stop()
