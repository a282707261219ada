"""A real Prometheus Alertmanager, with a gateway as its only receiver."""

import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from tests.support.gateways import PASSWORD, USERNAME, GatewayProcess
from tests.support.waiting import wait_for

PROGRAM = "prometheus-alertmanager"

CONFIGURATION = """
route:
  receiver: andon
  group_by: [alertname]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 2s
receivers:
  - name: andon
    webhook_configs:
      - url: {url}/v1/alertmanager
        send_resolved: true
        http_config:
          basic_auth: {{ username: {username}, password: {password} }}
          tls_config: {{ insecure_skip_verify: true }}
"""


@contextmanager
def alertmanager(gateway: GatewayProcess, directory: Path) -> Iterator[str]:
    """Its URL, while it runs with the gateway as its only receiver."""
    program = shutil.which(PROGRAM)
    if program is None:
        pytest.skip(f"there is no {PROGRAM} on the PATH: apt-get install {PROGRAM}")
    file = directory / "alertmanager.yml"
    file.write_text(CONFIGURATION.format(url=gateway.url, username=USERNAME, password=PASSWORD))
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    log = directory / "alertmanager.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={file}",
                f"--storage.path={directory / 'alertmanager'}",
                f"--web.listen-address={url.removeprefix('http://')}",
                "--cluster.listen-address=",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(lambda: _is_ready(url), what="Alertmanager ready")
        yield url
    except BaseException:
        print(log.read_text()[-5_000:])
        raise
    finally:
        process.kill()
        process.wait()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=30) as answer:  # noqa: S310  # our own
            return bool(answer.status == 200)
    except OSError:
        return False


def push(url: str, *, ends: timedelta, name: str = "DiskFull") -> None:
    """Give Alertmanager an alert through its API, as Prometheus does."""
    now = datetime.now(UTC)
    alerts = [
        {
            "labels": {"alertname": name, "severity": "critical", "instance": "db-7"},
            "annotations": {"summary": "The disk of db-7 is full"},
            "startsAt": (now - timedelta(minutes=5)).isoformat(),
            "endsAt": (now + ends).isoformat(),
            "generatorURL": "http://prometheus/graph",
        }
    ]
    request = urllib.request.Request(  # noqa: S310  # our own
        f"{url}/api/v2/alerts", orjson.dumps(alerts), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        assert answer.status == 200
