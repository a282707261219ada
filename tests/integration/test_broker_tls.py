"""TLS to the broker: who cannot prove to be the server of the URL hears nothing from any client."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from kombu.asynchronous.hub import Hub
from pydantic import SecretStr

from models.rabbitmq import BROKER_FAULTS
from models.results import Done
from models.streams import StreamNames
from producers.async_client import AsyncClient
from producers.client import Client
from producers.faults import IntakeUnreachable
from producers.spool import Spool
from tests.support.installation import Installation
from tests.support.rabbitmq import rabbitmq_queues
from tests.support.requests import KEY_ID, SECRET, SOURCE, report
from tests.support.servers import Servers
from tests.support.shell import andon
from tests.support.tls import Certificates, TlsProxy, make_certificates, tls_proxy
from tests.support.waiting import wait_for
from tests.support.workers import running
from worker.app import make_app
from worker.engines import open_doorbell, open_gauge, open_intake, open_publisher
from worker.rabbitmq_intake import RabbitIntake
from worker.settings import Settings
from worker.told import newest_outcomes

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Good and bad ones."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@dataclass(frozen=True, slots=True)
class Place:
    """A broker behind TLS, as settings name it."""

    settings: Settings
    proxy: TlsProxy
    password: bytes

    def client(self, **more: Path) -> Client:
        """A producer's client."""
        return Client(
            self.settings.broker_url.get_secret_value(),
            source=SOURCE,
            key_id=KEY_ID,
            secret=SECRET,
            names=self.settings.streams,
            retry_for=0,
            broker_ca=self.settings.broker_ca,
            **more,
        )


@pytest.fixture(params=["redis", "rabbitmq"])
def plain(request: pytest.FixtureRequest, servers: Servers) -> Iterator[tuple[str, StreamNames]]:
    """Where the broker is without TLS, and names of the test's own."""
    if request.param == "redis":
        yield servers.redis_url, StreamNames()
    else:
        with rabbitmq_queues() as found:
            yield found


@contextmanager
def behind_tls(
    plain: tuple[str, StreamNames],
    certificates: Certificates,
    which: str,
    installation: Installation,
) -> Iterator[Place]:
    """The broker, behind a proxy with one of the certificates."""
    url, names = plain
    parts = urlsplit(url)
    assert parts.port is not None
    assert parts.password is not None
    with tls_proxy(getattr(certificates, which), parts.port) as proxy:
        url = url.replace(f"{parts.hostname}:{parts.port}", f"localhost:{proxy.port}")
        settings = installation.settings.model_copy(
            update={
                "broker_url": SecretStr(url.replace("://", "s://", 1)),
                "broker_ca": certificates.authority,
                "namespace": names.namespace,
            }
        )
        yield Place(settings, proxy, parts.password.encode())


def celery(place: Place) -> None:
    """Celery's own connection, for its plain tasks."""
    with make_app(place.settings).connection_for_write(connect_timeout=5) as connection:
        connection.connect()


def intake(place: Place) -> None:
    """A pool process that reads."""
    reading = open_intake(place.settings)
    try:
        reading.receive(1)
    finally:
        if isinstance(reading, RabbitIntake):
            reading.drop()


def doorbell(place: Place) -> None:
    """A worker's main process that listens."""
    hub = Hub()
    bell = open_doorbell(
        place.settings, hub=hub, timer=hub.timer, ring=lambda: None, lost=lambda _: None
    )
    try:
        bell.open()
    finally:
        bell.close()


def gauge(place: Place) -> None:
    """`andon status`."""
    with closing(open_gauge(place.settings)) as asking:
        asking.read_intake()


def told(place: Place) -> None:
    """What compares the newest outcomes with the database."""
    newest_outcomes(place.settings)


def gateway(place: Place) -> None:
    """The gateway's way out, and a command's."""
    with closing(open_publisher(place.settings)) as publisher:
        publisher.check_room()


def client(place: Place) -> None:
    """A producer that publishes."""
    with place.client() as producer:
        producer.report_incident(**report())


def outcomes(place: Place) -> None:
    """A producer that reads outcomes."""
    with place.client() as producer, closing(producer._publisher.reader("0")) as reader:
        reader.read()


