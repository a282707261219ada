"""The gateway's configuration file: what it takes, and how it names what is wrong."""

import hashlib
import os
import re
from pathlib import Path

import pytest

from producers.gateway.admission import MOST_AT_ONCE
from producers.gateway.bodies import BODY_SECONDS, MAX_BODY_BYTES
from producers.gateway.configuration import GatewayFileError, load_gateway_file
from producers.gateway.door import (
    MOST_PROVEN,
    MOST_STRANGERS,
    MOST_STRANGERS_OF_ONE,
    STRANGER_SECONDS,
)
from producers.gateway.mapping import MappingFaults
from producers.gateway.mapping_file import load_mapping
from producers.gateway.openapi import openapi
from producers.gateway.publishing import MOST_WAITING
from producers.gateway.server import HEADER_SECONDS, MAX_HEADER_BYTES
from producers.spool import SPOOL_LIMIT

PAGE = (Path(__file__).parents[4] / "docs" / "gateway.md").read_text()
TOKEN = "a token of some length"


def written(directory: Path, text: str, *, mode: int = 0o600) -> Path:
    """A file with this text."""
    path = directory / "gateway.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def faults(directory: Path, text: str) -> str:
    """How the file is refused."""
    with pytest.raises(GatewayFileError) as refused:
        load_gateway_file(written(directory, text))
    return str(refused.value)


def test_the_examples_of_the_documentation_are_sound(tmp_path: Path) -> None:
    """Configuration and mapping in docs/gateway.md load as they stand."""
    sources, mapping = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    file = load_gateway_file(written(tmp_path, sources))
    assert {name: source.spools for name, source in file.sources.items()} == {
        "alertmanager-prod": False,
        "grafana": True,
        "checkout-team": False,
    }
    path = tmp_path / "mapping.toml"
    path.write_text(mapping)
    assert [rule.name for rule in load_mapping(path).rules] == ["tills", "the rest"]


