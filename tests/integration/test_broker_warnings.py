"""A Redis that is too old, or set up to lose requests, is told of wherever somebody looks."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from console.embedded import PostgresUrls, Redis
from tests.support.installation import make_installation
from tests.support.shell import andon
from tests.support.waiting import wait_for
from tests.support.workers import running

LOSING = {"appendonly": "no", "maxmemory-policy": "allkeys-lru", "maxmemory": "0"}


def test_settings_that_lose_requests_are_told(database: PostgresUrls, tmp_path: Path) -> None:
    """The worker logs each when it starts, and `andon status` shows it, until it is put right."""
    server = Redis(tmp_path / "redis")
    url = server.start()
    installation = make_installation(database, url, tmp_path)
    settings = installation.environment()
    try:
        sound = andon("status", "--json", settings=settings, directory=tmp_path)
        assert sound.document["warnings"] == []
        with redis.Redis.from_url(url) as client:
            for name, value in LOSING.items():
                client.config_set(name, value)
        found = andon("status", "--json", settings=settings, directory=tmp_path)
        codes = {warning["code"] for warning in found.document["warnings"]}
        assert codes == {"not_append_only", "may_evict", "no_memory_limit"}
        assert "a restart of it loses accepted requests" in found.stderr
        with running(settings, tmp_path) as worker:
            wait_for(
                lambda: all(f"redis_{code}" in worker.output() for code in codes),
                what="the worker's warnings",
            )
    finally:
        installation.close()
        server.stop()


def test_a_redis_that_is_too_old_is_named(database: PostgresUrls, tmp_path: Path) -> None:
    """Status and a worker that starts say in one sentence which version is needed; exit 3."""
    server = Redis(tmp_path / "redis")
    url = server.start()
    with said_to_be_old(url) as old:
        installation = make_installation(database, old, tmp_path)
        try:
            for command in ("status", "worker"):
                found = andon(command, settings=installation.environment(), directory=tmp_path)
                assert found.code == 3
                assert "too old for the intake: Redis 7.0 or Valkey 7.2 is needed" in found.stderr
                assert "Traceback" not in found.stderr
        finally:
            installation.close()
            server.stop()


@contextmanager
def said_to_be_old(url: str) -> Iterator[str]:
    """The same Redis by way of a proxy in whose replies the version is 6."""
    port = int(url.rpartition(":")[2].partition("/")[0])
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    near, _ = listening.accept()
                    far = socket.create_connection(("127.0.0.1", port))
                    for pair in ((near, far), (far, near)):
                        threading.Thread(target=carry, args=pair, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield url.replace(f":{port}/", f":{listening.getsockname()[1]}/")


def carry(source: socket.socket, target: socket.socket) -> None:
    """Carry everything over; a reply to INFO comes whole, and with another version in it."""
    with suppress(OSError), source, target:
        while part := source.recv(1 << 20):
            target.sendall(part.replace(b"redis_version:7", b"redis_version:6"))
