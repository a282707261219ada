"""What a worker's main process does for its dead pool processes: it lets others have their entries.

Without it they would be taken over only when they have been idle for a while.
"""

import os
from datetime import timedelta
from typing import Any

import redis

from models.streams import StreamNames
from worker.redis_intake import LANES, pool_prefix
from worker.redis_pending import AT_ONCE, milliseconds


def release_entries_of_dead(client: redis.Redis, names: StreamNames, idle: timedelta) -> bool:
    """Let others have at once what dead pool processes of this worker (its main process) hold.

    Being delivered to a process that died is not counted here: it was counted when it happened.

    Returns:
        Whether they held anything.
    """
    prefix = pool_prefix(os.getpid())
    found = False
    for lane in LANES:
        stream = names.intake(lane)
        consumers: Any = client.xinfo_consumers(stream, names.group)
        for consumer in consumers:
            name = consumer["name"].decode()
            if consumer["pending"] and name.startswith(prefix) and _is_dead(name, prefix):
                _make_claimable(client, stream, names.group, name, idle)
                found = True
    return found


def _is_dead(consumer: str, prefix: str) -> bool:
    try:
        os.kill(int(consumer.removeprefix(prefix).partition("-")[0]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's, who has got its number
        return True
    return False


def _make_claimable(
    client: redis.Redis, stream: str, group: str, consumer: str, idle: timedelta
) -> None:
    after = "-"
    while True:
        pending: Any = client.xpending_range(stream, group, after, "+", AT_ONCE, consumer)
        numbers = [entry["message_id"] for entry in pending]
        if not numbers:
            return
        client.xclaim(stream, group, consumer, 0, numbers, idle=2 * milliseconds(idle), justid=True)
        after = f"({numbers[-1].decode()}"
