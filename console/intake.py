"""Reaching the intake from a command, with the keys that the registry holds."""

from collections.abc import Iterator
from contextlib import contextmanager

from console.failures import out_of_reach, wrong_usage
from models.registry import Key, Registry
from producers.client import Client
from producers.faults import PublishFailed
from producers.publisher import Publisher
from worker.engines import open_publisher
from worker.settings import Settings


def newest_key(registry: Registry, source: str) -> Key | None:
    """The key that *source* signs with: the one added last, so that keys can be rotated."""
    known = registry.sources.get(source)
    return known.keys[-1] if known is not None and known.keys else None


def local_client(
    settings: Settings,
    registry: Registry,
    source: str | None = None,
    *,
    wait_when_full: float = 0.0,
) -> Client:
    """A client of the local source, or of another one that the registry has a key of.

    Args:
        settings: where the intake is.
        registry: what its key is taken from.
        source: the local one if None.
        wait_when_full: see `Client`.

    Raises:
        Failure: the registry has no key of the source.
    """
    name = source or settings.local_source
    key = newest_key(registry, name)
    if key is None:
        raise wrong_usage(
            f"{settings.producers_file} has no key of the source {name!r}:"
            f" `andon producers add {name}` makes one."
        )
    return Client(
        settings.broker_url.get_secret_value(),
        source=name,
        key_id=key.id,
        secret=key.secret.get_secret_value(),
        names=settings.streams,
        intake_limit=settings.intake_limit,
        memory_percent=settings.intake_memory_percent,
        wait_when_full=wait_when_full,
        broker_ca=settings.broker_ca,
    )


@contextmanager
def publisher_of(settings: Settings) -> Iterator[Publisher]:
    """The way to the intake, whoever signs.

    Raises:
        Failure: the intake is full, or out of reach.
    """
    publisher = open_publisher(settings)
    try:
        yield publisher
    except PublishFailed as error:
        raise out_of_reach(str(error)) from None
    finally:
        publisher.close()