def asynchronous(place: Place) -> None:
    """A producer in an event loop."""

    async def publish() -> None:
        async with AsyncClient(place.client()) as producer:
            await producer.report_incident(**report())

    asyncio.run(publish())


def forwarder(place: Place) -> None:
    """A producer that forwards what it has spooled."""
    path = place.settings.producers_file.with_name(f"{place.proxy.port}.sqlite")
    with place.client(spool=path) as producer:
        with closing(Spool(path)) as spool:
            spool.append([producer.requests.report_incident(**report())], producer._lane)
        producer.forward()


FAULTS = (redis.RedisError, *BROKER_FAULTS, IntakeUnreachable)
CLIENTS = [
    celery,
    intake,
    doorbell,
    gauge,
    told,
    gateway,
    client,
    outcomes,
    asynchronous,
    forwarder,
]


@pytest.mark.parametrize("which", ["of_another", "self_signed"])
@pytest.mark.parametrize("use", CLIENTS)
def test_no_password_goes_to_who_is_not_the_server(
    use: Callable[[Place], None],
    which: str,
    plain: tuple[str, StreamNames],
    certificates: Certificates,
    installation: Installation,
) -> None:
    """A certificate of another host, or one that nobody signed, ends it before anything is said."""
    with behind_tls(plain, certificates, which, installation) as place:
        with pytest.raises(FAULTS):
            use(place)
        wait_for(lambda: place.proxy.refused, what="a handshake that was ended")
        assert place.password not in place.proxy.heard
        assert bytes(place.proxy.heard) == b""


@pytest.mark.parametrize("use", CLIENTS)
def test_the_server_of_the_url_is_talked_to(
    use: Callable[[Place], None],
    plain: tuple[str, StreamNames],
    certificates: Certificates,
    installation: Installation,
) -> None:
    """With a certificate that is signed and made out to the host, everything works as without."""
    with behind_tls(plain, certificates, "good", installation) as place:
        intake(place)  # so that everything is there
        place.proxy.heard.clear()
        use(place)
        assert place.password in place.proxy.heard


def test_a_worker_decides_what_came_over_tls(
    plain: tuple[str, StreamNames], certificates: Certificates, installation: Installation
) -> None:
    """Intake, doorbell and Celery's connection all speak TLS; the outcome comes back over it."""
    with behind_tls(plain, certificates, "good", installation) as place:
        settings = place.settings
        environment = installation.environment() | {
            "ANDON_BROKER_URL": settings.broker_url.get_secret_value(),
            "ANDON_BROKER_CA": str(settings.broker_ca),
            "ANDON_NAMESPACE": settings.namespace,
        }
        with running(environment, installation.directory), place.client() as producer:
            for _ in range(3):
                outcome = producer.waiting(timeout=30).report_incident(**report())
                assert isinstance(outcome, Done)
        found = andon("status", settings=environment, directory=installation.directory)
        assert found.code == 0, found.stderr


@pytest.mark.parametrize(
    "query", ["ssl_cert_reqs=none", "ssl_check_hostname=false", "SSL_CERT_REQS=CERT_NONE", "ssl=0"]
)
@pytest.mark.parametrize("scheme", ["rediss", "amqps", "redis", "amqp"])
def test_no_url_weakens_the_check(scheme: str, query: str, installation: Installation) -> None:
    """What a URL says of certificates is refused by settings and client; the password stays in."""
    url = f"{scheme}://me:hunter2@localhost:1/?{query}"
    with pytest.raises(ValueError, match="must not say how certificates are checked"):
        Client(url, source=SOURCE, key_id=KEY_ID, secret=SECRET)
    settings = installation.environment() | {"ANDON_BROKER_URL": url}
    found = andon("status", settings=settings, directory=installation.directory)
    assert found.code == 2
    assert "ANDON_BROKER_URL: must not say how certificates are checked" in found.stderr
    assert "hunter2" not in found.stderr


def test_an_authority_that_is_not_there_is_named(installation: Installation) -> None:
    """A wrong path in ANDON_BROKER_CA is told as the setting's fault; exit 2."""
    settings = installation.environment() | {"ANDON_BROKER_CA": "/nowhere/ca.pem"}
    found = andon("status", settings=settings, directory=installation.directory)
    assert found.code == 2
    assert "ANDON_BROKER_CA: names no file that can be read" in found.stderr
