"""Starting the alert gateway: from its settings to an application that is served."""

import ssl
from functools import partial
from pathlib import Path

import structlog

from models.database import connect
from models.registry import KEPT_IN_FORCE, RegistryFile
from producers.clock import SharedClock
from producers.gateway.app import make_app
from producers.gateway.configuration import GatewayFile, GatewayFileError, load_gateway_file
from producers.gateway.gateway import Gateway, NoKey, load_mappings, sign_spooled, signing_key
from producers.gateway.publishing import Outlet
from producers.gateway.receipts import CONNECTIONS, Receipts
from producers.gateway.server import Certificate, listen, serve
from producers.spool import Spool
from worker.engines import open_publisher
from worker.log import configure_logging, warn_of_database
from worker.settings import GatewaySettings, SettingsError
from worker.signs_of_life import Kind, SignsOfLife

_log = structlog.get_logger(__name__)
_STATEMENT_TIMEOUT_MS = 3_000
_LOOPBACK = ("127.0.0.1", "::1")


class NotListening(Exception):
    """The gateway cannot listen where it should; the message says why."""


def run_gateway(settings: GatewaySettings) -> None:
    """Run the gateway until it is stopped: SIGTERM finishes what is under way, and ends.

    Raises:
        SettingsError: a setting is missing that the gateway's sources need.
        GatewayFileError: the configuration, or a mapping, is at fault.
        NotListening: the address is taken.
    """
    configure_logging(settings)
    gateway = make_gateway(settings)
    try:
        listening = listen(settings.gateway_host, settings.gateway_port)
    except OSError as error:
        place = f"{settings.gateway_host}, port {settings.gateway_port}"
        raise NotListening(
            f"The gateway cannot listen at {place} ({error.strerror}): set ANDON_GATEWAY_HOST and"
            " ANDON_GATEWAY_PORT."
        ) from None
    certificate = _certificate(settings)
    if certificate is None and listening.getsockname()[0] not in _LOOPBACK:
        _log.warning(
            "gateway_without_tls",
            host=settings.gateway_host,
            advice="put a proxy that speaks TLS in front, or set ANDON_GATEWAY_CERTIFICATE",
        )
    signs = SignsOfLife(settings.health_directory, Kind.GATEWAY, hangs_after=0)
    try:
        serve(make_app(gateway), listening, certificate, turned=signs.turned)
    except ssl.SSLError as error:
        raise NotListening(f"The gateway's certificate cannot be used ({error.reason}).") from None
    except FileNotFoundError:
        raise NotListening("The gateway's certificate, or its key, is not there.") from None
    finally:
        signs.close()


def _certificate(settings: GatewaySettings) -> Certificate | None:
    chain, key = settings.gateway_certificate, settings.gateway_certificate_key
    if (chain is None) != (key is None):
        raise SettingsError(
            "Settings are missing or wrong:\n  ANDON_GATEWAY_CERTIFICATE and"
            " ANDON_GATEWAY_CERTIFICATE_KEY: one is set and the other is not"
        )
    return None if chain is None or key is None else Certificate(chain, key)


def make_gateway(settings: GatewaySettings) -> Gateway:
    """The gateway that *settings* describe; nothing is connected yet.

    Raises:
        SettingsError: a setting is missing that the gateway's sources need.
        GatewayFileError: the configuration, or a mapping, is at fault.
    """
    path = settings.gateway_file
    if path is None:
        raise SettingsError(
            "Settings are missing or wrong:\n  ANDON_GATEWAY_FILE: is not set; docs/gateway.md"
            " shows such a file"
        )
    file = load_gateway_file(path)
    mappings = load_mappings(file, path.parent)
    registry = RegistryFile(settings.producers_file, _tell_registry)
    _check_keys(file, path, registry)
    outlet, receipts = _outlet(settings, file, registry), _receipts(settings)
    clock = SharedClock(outlet.clock if receipts is None else receipts.now)
    return Gateway(file, registry, outlet, receipts, mappings, clock=clock)


def _check_keys(file: GatewayFile, path: Path, registry: RegistryFile) -> None:
    """Every source needs a key: better to hear of it now than from the first alert."""
    faults = []
    for name, source in file.sources.items():
        try:
            signing_key(registry, name, source.key)
        except NoKey as error:
            faults.append(f"  {error}")
    if faults:
        faults = [f"Sources of {path} cannot be signed for:", *dict.fromkeys(faults)]
        raise GatewayFileError("\n".join([*faults, "`andon producers add SOURCE` makes a key."]))


def _outlet(settings: GatewaySettings, file: GatewayFile, registry: RegistryFile) -> Outlet:
    spooling = [name for name, source in file.sources.items() if source.spools]
    if spooling and settings.gateway_spool is None:
        raise SettingsError(
            "Settings are missing or wrong:\n  ANDON_GATEWAY_SPOOL: is not set, and"
            f" {', '.join(spooling)} must not lose alerts while the intake is away (or says"
            " spool = false)"
        )
    publisher = open_publisher(settings)
    path = settings.gateway_spool
    spool = Spool(path) if spooling and path is not None else None
    return Outlet(publisher, spool, partial(sign_spooled, registry, file))


def _receipts(settings: GatewaySettings) -> Receipts | None:
    if settings.gateway_database_url is None:
        return None
    warn_of_database(settings.gateway_database_url.get_secret_value())
    engine = connect(
        settings.gateway_database_url.get_secret_value(),
        statement_timeout_ms=_STATEMENT_TIMEOUT_MS,
        application="andon gateway",
        pool_size=CONNECTIONS,
    )
    return Receipts(engine)


def _tell_registry(fault: str | None) -> None:
    if fault is None:
        _log.info("registry_sound_again")
    else:
        _log.error("registry_at_fault", fault=fault, meanwhile=KEPT_IN_FORCE)
