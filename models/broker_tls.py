"""TLS to the broker: one place says how its certificate is checked, for every client there is.

Where the URL says rediss:// or amqps://, the certificate has to be signed by a known authority and
made out to the host of the URL. The URL can ask for no less: whoever has a certificate that nobody
signed names it as the authority.
"""

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_SECURE = ("rediss", "amqps")
_WEAKENING = ("ssl", "tls", "cert", "verify")


def tls_faults(url: str) -> str | None:
    """What of the URL's query would change how certificates are checked; None if nothing does."""
    named = [name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)]
    faults = [name for name in named if any(word in name.lower() for word in _WEAKENING)]
    if not faults:
        return None
    return (
        f"must not say how certificates are checked ({', '.join(faults)}): they always are; name"
        " an authority of your own in ANDON_BROKER_CA"
    )


def redis_tls(url: str, ca: Path | None) -> dict[str, Any]:
    """What redis-py, and kombu for Redis, need to know of TLS; nothing where there is none.

    Args:
        url: ``redis://…`` or ``rediss://…``.
        ca: a file of authorities (PEM) that are trusted beside the system's.

    Raises:
        ValueError: the URL says itself how certificates are checked.
    """
    if not _is_secure(url):
        return {}
    return {
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "ssl_check_hostname": True,
        "ssl_ca_certs": None if ca is None else str(ca),
    }


def rabbitmq_tls(url: str, ca: Path | None) -> dict[str, Any]:
    """What py-amqp, and kombu for RabbitMQ, need to know of TLS; nothing where there is none.

    Args:
        url: ``amqp://…`` or ``amqps://…``.
        ca: a file of authorities (PEM) that are trusted in the place of the system's.

    Raises:
        ValueError: the URL says itself how certificates are checked.
    """
    if not _is_secure(url):
        return {}
    return {
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": urlsplit(url).hostname or "127.0.0.1",  # with it the name is checked
        "ca_certs": None if ca is None else str(ca),
    }


def _is_secure(url: str) -> bool:
    if (fault := tls_faults(url)) is not None:
        raise ValueError(f"The broker's URL {fault}.")
    return urlsplit(url).scheme in _SECURE
