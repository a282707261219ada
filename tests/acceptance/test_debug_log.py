"""Debug logging says more of what Andon does, and nothing of what requests hold."""

from pathlib import Path

import pytest
import redis
from celery import Celery

from models.signatures import sign
from tests.support.installation import Installation
from tests.support.requests import KEY_ID, SECRET, event, report
from tests.support.servers import Servers
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.support.workers import running

MARK = "Checkout of ACME is down"


@pytest.mark.parametrize("log_json", ["true", "false"])
def test_no_line_holds_a_title_or_a_password(
    servers: Servers,
    installation: Installation,
    broker: redis.Redis,
    tmp_path: Path,
    log_json: str,
) -> None:
    """Plain tasks, the intake, and messages that no worker can take, at ANDON_LOG_LEVEL=debug."""
    settings = {"ANDON_LOG_LEVEL": "debug", "ANDON_LOG_JSON": log_json}
    app = Celery("caller", broker=servers.redis_url, set_as_current=False)
    app.conf.task_default_queue = "andon:tasks"
    traffic = Traffic(broker)
    with running(installation.environment() | settings, tmp_path) as worker:
        asked = event("report_incident", report(title=MARK), id="plain")
        signed = {"event": asked.decode(), "key": KEY_ID, "signature": sign(asked, SECRET)}
        app.send_task("andon.report_incident", kwargs=signed)
        app.send_task("andon.report_incident", args=[MARK, MARK])
        app.send_task("andon.unheard_of", args=[MARK])
        traffic.put(event("report_incident", report(title=MARK), id="intake"))
        traffic.put_raw({"event": MARK})
        wait_for(
            lambda: (
                len(installation.rows("SELECT FROM requests")) == 2
                and len(installation.rows("SELECT FROM halts")) == 2
                and "andon.unheard_of" in worker.output()
            ),
            what="everything decided",
        )
        assert worker.terminate() == 0
    app.close()
    password = servers.redis_url.partition("default:")[2].partition("@")[0]
    assert password
    assert MARK not in worker.output()
    assert password not in worker.output()
