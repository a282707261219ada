"""The short form of the fault harness, and that it would find what it looks for.

`make faults` runs it longer.
"""

import os

import pytest

from tests.acceptance.faults.accounting import Wrong
from tests.acceptance.faults.brokers import RabbitStage, RedisStage
from tests.acceptance.faults.faulting import OF_A_BROKER_OF_ITS_OWN, Fault
from tests.acceptance.faults.planning import REPORTS_ONLY
from tests.acceptance.faults.running import Run, carry_out, place
from tests.acceptance.faults.tampering import Tampering
from tests.support.rabbitmq import VARIABLE

SEED = 20_250_925


def test_faults_of_every_kind_lose_and_double_nothing() -> None:
    """Whatever is killed, stopped, cut or stalled, each request ends once and as it must."""
    run = Run(SEED, requests=600, faults=len(Fault), poison=1)
    with place("redis") as directory:
        result = carry_out(run, directory, RedisStage(directory))
        assert result.account.findings == []
        assert set(result.faults) == set(Fault)
        assert result.amid > 0
        assert result.account.ends["worker_lost"] == 1


def test_faults_of_every_kind_lose_and_double_nothing_on_rabbitmq() -> None:
    """The same holds where RabbitMQ is the broker."""
    url = os.environ.get(VARIABLE)
    if not url:
        pytest.skip(f"{VARIABLE} names no RabbitMQ")
    run = Run(SEED, requests=600, faults=len(Fault) - len(OF_A_BROKER_OF_ITS_OWN), poison=1)
    with place("rabbitmq") as directory:
        result = carry_out(run, directory, RabbitStage(url))
        assert result.account.findings == []
        assert set(result.faults) == set(Fault) - OF_A_BROKER_OF_ITS_OWN
        assert result.account.ends["worker_lost"] == 1


def test_the_account_shows_losses_where_a_worker_acknowledges_before_it_commits() -> None:
    """A worker that acknowledges what it has read loses requests, and each of them is named."""
    run = Run(
        SEED,
        requests=600,
        faults=8,
        harm=frozenset({Fault.KILL_POOL, Fault.KILL_WORKER, Fault.DROP_POSTGRES}),
        tampering=Tampering.ACKNOWLEDGES_EARLY,
        settings={"ANDON_PATIENCE": "1"},
    )
    with place("redis") as directory:
        account = carry_out(run, directory, RedisStage(directory)).account
        assert account.count(Wrong.LOST) > 0
        assert account.count(Wrong.STATUS) > 0, "andon status must miss them too"
        assert account.count(Wrong.DOUBLED) == 0


def test_the_account_shows_doubles_where_a_worker_forgets_what_it_knows() -> None:
    """A worker without a look into the ledger opens incidents twice, and each of them is named."""
    run = Run(
        SEED,
        requests=300,
        faults=3,
        stories=REPORTS_ONLY,
        harm=frozenset({Fault.KILL_WORKER, Fault.LOSE_BROKER, Fault.LOSE_PRODUCERS}),
        tampering=Tampering.FORGETS_IDENTITIES,
    )
    with place("redis") as directory:
        account = carry_out(run, directory, RedisStage(directory)).account
        assert account.count(Wrong.DOUBLED) > 0
        assert account.count(Wrong.LOST) == 0


def test_the_account_shows_losses_where_a_gateway_answers_before_it_has_published() -> None:
    """What such a gateway loses when it is killed, is named."""
    run = Run(
        SEED,
        requests=300,
        faults=4,
        harm=frozenset({Fault.KILL_GATEWAY}),
        tampering=Tampering.ANSWERS_EARLY,
        settings={"ANDON_PATIENCE": "1"},
    )
    with place("redis") as directory:
        account = carry_out(run, directory, RedisStage(directory)).account
        assert account.count(Wrong.LOST) > 0
        assert account.count(Wrong.DOUBLED) == 0
