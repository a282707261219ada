"""A real Redis with the users of deploy/redis, set up as docker-compose.yml does it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import redis

from console.embedded.binaries import redis_server
from console.embedded.ports import LOOPBACK, run_on_free_port
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
PASSWORDS = {
    "admin": "REDIS_PASSWORD",
    "worker": "REDIS_WORKER_PASSWORD",
    "gateway": "REDIS_GATEWAY_PASSWORD",
    "producer": "REDIS_PRODUCER_PASSWORD",
    "reader": "REDIS_READER_PASSWORD",
    "monitor": "REDIS_MONITOR_PASSWORD",
}


@dataclass(frozen=True, slots=True)
class RedisUsers:
    """The server, as each of its users reaches it."""

    port: int

    def url(self, user: str) -> str:
        """The broker URL of a user."""
        return f"redis://{user}:password-of-{user}@{LOOPBACK}:{self.port}/0"

    def client(self, user: str) -> redis.Redis:
        """A connection of a user's."""
        return redis.Redis.from_url(self.url(user))


@contextmanager
def redis_with_users(directory: Path) -> Iterator[RedisUsers]:
    """A Redis in *directory* for the time of a block; what it keeps stays for the next one."""
    file = directory / "users.acl"
    secrets = {variable: f"password-of-{user}" for user, variable in PASSWORDS.items()}
    subprocess.run(
        [ROOT / "deploy/redis/make-users.sh", file], env=os.environ | secrets, check=True
    )

    def start(port: int) -> tuple[int, subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [
                *(redis_server(), "--bind", LOOPBACK, "--port", str(port), "--dir", directory),
                *("--aclfile", file, "--appendonly", "yes", "--appendfsync", "everysec"),
                *("--save", "", "--maxmemory", "1gb"),
            ],
            stdout=subprocess.DEVNULL,
        )
        return port, process

    port, process = run_on_free_port(None, start)
    users = RedisUsers(port)

    def answers() -> bool:
        with suppress(redis.ConnectionError), users.client("admin") as client:
            return bool(client.ping())
        return False

    try:
        wait_for(answers, what="Redis answers")
        yield users
    finally:
        process.terminate()
        process.wait(10)