def test_the_documentation_names_every_path_and_the_limits() -> None:
    """docs/gateway.md has what the OpenAPI document has, and the limits as they are."""
    paths = re.findall(r"`(?:GET|POST) (/[^` ]+)`", PAGE)
    assert set(paths) == set(openapi()["paths"])
    told = re.search(r"\| limit \| \|\n(.*?)\n\n", PAGE, re.DOTALL)
    assert told is not None
    for figure in (
        f"{MAX_BODY_BYTES // 1024} KB, within {BODY_SECONDS:.0f} s",
        f"{MAX_HEADER_BYTES // 1024} KiB, within {HEADER_SECONDS:.0f} s",
        f"{MOST_PROVEN:,}, and {MOST_AT_ONCE:,}",
        f"{MOST_STRANGERS:,}, of one address {MOST_STRANGERS_OF_ONE:,}; {STRANGER_SECONDS:.0f} s",
        f"{MOST_WAITING:,}",
        f"{SPOOL_LIMIT // 1024**2} MiB",
    ):
        assert figure in told[1]


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o666])
def test_a_file_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    """It holds secrets; the message says how to close it."""
    path = written(
        tmp_path, f'[sources.a]\naccepts = ["cloudevents"]\nbearer = ["{TOKEN}"]', mode=mode
    )
    with pytest.raises(GatewayFileError, match=f"chmod 600 {path}"):
        load_gateway_file(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    """Its owner could change it, whatever its mode."""
    path = written(tmp_path, f'[sources.a]\naccepts = ["cloudevents"]\nbearer = ["{TOKEN}"]')
    os.chown(path, 12345, 0)
    with pytest.raises(GatewayFileError, match="belongs to another user"):
        load_gateway_file(path)


def test_a_closed_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    """Or the source that is lost with its end would be turned away as nobody's."""
    source = 'accepts = ["cloudevents"]\nbearer = ["{} of some length"]\n'
    text = "closed = true\n" + "".join(f"[sources.{x}]\n{source.format(x)}" for x in "ab")
    assert "its last line is not [end]" in faults(tmp_path, text)
    assert list(load_gateway_file(written(tmp_path, f"{text}[end]\n")).sources) == ["a", "b"]


def test_a_closed_mapping_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    """Or what the lost rules are for would halt, or become something else."""
    mapping = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[1]
    path = tmp_path / "mapping.toml"
    path.write_text(f"closed = true\n{mapping}")
    with pytest.raises(MappingFaults, match="its last line is not"):
        load_mapping(path)
    path.write_text(f"closed = true\n{mapping}[end]\n")
    assert [rule.name for rule in load_mapping(path).rules] == ["tills", "the rest"]


@pytest.mark.parametrize("text", ["", "[sources]", "sources = 1", "not toml", "\0"])
def test_a_file_without_sources_is_refused(tmp_path: Path, text: str) -> None:
    """A gateway that lets nobody in is a mistake."""
    assert "gateway.toml" in faults(tmp_path, text)


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("", "$.sources.a.accepts"),
        ("accepts = []", "$.sources.a.accepts"),
        ('accepts = ["smoke signals"]', "$.sources.a.accepts"),
        ('accepts = ["cloudevents"]', "needs bearer or basic, to accept cloudevents"),
        ('accepts = ["alertmanager"]', "needs a mapping"),
        ('accepts = ["pagerduty"]\nmapping = "m"', "needs routing_keys"),
        ('accepts = ["grafana"]\nmapping = "m"', "needs bearer, basic or hmac"),
        (
            f'accepts = ["alertmanager"]\nmapping = "m"\nhmac = [{{ secret = "{TOKEN}" }}]',
            "needs bearer or basic, to accept alertmanager",
        ),
        ('accepts = ["cloudevents"]\nbearer = ["short"]', "$.sources.a.bearer"),
        ('accepts = ["cloudevents"]\nbearer = ["sha256:00"]', "64 hex digits"),
        (
            'accepts = ["cloudevents"]\nbasic = [{ username = "a:b", password = "x" }]',
            "$.sources.a.basic[0].username must be 1 to 255 characters without a colon",
        ),
        ('accepts = ["pagerduty"]\nmapping = "m"\nrouting_keys = ["short"]', "32 characters"),
        (
            'accepts = ["grafana"]\nmapping = "m"\nhmac = [{ secret = "sha256:' + "0" * 64 + '" }]',
            "must be the key itself",
        ),
        (
            f'accepts = ["cloudevents"]\nbearer = ["{TOKEN}"]\ntoken = "x"',
            "$.sources.a.token is not known here",
        ),
    ],
)
def test_every_fault_of_a_source_is_named(tmp_path: Path, lines: str, fault: str) -> None:
    """With its place, and without what is secret."""
    text = faults(tmp_path, f"[sources.a]\n{lines}")
    assert fault in text
    assert "short" not in text


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    """Whoever mends one does not find the next one only then."""
    text = faults(
        tmp_path, '[sources.a]\naccepts = ["x"]\n[sources.b]\naccepts = ["y"]\nunknown = 1'
    )
    for place in ("$.sources.a.accepts", "$.sources.b.accepts", "$.sources.b.unknown"):
        assert place in text


@pytest.mark.parametrize(
    "credential",
    [
        f'bearer = ["{TOKEN}"]',
        f'basic = [{{ username = "one", password = "{TOKEN}" }}]',
    ],
)
def test_two_sources_do_not_share_a_credential(tmp_path: Path, credential: str) -> None:
    """Else nobody could tell who is asking; a hash is the same as what was hashed."""
    source = f'accepts = ["cloudevents"]\n{credential}'
    text = faults(tmp_path, f"[sources.a]\n{source}\n[sources.b]\n{source}")
    assert "a and b have the same" in text
    assert TOKEN not in text
    hashed = source.replace(TOKEN, f"sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}")
    text = faults(tmp_path, f"[sources.a]\n{source}\n[sources.b]\n{hashed}")
    assert "a and b have the same" in text
