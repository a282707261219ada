"""A real gateway process for the tests, and ways to call it as its senders do."""

import base64
import http.client
import re
import socket
import ssl
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from producers.gateway.server import Certificate
from tests.support.installation import Installation
from tests.support.requests import SOURCE
from tests.support.waiting import wait_for
from tests.support.workers import WorkerProcess, running

TOKEN = "token-of-the-tests-" + "a" * 20
ROUTING_KEY = "0123456789abcdef0123456789abcdef"
USERNAME, PASSWORD = "alertmanager", "password-of-the-tests"
HMAC_KEY = "hmac-key-of-the-tests"
NARROW_TOKEN = "token-of-the-narrow-one-" + "b" * 20

CONFIGURATION = f"""
[sources.{SOURCE}]
accepts = ["alertmanager", "grafana", "pagerduty", "cloudevents"]
mapping = "mapping.toml"
bearer = ["{TOKEN}"]
basic = [{{ username = "{USERNAME}", password = "{PASSWORD}" }}]
routing_keys = ["{ROUTING_KEY}"]
hmac = [{{ secret = "{HMAC_KEY}", timestamp_header = "X-Timestamp" }}]
spool = @SPOOL@

[sources.narrow]
accepts = ["cloudevents"]
bearer = ["{NARROW_TOKEN}"]
"""

MAPPING = """
[defaults]
client_id = "acme"
component_id = "gateway"
reporter_user_id = "manager"
updated_by_user = "support"
category = "monitoring"
impact_level = "high"
urgency_level = "high"
severity = "P2"

[[rules]]
name = "everything that names a severity"
match = { severity = { regex = ".+" } }
title = "{alert.title}"
"""

RUN_GATEWAY = (
    "from worker.settings import load_gateway_settings; from worker.gateway import run_gateway;"
    " run_gateway(load_gateway_settings())"
)
_READY = re.compile(r"The gateway is ready at (https?://\S+:\d+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body, as JSON."""
        return orjson.loads(self.body)


@dataclass(frozen=True, slots=True)
class GatewayProcess:
    """One that runs."""

    process: WorkerProcess
    url: str

    def connect(self, seconds: float = 120) -> http.client.HTTPConnection:
        """A connection to it."""
        place = urlsplit(self.url)
        assert place.hostname is not None
        if place.scheme == "https":
            trusting = ssl._create_unverified_context()  # noqa: S323  # a certificate of our own
            return http.client.HTTPSConnection(
                place.hostname, place.port, timeout=seconds, context=trusting
            )
        return http.client.HTTPConnection(place.hostname, place.port, timeout=seconds)

    def call(
        self,
        path: str,
        body: Any = None,
        *,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask for *path*; a body that is no bytes is sent as JSON, an iterator of bytes chunked."""
        content = orjson.dumps(body) if isinstance(body, dict | list) else body
        given = {"Content-Type": "application/json", **(bearer() if headers is None else headers)}
        with closing(self.connect()) as connection:
            connection.request(method or ("GET" if body is None else "POST"), path, content, given)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())


@contextmanager
def port_kept() -> Iterator[int]:
    """A port for a gateway that is started again and again; nobody else is given it meanwhile.

    It is bound here, though nobody listens: so the system gives it to no connection, and a gateway,
    which asks for the reuse of addresses as this does, may still listen there.
    """
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        yield int(kept.getsockname()[1])


def bearer(token: str = TOKEN) -> dict[str, str]:
    """The header that proves a source by its token."""
    return {"Authorization": f"Bearer {token}"}


def basic(username: str = USERNAME, password: str = PASSWORD) -> dict[str, str]:
    """The header that proves a source by user name and password."""
    pair = base64.b64encode(f"{username}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def gateway_environment(
    installation: Installation, *, spool: bool = False, **more: str
) -> dict[str, str]:
    """The settings of a gateway of this installation; its files are written on the way."""
    directory = installation.directory
    (directory / "mapping.toml").write_text(MAPPING)
    file = directory / "gateway.toml"
    file.write_text(CONFIGURATION.replace("@SPOOL@", str(spool).lower()))
    file.chmod(0o600)
    return {
        "ANDON_BROKER_URL": installation.settings.broker_url.get_secret_value(),
        "ANDON_PRODUCERS_FILE": str(installation.settings.producers_file),
        "ANDON_GATEWAY_FILE": str(file),
        "ANDON_GATEWAY_DATABASE_URL": installation.urls.gateway,
        "ANDON_GATEWAY_SPOOL": str(directory / "gateway-spool.sqlite"),
        "ANDON_GATEWAY_PORT": "0",
        **more,
    }


def with_certificate(certificate: Certificate) -> dict[str, str]:
    """The settings of a gateway that speaks TLS."""
    return {
        "ANDON_GATEWAY_CERTIFICATE": str(certificate.chain),
        "ANDON_GATEWAY_CERTIFICATE_KEY": str(certificate.key),
    }


@contextmanager
def gateway_running(
    environment: Mapping[str, str], directory: Path, *, before: str = "pass", clock_ahead: float = 0
) -> Iterator[GatewayProcess]:
    """A gateway for the time of a block; it is ready when the block begins.

    Args:
        environment: its settings.
        directory: where its log is written.
        before: Python that is run first, for gateways that a test has tampered with.
        clock_ahead: by how many seconds its machine's clock is wrong.
    """
    log = directory / "gateway.log"
    log.unlink(missing_ok=True)
    with running(
        environment,
        directory,
        what="gateway",
        code=f"{before}; {RUN_GATEWAY}",
        clock_ahead=clock_ahead,
    ) as process:

        def where() -> str | None:
            assert process.process.poll() is None, process.output()
            found = _READY.search(process.output())
            return found[1] if found else None

        url = wait_for(where, what="gateway ready")
        assert url is not None
        yield GatewayProcess(process, url)


def alert(name: str = "HighLatency", *, status: str = "firing", **changes: Any) -> dict[str, Any]:
    """One alert as Alertmanager and Grafana tell it."""
    return {
        "status": status,
        "labels": {"alertname": name, "severity": "critical"},
        "annotations": {"summary": f"{name} on the checkout"},
        "startsAt": "2025-09-25T11:58:00Z",
        "endsAt": "2025-09-25T12:30:00Z" if status == "resolved" else "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": f"{zlib.crc32(name.encode()):016x}",
        **changes,
    }


def alertmanager_payload(*alerts: dict[str, Any]) -> dict[str, Any]:
    """A webhook of Alertmanager's with these alerts."""
    return {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "andon",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "alerts": list(alerts or (alert(),)),
    }


def grafana_payload(*alerts: dict[str, Any]) -> dict[str, Any]:
    """A webhook of Grafana's with these alerts."""
    return {**alertmanager_payload(*alerts), "version": "1", "orgId": 1, "title": "Firing"}


def trigger(**changes: Any) -> dict[str, Any]:
    """A trigger of PagerDuty's; None leaves a field out."""
    event = {
        "routing_key": ROUTING_KEY,
        "event_action": "trigger",
        "dedup_key": "disk-7",
        "payload": {"summary": "Disk full", "source": "db-7", "severity": "critical"},
        **changes,
    }
    return {name: value for name, value in event.items() if value is not None}
