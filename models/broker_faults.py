"""What a broker's refusal means, in words for whoever has to mend it."""

import redis
from amqp.exceptions import AccessRefused, AMQPError, NotFound, PreconditionFailed, ResourceLocked

from models.rabbitmq import Blocked, Rejected

_REDIS_WORDS = {
    "READONLY": "Redis is a replica and takes no writes (READONLY)",
    "UNBLOCKED": "Redis has become a replica (UNBLOCKED)",
    "OOM": "Redis has reached its maxmemory and takes no writes (OOM)",
    "MISCONF": "Redis cannot save to its disk and takes no writes (MISCONF)",
    "NOREPLICAS": "Redis has too few replicas and takes no writes (NOREPLICAS)",
    "LOADING": "Redis is still loading what it kept (LOADING)",
    "MASTERDOWN": "Redis is a replica whose primary is away (MASTERDOWN)",
    "CLUSTERDOWN": "The Redis cluster is down (CLUSTERDOWN)",
    "MOVED": "Redis is a cluster, which Andon does not speak to (MOVED)",
    "NOAUTH": "Redis asks for a password (NOAUTH)",
    "WRONGPASS": "Redis refuses the user or the password (WRONGPASS)",
    "NOPERM": "The user lacks a right in Redis (NOPERM)",
    "BUSY": "Redis is busy with a script (BUSY)",
    "UNKILLABLE": "Redis is busy with a script (UNKILLABLE)",
}
_AMQP_WORDS = (
    (Blocked, "RabbitMQ takes nothing more: a memory or disk alarm (connection.blocked)"),
    (Rejected, "A queue of RabbitMQ is full"),
    (AccessRefused, "RabbitMQ refuses the user, the password or a right (ACCESS_REFUSED)"),
    (NotFound, "RabbitMQ lacks a queue or a virtual host (NOT_FOUND)"),
    (PreconditionFailed, "A queue of RabbitMQ was made otherwise (PRECONDITION_FAILED)"),
    (ResourceLocked, "A queue of RabbitMQ belongs to another connection (RESOURCE_LOCKED)"),
)


def broker_words(error: BaseException) -> str | None:
    """What a broker's refusal means; None if *error* is none, or of a kind that says it itself."""
    match error:
        case redis.RedisError():
            return _REDIS_WORDS.get(redis_code(error))
        case AMQPError():
            return next((words for kind, words in _AMQP_WORDS if isinstance(error, kind)), None)
        case _:
            return None


def redis_code(error: redis.RedisError) -> str:
    """The word that an error of Redis begins with, such as ``OOM``; empty if there is none.

    A script passes on what its commands were refused with, from some versions on behind words of
    its own.
    """
    code = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    if code in _REDIS_WORDS:
        return str(code)
    return next((word for word in str(error).split() if word in _REDIS_WORDS), "")
