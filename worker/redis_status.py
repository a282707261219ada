"""What stands in the streams of Redis, for `andon status`."""

from dataclasses import dataclass
from typing import Any

import redis

from models.broker_faults import broker_words
from models.streams import Lane, StreamNames
from worker.broker_warnings import BrokerWarning, read_warnings
from worker.intake_status import BrokerStatus, ConsumerStatus, IntakeStatus, LaneStatus
from worker.redis_pending import SET_ASIDE

# Everything that was read and not acknowledged lies before the group's last-delivered id. That part
# is short, and is counted; what lies behind it may be long, and is the rest.
_LOOK = """
local function field(list, name)
  for i = 1, #list, 2 do
    if list[i] == name then return list[i + 1] end
  end
end

local function delivered_left(stream, last)
  local count, from = 0, '-'
  repeat
    local entries = redis.call('XRANGE', stream, from, last, 'COUNT', 500)
    count = count + #entries
    if #entries > 0 then from = '(' .. entries[#entries][1] end
  until #entries < 500
  return count
end

local lanes = {}
for _, stream in ipairs({KEYS[1], KEYS[2]}) do
  local length, added, pending, left = redis.call('XLEN', stream), 0, 0, 0
  if redis.call('EXISTS', stream) == 1 then
    added = field(redis.call('XINFO', 'STREAM', stream), 'entries-added')
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
      if field(group, 'name') == ARGV[1] then
        pending = field(group, 'pending')
        left = delivered_left(stream, field(group, 'last-delivered-id'))
      end
    end
  end
  table.insert(lanes, {added, length - left, pending, math.max(0, left - pending)})
end
return {lanes, redis.call('XLEN', KEYS[3]), redis.call('XLEN', KEYS[4])}
"""


@dataclass(frozen=True, slots=True)
class RedisGauge:
    """Implements ``worker.intake_status.Gauge``."""

    client: redis.Redis
    names: StreamNames

    def read_intake(self) -> IntakeStatus:
        """Everything at one moment."""
        return read_intake(self.client, self.names)

    def read_consumers(self) -> list[ConsumerStatus]:
        """The pool processes of all workers, the most recently active ones first."""
        return read_consumers(self.client, self.names)

    def read_warnings(self) -> list[BrokerWarning]:
        """What of the settings of Redis may cost requests."""
        return read_warnings(self.client, self.names)

    def read_broker(self) -> BrokerStatus:
        """How Redis is at this moment."""
        return read_broker(self.client, self.names)

    def close(self) -> None:
        """Close the connection."""
        self.client.close()


def read_intake(client: redis.Redis, names: StreamNames) -> IntakeStatus:
    """Read everything at one moment.

    Raises:
        redis.RedisError: Redis is out of reach.
    """
    keys = (*map(names.intake, Lane), names.outcomes, names.halts)
    reply: Any = client.eval_ro(_LOOK, len(keys), *keys, names.group)
    lanes, outcomes, halts = reply
    return IntakeStatus(
        lanes={
            lane: LaneStatus(
                accepted=added,
                undelivered=undelivered,
                pending=pending,
                orphans=orphans,
            )
            for lane, (added, undelivered, pending, orphans) in zip(Lane, lanes, strict=True)
        },
        outcomes=outcomes,
        halts=halts,
    )


def read_broker(client: redis.Redis, names: StreamNames) -> BrokerStatus:
    """How Redis is at this moment.

    Raises:
        redis.RedisError: it is out of reach.
    """
    reply: Any = client.time()
    clock = reply[0] + reply[1] / 1_000_000
    oldest: dict[Lane, float | None] = {}
    for lane in Lane:
        entries: Any = client.xrange(names.intake(lane), count=1)
        oldest[lane] = _age(entries[0][0], clock) if entries else None
    info = _info(client)
    return BrokerStatus(
        oldest_seconds=oldest,
        clock=clock,
        refuses=_refusal(client, names),
        memory_used=info.get("used_memory"),
        memory_limit=info.get("maxmemory") or None,
    )


def _info(client: redis.Redis) -> dict[str, Any]:
    """What Redis says of itself; nothing where this user may not ask."""
    try:
        info: Any = client.info()
    except redis.exceptions.NoPermissionError:
        return {}
    return dict(info)


def _refusal(client: redis.Redis, names: StreamNames) -> str | None:
    """Why Redis takes no writes.

    It is asked for a consumer group that is there already, or on a stream that is not there: Redis
    looks first whether it takes writes at all.
    """
    try:
        client.xgroup_create(names.intake(), names.group, id="0")
    except redis.exceptions.NoPermissionError:
        return None  # nobody who may ask
    except redis.ResponseError as error:
        return broker_words(error)
    return None


def _age(number: bytes, clock: float) -> float | None:
    """An entry's number begins with the milliseconds since 1970, unless its producer chose it."""
    seconds = clock - int(number.partition(b"-")[0]) / 1000
    return seconds if seconds >= 0 else None


def read_consumers(client: redis.Redis, names: StreamNames) -> list[ConsumerStatus]:
    """The pool processes of all workers, the most recently active ones first.

    Raises:
        redis.RedisError: Redis is out of reach.
    """
    found: dict[str, ConsumerStatus] = {}
    for lane in Lane:
        try:
            consumers: Any = client.xinfo_consumers(names.intake(lane), names.group)
        except redis.ResponseError:  # no stream or no group yet
            continue
        for consumer in consumers:
            name, idle = consumer["name"].decode(), consumer["idle"] / 1000
            if name == SET_ASIDE:
                continue
            other = found.get(name)
            found[name] = ConsumerStatus(
                name,
                consumer["pending"] + (other.pending if other else 0),
                min(idle, other.idle_seconds) if other else idle,
            )
    return sorted(found.values(), key=lambda consumer: consumer.idle_seconds)
