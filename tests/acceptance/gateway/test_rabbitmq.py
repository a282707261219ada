"""The gateway in front of RabbitMQ: the same promises on the second engine."""

from collections import Counter

from tests.support.gateways import (
    alert,
    alertmanager_payload,
    gateway_environment,
    gateway_running,
)
from tests.support.installation import Installation
from tests.support.rabbitmq import rabbitmq_queues
from tests.support.waiting import wait_for
from tests.support.workers import running

CALLS, GROUP = 20, 10


def test_alerts_reach_the_worker_over_rabbitmq(installation: Installation) -> None:
    """Each alert of each call opens its incident, and the gateway says that it is ready."""
    with rabbitmq_queues() as (url, names):
        intake = {"ANDON_BROKER_URL": url, "ANDON_NAMESPACE": names.namespace}
        directory = installation.directory
        with (
            running(installation.environment() | intake, directory),
            gateway_running(gateway_environment(installation, **intake), directory) as gateway,
        ):
            assert gateway.call("/readyz").status == 200
            keys = []
            for call in range(CALLS):
                group = [f"alert-{call}-{number}" for number in range(GROUP)]
                payload = alertmanager_payload(*(alert(key, fingerprint=key) for key in group))
                assert gateway.call("/v1/alertmanager", payload).status == 202
                keys += group

            def opened() -> Counter[str]:
                return Counter(
                    key for (key,) in installation.rows("SELECT dedup_key FROM incidents")
                )

            wait_for(lambda: sum(opened().values()) >= len(keys), what="every incident")
        assert opened() == Counter(keys)
        assert installation.rows("SELECT FROM halts") == []
