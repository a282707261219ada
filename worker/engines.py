"""Which intake engine a worker has: the one that its broker URL names."""

from collections.abc import Callable

from kombu.asynchronous.hub import Hub
from kombu.asynchronous.timer import Timer

from models.rabbitmq import is_rabbitmq
from producers.engines import connect_publisher
from producers.publisher import Publisher
from tasks.intake import Intake
from worker.doorbell import Doorbell
from worker.intake_status import Gauge
from worker.rabbitmq_doorbell import RabbitDoorbell
from worker.rabbitmq_intake import RabbitIntake
from worker.rabbitmq_status import RabbitGauge
from worker.redis_doorbell import RedisDoorbell
from worker.redis_intake import RedisIntake, connect_redis
from worker.redis_status import RedisGauge
from worker.settings import GatewaySettings, Settings


def engine_name(settings: Settings) -> str:
    """What the engine is called."""
    return "RabbitMQ" if is_rabbitmq(settings.broker_url.get_secret_value()) else "Redis"


def open_intake(settings: Settings, calls: Callable[[], int] = lambda: 0) -> Intake:
    """The intake for one process; it connects when it is first used.

    Args:
        settings: the worker's.
        calls: a number that changes when there is something to be taken over at once.
    """
    url = settings.broker_url.get_secret_value()
    if is_rabbitmq(url):
        return RabbitIntake(
            url,
            settings.streams,
            settings.claim_idle,
            settings.outcomes_kept,
            prefetch=settings.batch_size,
            ca=settings.broker_ca,
        )
    return RedisIntake(
        connect_redis(url, settings.broker_ca),
        settings.streams,
        settings.claim_idle,
        settings.outcomes_kept,
        calls,
    )


def open_doorbell(
    settings: Settings,
    *,
    hub: Hub,
    timer: Timer,
    ring: Callable[[], None],
    lost: Callable[[Exception], None],
) -> Doorbell:
    """The doorbell for a worker's main process.

    Args:
        settings: the worker's.
        hub: the event loop of the main process.
        timer: of the same.
        ring: called when entries wait.
        lost: called when the engine is out of reach; the doorbell is closed then.
    """
    if is_rabbitmq(settings.broker_url.get_secret_value()):
        return RabbitDoorbell(settings, timer, ring=ring, lost=lost)
    return RedisDoorbell(
        settings.broker_url.get_secret_value(),
        settings.streams,
        hub,
        claim_idle=settings.claim_idle,
        ca=settings.broker_ca,
        ring=ring,
        lost=lost,
    )


def open_gauge(settings: Settings) -> Gauge:
    """A look into the intake from outside; it connects when it is first used."""
    url = settings.broker_url.get_secret_value()
    if is_rabbitmq(url):
        return RabbitGauge(url, settings.streams, settings.broker_ca)
    return RedisGauge(connect_redis(url, settings.broker_ca), settings.streams)


def open_publisher(settings: GatewaySettings) -> Publisher:
    """The way to publish; it connects when it is first used."""
    return connect_publisher(
        settings.broker_url.get_secret_value(),
        names=settings.streams,
        intake_limit=settings.intake_limit,
        memory_percent=settings.intake_memory_percent,
        ca=settings.broker_ca,
    )
