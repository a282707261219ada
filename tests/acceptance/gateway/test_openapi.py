"""schemathesis against the OpenAPI document that the gateway serves, with real credentials."""

from collections import Counter
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import Case, GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.gateways import (
    GatewayProcess,
    alertmanager_payload,
    bearer,
    gateway_environment,
    gateway_running,
    grafana_payload,
    trigger,
)
from tests.support.installation import Installation
from tests.support.requests import SOURCE, event, report

_EXAMPLES = 100
"""Of each kind, an operation."""
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_GOOD: dict[str, dict[str, Any]] = {
    "/v1/alertmanager": {"body": alertmanager_payload()},
    "/v1/grafana": {"body": grafana_payload()},
    "/v2/enqueue": {"body": trigger()},
    "/v1/events": {
        "body": event("report_incident", report()),
        "media_type": "application/cloudevents+json",
    },
    "/v1/requests/{source}/{id}": {"path_parameters": {"source": SOURCE, "id": "x"}},
}
"""What makes an operation succeed; the others take nothing, so nothing is made up for them."""


def test_every_answer_is_one_that_the_document_promises(installation: Installation) -> None:
    """No server error, no undocumented answer, and success on every operation."""
    load_all_checks()
    with gateway_running(gateway_environment(installation), installation.directory) as gateway:
        document = gateway.call("/openapi.json").document
        operations = [
            found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations()
        ]
        assert {operation.path for operation in operations} == document["paths"].keys()
        answers: Counter[tuple[str, int]] = Counter()
        for operation in operations:
            good = operation.Case(**_GOOD.get(operation.path, {}))
            _call(gateway, good, answers)
            for mode in GenerationMode if operation.path in _GOOD else ():
                _try(gateway, operation, mode, answers)
        succeeded = {path for path, status in answers if 200 <= status < 300}
        assert succeeded == document["paths"].keys(), answers
        assert "Traceback" not in gateway.process.output()


def _try(
    gateway: GatewayProcess, operation: Any, mode: GenerationMode, answers: Counter[tuple[str, int]]
) -> None:
    """Send what schemathesis makes up."""

    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    @hypothesis.settings(
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def send(case: Case) -> None:
        _call(gateway, case, answers)

    send()


def _call(gateway: GatewayProcess, case: Case, answers: Counter[tuple[str, int]]) -> None:
    response = case.call(base_url=gateway.url, headers=bearer())
    answers[case.operation.path, response.status_code] += 1
    case.validate_response(response, checks=_CHECKS)
