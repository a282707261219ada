"""Starting the gateway: what is wrong is said before anything is promised."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.gateways import (
    GatewayProcess,
    alertmanager_payload,
    gateway_environment,
    gateway_running,
)
from tests.support.installation import Installation
from tests.support.requests import KEY_ID
from tests.support.shell import andon
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for

Change = Callable[[dict[str, str], Path], None]


def _without(name: str) -> Change:
    def change(environment: dict[str, str], _directory: Path) -> None:
        del environment[name]

    return change


def _rewritten(name: str, old: str, new: str) -> Change:
    def change(_environment: dict[str, str], directory: Path) -> None:
        file = directory / name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return change


def _set(name: str, value: str) -> Change:
    def change(environment: dict[str, str], _directory: Path) -> None:
        environment[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_without("ANDON_BROKER_URL"), "ANDON_BROKER_URL: is not set"),
        (_without("ANDON_GATEWAY_FILE"), "ANDON_GATEWAY_FILE: is not set"),
        (
            _set("ANDON_GATEWAY_FILE", "nowhere.toml"),
            "ANDON_GATEWAY_FILE: nowhere.toml: No such file",
        ),
        (_set("ANDON_GATEWAY_CERTIFICATE", "x.pem"), "one is set and the other is not"),
        (_set("ANDON_GATEWAY_HOST", "192.0.2.1"), "cannot listen at 192.0.2.1"),
        (_rewritten("gateway.toml", '"mapping.toml"', '"none.toml"'), "none.toml is no mapping"),
        (_rewritten("mapping.toml", "[[rules]]", "[[rulers]]"), "unknown key 'rulers'"),
        (
            _rewritten("gateway.toml", "[sources.narrow]", "[sources.wide]"),
            "no key of the source wide",
        ),
        (_rewritten("gateway.toml", "spool = false", 'spool = false\nkey = "x"'), "no key x"),
        (_rewritten("producers.toml", KEY_ID, "a key"), "producers.toml"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_starts(
    installation: Installation, change: Change, told: str
) -> None:
    """Exit 2, with what to mend, and no traceback."""
    environment = gateway_environment(installation)
    change(environment, installation.directory)
    finished = andon("gateway", settings=environment, directory=installation.directory)
    assert finished.code == 2, finished.stderr
    assert told in finished.stderr
    assert "Traceback" not in finished.stderr


def test_an_address_that_is_taken_is_said(installation: Installation) -> None:
    """Exit 2, with the settings that choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        environment = gateway_environment(installation, ANDON_GATEWAY_PORT=port)
        finished = andon("gateway", settings=environment, directory=installation.directory)
    assert finished.code == 2
    assert f"port {port}" in finished.stderr
    assert "ANDON_GATEWAY_PORT" in finished.stderr


def test_a_source_without_a_key_is_503_until_it_has_one(
    gateway: GatewayProcess, installation: Installation, traffic: Traffic
) -> None:
    """The registry is read whenever it changes; the log says what is missing, no answer does."""
    registry = installation.settings.producers_file
    before = registry.read_text()
    registry.write_text(f'withdrawn = ["monitor"]\n{before}')
    refused = wait_for(
        lambda: (
            answer
            if (answer := gateway.call("/v1/alertmanager", alertmanager_payload())).status == 503
            else None
        ),
        what="a refusal",
    )
    assert str(registry) not in refused.body.decode()
    assert "no key of the source monitor" in gateway.process.output()
    taken = traffic.left()
    registry.write_text(before)
    assert gateway.call("/v1/alertmanager", alertmanager_payload()).status == 202
    assert traffic.left() == taken + 1


def test_a_new_key_is_signed_with_at_once(
    gateway: GatewayProcess, installation: Installation, traffic: Traffic
) -> None:
    """Keys rotate without a restart."""
    registry = installation.settings.producers_file
    added = f'[[sources.monitor.keys]]\nid = "monitor-2"\nsecret = "{"cd" * 32}"\n'
    registry.write_text(f"{registry.read_text()}\n{added}")
    assert gateway.call("/v1/alertmanager", alertmanager_payload()).status == 202
    ((_, fields),) = traffic.client.xrange(traffic.names.intake())
    assert fields[b"key"] == b"monitor-2"


def test_sigterm_ends_it_with_success(installation: Installation) -> None:
    """Whatever connections are still open."""
    with gateway_running(gateway_environment(installation), installation.directory) as gateway:
        connection = gateway.connect()
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b'{"status":"ok"}'
        assert gateway.process.terminate() == 0
        connection.close()


@pytest.mark.parametrize(
    ("host", "warned"),
    [("0.0.0.0", True), ("127.0.0.1", False)],  # noqa: S104  # what is warned of
)
def test_credentials_in_the_clear_are_warned_of(
    installation: Installation, host: str, warned: bool
) -> None:
    """Where it listens beyond this machine and has no certificate, the log says so."""
    environment = gateway_environment(installation, ANDON_GATEWAY_HOST=host)
    with gateway_running(environment, installation.directory) as gateway:
        assert ("gateway_without_tls" in gateway.process.output()) == warned
