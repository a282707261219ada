"""The gateway killed and stopped under load: what it answered for is there, and there once."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlsplit

import orjson
import pytest
import redis

from tests.support.gateways import (
    alert,
    alertmanager_payload,
    bearer,
    gateway_environment,
    gateway_running,
    port_kept,
)
from tests.support.installation import Installation
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.support.workers import running

SENDERS = 6
KILLS = 5
BETWEEN_KILLS = 150
"""Acknowledged calls."""


@dataclass(slots=True)
class Senders:
    """Senders that repeat a call until it is answered with 202, as Alertmanager does."""

    url: str
    acknowledged: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    repeated: int = 0
    refused: list[int] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """One sender, until it is told to stop; it gives up on no call."""
        while not self._stop.is_set():
            name = f"alert-{next(self._numbers)}"
            self.sent.append(name)
            body = orjson.dumps(alertmanager_payload(alert(name, fingerprint=name)))
            connection = self._connect()
            while not self._is_taken(connection, body):
                self.repeated += 1
                connection.close()
                time.sleep(0.02)
                connection = self._connect()
            connection.close()
            self.acknowledged.append(name)

    def _connect(self) -> http.client.HTTPConnection:
        place = urlsplit(self.url)
        assert place.hostname is not None
        return http.client.HTTPConnection(place.hostname, place.port, timeout=120)

    def _is_taken(self, connection: http.client.HTTPConnection, body: bytes) -> bool:
        try:
            connection.request("POST", "/v1/alertmanager", body, bearer())
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return False
        if status not in (202, 503):
            self.refused.append(status)
        return status == 202

    def stop(self) -> None:
        """Ask all to stop behind the call they have in hand."""
        self._stop.set()


@contextmanager
def sending(url: str) -> Iterator[Senders]:
    """Load for the time of a block; behind it every call was acknowledged."""
    senders = Senders(url)
    threads = [threading.Thread(target=senders.run, daemon=True) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    yield senders
    senders.stop()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a call is still not acknowledged"


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_gateway_that_ends_under_load_loses_and_doubles_nothing(
    installation: Installation, broker: redis.Redis, how: str
) -> None:
    """However often it is killed or stopped, each alert opens one incident; calls are repeated."""
    directory = installation.directory
    traffic = Traffic(broker)
    with port_kept() as port, running(installation.environment(), directory):
        environment = gateway_environment(installation, ANDON_GATEWAY_PORT=str(port))
        with sending(f"http://127.0.0.1:{port}") as senders:
            for _ in range(KILLS):
                with gateway_running(environment, directory) as gateway:
                    goal = len(senders.acknowledged) + BETWEEN_KILLS
                    wait_for(
                        lambda goal=goal: len(senders.acknowledged) >= goal,
                        what="calls acknowledged",
                    )
                    if how == "kill":
                        gateway.process.kill()
                    else:
                        assert gateway.process.terminate() == 0
            with gateway_running(environment, directory):
                senders.stop()
                wait_for(
                    lambda: len(senders.acknowledged) == len(senders.sent),
                    what="every call acknowledged",
                )
        traffic.wait_until_empty()
    assert senders.refused == []
    assert senders.repeated > 0, "no end of the gateway has met a call"
    opened = Counter(key for (key,) in installation.rows("SELECT dedup_key FROM incidents"))
    assert opened == Counter(senders.acknowledged)
    assert installation.rows("SELECT FROM halts") == []
