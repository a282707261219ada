"""Which settings decide about requests, and what holds when nobody sets them."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from tasks.rules import Rules
from worker.settings import load_settings

NEEDED = {
    "ANDON_DATABASE_URL": "postgresql://andon@localhost/andon",
    "ANDON_BROKER_URL": "redis://localhost:6379/0",
    "ANDON_PRODUCERS_FILE": "producers.toml",
    "ANDON_AUDIT_KEY": "first:" + "ab" * 32,
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with what every installation must say, and nothing else."""
    for name in [name for name in os.environ if name.startswith("ANDON_")]:
        monkeypatch.delenv(name)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_client_contacts_may_not_report_by_default(tmp_path: Path) -> None:
    """The setting is off by default; identities are kept for ever, and patience is 60 seconds."""
    assert load_settings(tmp_path).rules == Rules(
        clients_may_report=False,
        ledger_retention=None,
        patience=timedelta(seconds=60),
        key_patience=timedelta(seconds=10),
        longest_wait=timedelta(days=1),
    )


def test_an_organisation_may_set_its_rules(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each of them has its variable."""
    environment.setenv("ANDON_CLIENTS_MAY_REPORT", "true")
    environment.setenv("ANDON_LEDGER_RETENTION_DAYS", "90")
    environment.setenv("ANDON_PATIENCE", "2.5")
    environment.setenv("ANDON_KEY_PATIENCE", "1.5")
    environment.setenv("ANDON_LONGEST_WAIT", "3600")
    assert load_settings(tmp_path).rules == Rules(
        clients_may_report=True,
        ledger_retention=timedelta(days=90),
        patience=timedelta(seconds=2.5),
        key_patience=timedelta(seconds=1.5),
        longest_wait=timedelta(hours=1),
    )
