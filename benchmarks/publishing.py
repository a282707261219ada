"""How fast one producer publishes through the client: made, signed, and taken by the intake.

No worker runs. Every way publishes reports of the same size, on streams of its own.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import redis

from models.streams import Lane, StreamNames
from producers.async_client import AsyncClient
from producers.client import Client
from producers.procedures import Answer, Procedures

_NAMES = StreamNames("andon-bench-publishing")
_TASKS = 1_000
"""Calls of one program that wait at the same time."""


def requests_per_second(
    broker_url: str, requests: int, *, rounds: int = 3
) -> Mapping[str, tuple[float, ...]]:
    """Publish *requests* in each of the ways, *rounds* times, a tenth as many one by one.

    Returns:
        The rates of the rounds, by the name of the way.
    """
    return {
        name: tuple(count / _seconds(publish, broker_url, count) for _ in range(rounds))
        for name, publish, count in (
            ("client, one by one", _one_by_one, requests // 10),
            ("client, pipelined", _pipelined, requests),
            ("asyncio client, 1,000 tasks", _many_tasks, requests),
        )
    }


def _seconds(publish: Callable[[Client, int], None], broker_url: str, count: int) -> float:
    with redis.Redis.from_url(broker_url) as server:
        lane = _NAMES.intake(Lane.URGENT)
        server.delete(lane)
        client = Client(broker_url, source="bench", key_id="k", secret=bytes(32), names=_NAMES)
        client.position()  # which connects
        began = time.perf_counter()
        publish(client, count)
        took = time.perf_counter() - began
        client.close()
        published = server.xlen(lane)
        server.delete(lane)
    assert published == count, f"{published} of {count} arrived"
    return took


def _one_by_one(client: Client, count: int) -> None:
    for number in range(count):
        _report(client, number)


def _pipelined(client: Client, count: int) -> None:
    client.publish(_report(client.requests, number) for number in range(count))


def _many_tasks(client: Client, count: int) -> None:
    async def publish() -> None:
        async with AsyncClient(client) as together:
            for first in range(0, count, _TASKS):
                part = range(first, min(first + _TASKS, count))
                await asyncio.gather(*(_report(together, number) for number in part))

    asyncio.run(publish())


def _report(ask: Procedures[Answer], number: int) -> Answer:
    return ask.report_incident(
        title=f"Checkout answers slowly on node {number % 500}",
        category="performance",
        impact_level="high",
        urgency_level="high",
        client_id="acme",
        component_id="gateway",
        reporter_user_id="manager",
        detection_timestamp="2026-11-24T11:58:00Z",
        severity_flags={"p2_major_degradation_with_workaround": True},
        note="The 95th percentile has been above two seconds for five minutes.",
    )
