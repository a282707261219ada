"""Whose a credential is."""

import base64
import hashlib
import hmac
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from producers.gateway.authentication import Authentication, Caller, Refused
from producers.gateway.configuration import GatewayFile

NOW = 1_790_000_000.0
OLD, NEW = "the-old-token-of-alpha", "the-new-token-of-alpha"
PASSWORD = "a password: with a colon"
ROUTING_KEY = "k" * 32
PLAIN_KEY, TIMED_KEY = "the-plain-hmac-key", "the-timed-hmac-key"


def hashed(secret: str) -> str:
    """How a secret may stand in the file."""
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}"


@pytest.fixture
def authentication() -> Authentication:
    """Three sources, whose credentials stand as they are or hashed."""
    file = GatewayFile.model_validate(
        {
            "sources": {
                "alpha": {"accepts": ["cloudevents"], "bearer": [OLD, hashed(NEW)]},
                "beta": {
                    "accepts": ["alertmanager", "pagerduty"],
                    "mapping": Path("m"),
                    "basic": [{"username": "bëta", "password": hashed(PASSWORD)}],
                    "routing_keys": [hashed(ROUTING_KEY)],
                },
                "gamma": {
                    "accepts": ["grafana"],
                    "mapping": Path("m"),
                    "hmac": [
                        {"secret": PLAIN_KEY},
                        {"secret": TIMED_KEY, "timestamp_header": "X-Time"},
                    ],
                },
            }
        }
    )
    return Authentication(file, now=lambda: NOW)


def name_of(found: Caller | Refused) -> str | None:
    """Who it is; None for nobody."""
    return found.name if isinstance(found, Caller) else None


def pair(username: str, password: str) -> str:
    """What basic authentication sends."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (f"Bearer {OLD}", "alpha"),
        (f"bearer  {NEW} ", "alpha"),
        (f"Bearer {hashed(NEW)}", None),
        (f"Bearer {hashed(NEW).removeprefix('sha256:')}", None),
        (f"Bearer {OLD}x", None),
        ("Bearer", None),
        ("", None),
        (f"Bearer {ROUTING_KEY}", None),
        (f"Bearer {PASSWORD}", None),
        (pair("bëta", PASSWORD), "beta"),
        (pair("beta", PASSWORD), None),
        (pair("bëta", hashed(PASSWORD)), None),
        (pair("", PASSWORD), None),
        (pair("alpha", OLD), None),
        ("Basic ", None),
        ("Basic %%%", None),
        ("Basic " + base64.b64encode(b"\xff\xfe").decode(), None),
    ],
)
def test_a_header_proves_its_source_and_no_other(
    authentication: Authentication, header: str, name: str | None
) -> None:
    """Every current credential counts; a hash from the file opens nothing."""
    assert name_of(authentication.by_header(Headers({"authorization": header}))) == name


@pytest.mark.parametrize(
    ("key", "name"), [(ROUTING_KEY, "beta"), ("k" * 31, None), ("", None), (OLD, None)]
)
def test_a_routing_key_proves_its_source(
    authentication: Authentication, key: str, name: str | None
) -> None:
    """It is none of the other kinds of credential."""
    assert name_of(authentication.by_routing_key(key)) == name


@pytest.mark.parametrize(
    ("key", "stamp", "name"),
    [
        (PLAIN_KEY, None, "gamma"),
        ("another-hmac-key", None, None),
        (TIMED_KEY, None, None),
        (TIMED_KEY, str(int(NOW)), "gamma"),
        (TIMED_KEY, str(int(NOW) - 300), "gamma"),
        (TIMED_KEY, str(int(NOW) - 301), None),
        (TIMED_KEY, str(int(NOW) + 301), None),
        (TIMED_KEY, "9" * 400, None),
        (TIMED_KEY, "soon", None),
        (TIMED_KEY, "", None),
    ],
)
def test_a_signature_proves_its_source_while_it_is_fresh(
    authentication: Authentication, key: str, stamp: str | None, name: str | None
) -> None:
    """A key with a timestamp header counts only with a time that is signed and near."""
    body = b'{"alerts": []}'
    signed = body if stamp is None else f"{stamp}:".encode() + body
    signature = hmac.new(key.encode(), signed, hashlib.sha256).hexdigest()
    headers = {"X-Grafana-Alerting-Signature": signature}
    if stamp is not None:
        headers["X-Time"] = stamp
    assert name_of(authentication.by_signature(Headers(headers), body)) == name
    assert name_of(authentication.by_signature(Headers(headers), body + b" ")) is None
    assert name_of(authentication.by_signature(Headers({}), body)) is None
