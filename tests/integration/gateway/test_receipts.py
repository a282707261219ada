"""Receipts: what has become of a request, for its own source alone."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ProgrammingError

from tests.support.gateways import GatewayProcess, bearer, gateway_environment, gateway_running
from tests.support.installation import Installation
from tests.support.requests import SOURCE, delivery, event, report


def receipt(gateway: GatewayProcess, id_: str) -> Any:
    """What the gateway says of a request of the tests' source."""
    answer = gateway.call(f"/v1/requests/{SOURCE}/{quote(id_, safe='')}")
    assert answer.status == 200, answer.body
    return answer.document


@pytest.mark.parametrize("id_", ["plain", "with/slash", "with space?#%", "ümlaut", "r" * 255])
def test_a_receipt_says_what_became_of_a_request(
    gateway: GatewayProcess, installation: Installation, id_: str
) -> None:
    """Pending until it is decided, then done with its result, whatever its id is made of."""
    assert receipt(gateway, id_) == {"source": SOURCE, "id": id_, "state": "pending"}
    installation.process(delivery(event("report_incident", report(), id=id_)))
    found = receipt(gateway, id_)
    assert found["state"] == "done"
    assert found["procedure"] == "report_incident"
    assert found["result"] == {"incident_id": "1", "severity": "P2", "status": "open"}
    assert found["decided_at"].endswith("Z")


def test_the_receipt_of_a_halted_request_names_the_reason(
    gateway: GatewayProcess, installation: Installation
) -> None:
    """With the halt's number, its message and every fault."""
    installation.process(
        delivery(event("report_incident", report(title=None, client_id="?"), id="x"))
    )
    halt = receipt(gateway, "x")["halt"]
    assert halt["reason"] == "missing_input"
    assert halt["id"] == "1"
    assert [error["path"] for error in halt["errors"]] == ["$.data.title", "$.data.client_id"]


@pytest.mark.parametrize("path", ["monitor", "monitor/", "/x", "monitor/x/y", "monitor/x%00", ""])
def test_what_names_no_request_is_not_found(gateway: GatewayProcess, path: str) -> None:
    """A slash within a source or an id has to be percent-encoded."""
    assert gateway.call(f"/v1/requests/{path}").status == 404


def test_the_gateway_s_role_reads_receipts_and_nothing_else(installation: Installation) -> None:
    """Neither other tables, nor the hashes of the ledger, and it writes nothing."""
    engine = create_engine(installation.urls.gateway)
    tables = [
        name
        for (name,) in installation.rows(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        )
    ]
    assert "incidents" in tables
    attempts = [
        *(f"TABLE {name}" for name in tables if name != "requests"),
        "SELECT body_hash FROM requests",
        "DELETE FROM requests",
        "UPDATE requests SET halted = false",
    ]
    try:
        for statement in attempts:
            with engine.connect() as connection:
                connection.execute(text("SET TRANSACTION READ WRITE"))
                with pytest.raises(ProgrammingError) as refused:
                    connection.execute(text(statement))
            assert "permission denied" in str(refused.value), statement
    finally:
        engine.dispose()


@pytest.fixture
def without_database(installation: Installation) -> Iterator[GatewayProcess]:
    """A gateway that was given none."""
    environment = gateway_environment(installation, ANDON_GATEWAY_DATABASE_URL="")
    with gateway_running(environment, installation.directory) as running:
        yield running


def test_without_a_database_there_are_no_receipts(without_database: GatewayProcess) -> None:
    """501 says so, and everything else works."""
    assert without_database.call(f"/v1/requests/{SOURCE}/x").status == 501
    assert without_database.call("/readyz").status == 200


def test_a_database_that_is_away_is_503(installation: Installation) -> None:
    """Alerts are taken all the same."""
    away = "postgresql+psycopg://andon_gateway:x@127.0.0.1:1/andon"
    environment = gateway_environment(installation, ANDON_GATEWAY_DATABASE_URL=away)
    with gateway_running(environment, installation.directory) as gateway:
        refused = gateway.call(f"/v1/requests/{SOURCE}/x", headers=bearer())
        assert refused.status == 503
        assert "retry-after" in refused.headers
        assert gateway.call("/readyz").status == 200
