"""What a Redis says of itself that an intake cannot do with: its version, and its settings.

RabbitMQ has no such settings: what its queues promise is declared with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis

from models.streams import Lane, StreamNames

OLDEST = 7
"""The major version of Redis from which streams count what is added; Valkey 7.2 says 7 as well."""

_AHEAD_SECONDS = 86_400
"""A clock that is put back by less is no sign of tampering."""


class BrokerTooOld(redis.ConnectionError):
    """The intake's Redis is of a version that cannot serve; the message says which."""


@dataclass(frozen=True, slots=True)
class BrokerWarning:
    """One thing about the intake's Redis that may cost requests.

    Attributes:
        code: a name for programs.
        text: what is the matter and what to do, in one sentence.
    """

    code: str
    text: str


def read_warnings(client: redis.Redis, names: StreamNames) -> list[BrokerWarning]:
    """Ask a Redis what it is and where its lanes stand, and say what of that may cost requests.

    Raises:
        BrokerTooOld: its version cannot serve.
        redis.RedisError: it does not answer, or does not let this user ask.
    """
    info: Mapping[str, Any] = client.info()
    if (fault := version_fault(info)) is not None:
        raise BrokerTooOld(fault)
    return warnings_of(info) + _lanes_ahead(client, names)


def version_fault(info: Mapping[str, Any]) -> str | None:
    """Why a Redis of this version cannot serve; None if it can."""
    version = str(info["redis_version"])
    if int(version.partition(".")[0]) >= OLDEST:
        return None
    return f"Redis {version} is too old for the intake: Redis 7.0 or Valkey 7.2 is needed."


def warnings_of(info: Mapping[str, Any]) -> list[BrokerWarning]:
    """What of the reply to INFO may cost requests."""
    found = []
    if not info["aof_enabled"]:
        found.append(
            BrokerWarning(
                "not_append_only",
                "Redis keeps no append-only file, so a restart of it loses accepted requests:"
                " set appendonly yes.",
            )
        )
    elif info["aof_last_write_status"] != "ok":
        found.append(
            BrokerWarning(
                "append_only_file_fails",
                "Redis cannot write its append-only file: look at its disk and its log.",
            )
        )
    if info["maxmemory_policy"] != "noeviction":
        found.append(
            BrokerWarning(
                "may_evict",
                f"Redis may evict accepted requests (maxmemory-policy {info['maxmemory_policy']}):"
                " set maxmemory-policy noeviction.",
            )
        )
    if info.get("evicted_keys"):
        found.append(
            BrokerWarning(
                "has_evicted",
                f"Redis has evicted {info['evicted_keys']:,} keys since its start; accepted"
                " requests may have been among them.",
            )
        )
    if not info["maxmemory"]:
        found.append(
            BrokerWarning(
                "no_memory_limit",
                "Redis has no memory limit, so a full intake ends in it being killed:"
                " set maxmemory.",
            )
        )
    if info["role"] != "master":
        found.append(
            BrokerWarning("replica", "Redis is a replica, which takes no writes: name its primary.")
        )
    return found


def _lanes_ahead(client: redis.Redis, names: StreamNames) -> list[BrokerWarning]:
    """Lanes whose newest number is far in the future: a producer chose it.

    The numbers that Redis gives out come after it, and after the largest one there is none.
    """
    seconds, _ = client.time()
    found = []
    for lane in Lane:
        stream = names.intake(lane)
        if not client.exists(stream):
            continue
        newest = client.xinfo_stream(stream)["last-generated-id"].decode()
        if int(newest.partition("-")[0]) > (seconds + _AHEAD_SECONDS) * 1000:
            found.append(
                BrokerWarning(
                    "lane_ahead",
                    f"Somebody has added an entry to {stream} under a number of the future,"
                    f" {newest}, and Redis may have none left to give out: docs/rights.md says how"
                    " to put it right.",
                )
            )
    return found
