"""Places: whoever has proven a source keeps its own, and what strangers do fills nothing."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from producers.gateway.door import MOST_STRANGERS, MOST_STRANGERS_OF_ONE
from producers.gateway.receipts import MOST_ASKERS
from producers.gateway.server import MOST_PIPELINED
from tests.support.certificates import self_signed
from tests.support.connections import answer_of, asked, is_closed, proof, raw
from tests.support.gateways import (
    GatewayProcess,
    alertmanager_payload,
    gateway_environment,
    gateway_running,
    with_certificate,
)
from tests.support.installation import Installation
from tests.support.requests import SOURCE
from tests.support.waiting import wait_for


def crowd(gateway: GatewayProcess, stack: ExitStack, count: int) -> list[socket.socket]:
    """So many connections that say nothing, until the stack is left."""
    return [stack.enter_context(raw(gateway)) for _ in range(count)]


def test_a_proven_connection_is_kept_however_many_strangers_come(gateway: GatewayProcess) -> None:
    """Its sender goes on using it; of the strangers the oldest have made room."""
    with ExitStack() as stack:
        sender = stack.enter_context(raw(gateway))
        receipt = asked(f"/v1/requests/{SOURCE}/x".encode(), proof())
        sender.sendall(receipt)
        assert answer_of(sender).status == 200
        crowded = crowd(gateway, stack, 2 * MOST_STRANGERS)
        wait_for(lambda: is_closed(crowded[0]), what="the oldest has gone")
        sender.sendall(receipt)
        assert answer_of(sender).status == 200


def test_strangers_of_one_address_leave_places_to_others(gateway: GatewayProcess) -> None:
    """A crowd from one address makes room among itself."""
    with ExitStack() as stack:
        crowded = crowd(gateway, stack, MOST_STRANGERS_OF_ONE + 1)
        wait_for(lambda: is_closed(crowded[0]), what="the oldest has gone")
        assert not is_closed(crowded[-1])


def test_a_stranger_has_little_time(installation: Installation) -> None:
    """It is closed though there is room, a TLS handshake that never ends as well."""
    certificate = with_certificate(self_signed(installation.directory))
    environment = gateway_environment(installation, **certificate)
    hasty = "import producers.gateway.door as d; d.STRANGER_SECONDS = 0.5"
    with (
        gateway_running(environment, installation.directory, before=hasty) as gateway,
        raw(gateway) as stranger,
    ):
        wait_for(lambda: is_closed(stranger), what="it is closed")
        assert gateway.call("/healthz").status == 200


def test_a_process_that_may_open_few_files_goes_on(installation: Installation) -> None:
    """It says so at the start, has fewer places, and answers with more strangers than files."""
    few = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))"
    environment = gateway_environment(installation)
    with (
        gateway_running(environment, installation.directory, before=few) as gateway,
        ExitStack() as stack,
    ):
        assert "The gateway may open 300 files" in gateway.process.output()
        crowd(gateway, stack, 400)
        payload = alertmanager_payload()
        assert gateway.call("/v1/alertmanager", payload).status == 202
        assert gateway.call("/readyz").status == 200


def test_without_a_file_to_open_strangers_make_room(installation: Installation) -> None:
    """Others of the process may have taken all of them: the door waits, and goes on."""
    few = (
        "import producers.gateway.server as s; s._places = s.Places;"
        " import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))"
    )
    environment = gateway_environment(installation)
    with (
        gateway_running(environment, installation.directory, before=few) as gateway,
        ExitStack() as stack,
    ):
        crowd(gateway, stack, 200)
        wait_for(
            lambda: "may open no more files" in gateway.process.output(), what="the system refuses"
        )
        assert gateway.call("/healthz").status == 200


@pytest.mark.parametrize("tls", [False, True])
def test_what_is_no_http_fills_no_log(installation: Installation, tls: bool) -> None:
    """However many send it, the log has a line at first and one a minute."""
    certificate = with_certificate(self_signed(installation.directory)) if tls else {}
    environment = gateway_environment(installation, **certificate)
    with gateway_running(environment, installation.directory) as gateway:
        before = len(gateway.process.output())
        for _ in range(200):
            with raw(gateway) as connection:
                connection.sendall(b"\x00 this is none\r\n\r\n")
                wait_for(lambda c=connection: is_closed(c), what="it is closed")
        assert gateway.call("/healthz").status == 200
        told = gateway.process.output()[before:]
    assert "Connections: " in told
    assert len(told) < 2_000


def test_very_many_requests_behind_one_another_are_refused(gateway: GatewayProcess) -> None:
    """Each would be kept until those before it are answered."""
    with raw(gateway) as connection:
        connection.sendall(asked(b"/readyz") * (MOST_PIPELINED + 100))
        with connection.makefile("rb") as answers:
            assert answers.read().endswith(b"Invalid HTTP request received.")
    status = Path(f"/proc/{gateway.process.process.pid}/status").read_text()
    assert "State:\tZ" not in status


def test_receipts_that_wait_for_postgresql_keep_no_alert_out(installation: Installation) -> None:
    """A thousand of them with PostgreSQL hanging: each is answered, and so is everything else."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=2_000) as silent,
        ExitStack() as stack,
    ):
        url = f"postgresql+psycopg://x:x@127.0.0.1:{silent.getsockname()[1]}/andon"
        environment = gateway_environment(installation, ANDON_GATEWAY_DATABASE_URL=url)
        gateway = stack.enter_context(gateway_running(environment, installation.directory))
        askers = []
        for _ in range(1_000):
            asker = stack.enter_context(raw(gateway))
            asker.sendall(asked(f"/v1/requests/{SOURCE}/x".encode(), proof()))
            askers.append(asker)
            if len(askers) == MOST_ASKERS:
                assert gateway.call("/v1/alertmanager", alertmanager_payload()).status == 202
        assert gateway.call("/v1/alertmanager", alertmanager_payload()).status == 202
        assert gateway.call("/readyz").status == 200
        for asker in askers:
            answer = answer_of(asker)
            assert answer.status == 503
            assert "retry-after" in answer.headers
        assert gateway.process.output().count("receipts not read") < 10
        assert gateway.process.terminate() == 0
