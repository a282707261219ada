"""The alert gateway: alerts accepted over HTTP, and processed by the worker beside it.

    python -m benchmarks.gateway

Every alert is distinct and mapped, and opens an incident of its own. Senders are connections that
each wait for their answer before they send again, as monitoring systems do. The load comes from
this process over raw sockets, with requests that were written before.
"""

import argparse
import asyncio
import json
import re
import socket
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import orjson
import redis
import uvloop

from benchmarks import world
from benchmarks.stage import SOURCE, WORKER, Stage, environment, process, stage, wait_until

SENDERS = 64
GROUP = 50
"""Alerts in one payload of Alertmanager's."""

_TOKEN = "benchmark-" + "0" * 30
_CONFIGURATION = f"""
[sources.{SOURCE}]
accepts = ["alertmanager"]
mapping = "mapping.toml"
bearer = ["{_TOKEN}"]
"""
_MAPPING = """
[defaults]
reporter_user_id = "41"
updated_by_user = "41"
category = "monitoring"

[[rules]]
name = "disks"
match = { alertname = "DiskFull" }
client_id = "1"
component_id = "1"
impact_level = "high"
urgency_level = "high"
severity = "P2"

[[rules]]
name = "latency"
match = { alertname = "HighLatency", severity = ["warning", "critical"] }
client_id = "{client}"
component_id = "{component}"
title = "{alertname} in {region}"
impact_level = { from = "severity", map = { critical = "high", warning = "medium" } }
urgency_level = { from = "severity", map = { critical = "high", warning = "medium" } }

[rules.severity_flags]
from = "severity"
map.critical = ["p2_major_degradation_with_workaround"]
map.warning = ["p3_localized_or_non_critical"]
"""
_LENGTH = re.compile(rb"content-length: (\d+)")


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement.

    Attributes:
        accepted: alerts a second, from the first request to the last 202.
        processed: alerts a second, from the first request to the last outcome.
        median_ms: of a call, in milliseconds.
        p99_ms: 99 of 100 calls took no longer.
    """

    accepted: float
    processed: float
    median_ms: float
    p99_ms: float


def measure(measured: Stage, *, alerts: int = 20_000, rounds: int = 3) -> dict[str, list[Round]]:
    """What the gateway does on this stage, with a worker of two pool processes beside it.

    Args:
        measured: where; its intake is empty.
        alerts: distinct ones in a round.
        rounds: of each kind.

    Returns:
        The rounds, by how the alerts were sent.
    """
    numbers = iter(range(10**9))
    with _gateway(measured) as port, process(["-c", WORKER], environment(measured.settings)):
        run = _Course(measured, port, numbers)
        run.round(1_000, group=1)  # everything is up and warm
        return {
            way: [run.round(alerts, group=group) for _ in range(rounds)]
            for way, group in (("single posts", 1), (f"payloads of {GROUP}", GROUP))
        }


@contextmanager
def _gateway(measured: Stage) -> Iterator[int]:
    """The gateway's port, while it runs."""
    with tempfile.TemporaryDirectory(prefix="andon-bench-gateway-") as name:
        directory = Path(name)
        (directory / "mapping.toml").write_text(_MAPPING)
        file = directory / "gateway.toml"
        file.write_text(_CONFIGURATION)
        file.chmod(0o600)
        port = _free_port()
        settings = environment(measured.settings) | {
            "ANDON_GATEWAY_FILE": str(file),
            "ANDON_GATEWAY_PORT": str(port),
        }
        with process(["-m", "console.app", "gateway"], settings):
            wait_until(lambda: _is_open(port), seconds=30)
            yield port


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _is_open(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


@dataclass(slots=True)
class _Course:
    """The rounds on one stage."""

    measured: Stage
    port: int
    numbers: Iterator[int]
    _redis: redis.Redis = field(init=False)

    def __post_init__(self) -> None:
        self._redis = self.measured.redis

    def _outcomes(self) -> int:
        return int(self._redis.xlen(self.measured.settings.streams.outcomes))

    def round(self, alerts: int, *, group: int) -> Round:
        """One measurement, with *group* alerts in a payload."""
        calls = [
            _request([next(self.numbers) for _ in range(group)]) for _ in range(alerts // group)
        ]
        before = self._outcomes()
        began = time.perf_counter()
        taken = uvloop.run(_send(self.port, deque(calls)))
        answered = time.perf_counter() - began
        wait_until(lambda: self._outcomes() >= before + alerts)
        processed = time.perf_counter() - began
        taken.sort()
        return Round(
            accepted=alerts / answered,
            processed=alerts / processed,
            median_ms=taken[len(taken) // 2] * 1000,
            p99_ms=taken[len(taken) * 99 // 100] * 1000,
        )


def _request(numbers: Sequence[int]) -> bytes:
    body = orjson.dumps(
        {
            "version": "4",
            "groupKey": "{}:{}",
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "andon",
            "groupLabels": {},
            "commonLabels": {},
            "commonAnnotations": {},
            "externalURL": "http://alertmanager:9093",
            "alerts": [_alert(number) for number in numbers],
        }
    )
    head = (
        "POST /v1/alertmanager HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {_TOKEN}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _alert(number: int) -> dict[str, object]:
    return {
        "status": "firing",
        "labels": {
            "alertname": "HighLatency",
            "severity": ("critical", "warning")[number % 2],
            "client": str(number % world.CLIENTS + 1),
            "component": str(number % world.COMPONENTS + 1),
            "region": f"eu-{number}",
            "instance": f"10.0.0.{number % 250}:9100",
            "job": "checkout",
        },
        "annotations": {
            "summary": f"Checkout answers slowly in region eu-{number}",
            "description": "The 99th percentile is above 2 s for five minutes.",
        },
        "startsAt": "2026-11-24T10:00:00.000Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=latency",
        "fingerprint": f"{number:016x}",
    }


async def _send(port: int, calls: deque[bytes]) -> list[float]:
    """Send all *calls*, and wait for their answers; how many seconds each took."""
    loop = asyncio.get_running_loop()
    taken: list[float] = []
    senders = []
    for _ in range(min(SENDERS, len(calls))):
        _, sender = await loop.create_connection(lambda: _Sender(calls, taken), "127.0.0.1", port)
        senders.append(sender)
    await asyncio.gather(*(sender.done for sender in senders))
    return taken


class _Sender(asyncio.Protocol):
    """One connection: the next call goes out when the last one is answered."""

    def __init__(self, calls: deque[bytes], taken: list[float]) -> None:
        self._calls = calls
        self._taken = taken
        self._received = b""
        self._began = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop has a class of its own
        self._next()

    def _next(self) -> None:
        if not self._calls:
            self._transport.close()
            self.done.set_result(None)
            return
        self._received = b""
        self._began = time.perf_counter()
        self._transport.write(self._calls.popleft())

    def data_received(self, data: bytes) -> None:
        """Go on when the whole answer is there."""
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        if not head.startswith(b"HTTP/1.1 202"):
            self.done.set_exception(RuntimeError(self._received.decode()))
            return
        length = _LENGTH.search(head)
        assert length is not None
        if len(body) == int(length[1]):
            self._taken.append(time.perf_counter() - self._began)
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """A call that was not answered fails the measurement."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("the gateway hung up"))


def main() -> None:
    """Measure on a stage of its own, and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--alerts", type=int, default=20_000, help="distinct alerts a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--appendfsync", choices=("always", "everysec"), default="always")
    options = parser.parse_args()
    with stage(options.appendfsync) as measured:
        found = measure(measured, alerts=options.alerts, rounds=options.rounds)
    document = {way: [asdict(one) for one in rounds] for way, rounds in found.items()}
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
