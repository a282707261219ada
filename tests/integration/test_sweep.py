"""The sweep: it gets to everything that waits, however much that is."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tasks.pipeline import Pipeline
from tasks.sweep import Sweep
from tests.support.draining import intake_of
from tests.support.installation import Installation
from tests.support.requests import delivery, event, report, update
from tests.support.waiting import wait_for
from worker.redis_intake import RedisIntake, connect_redis, make_groups

WAITING = "SELECT request_id FROM waiting ORDER BY request_id"


@pytest.fixture
def sweep(installation: Installation) -> Iterator[Sweep]:
    """A sweep that looks at two requests at once."""
    settings = installation.settings
    client = connect_redis(settings.broker_url.get_secret_value())
    make_groups(client, settings.streams)
    intake = RedisIntake(client, settings.streams, settings.claim_idle, settings.outcomes_kept)
    yield Sweep(intake, installation.pipeline, settings.batch_size, looked_at_once=2)
    client.close()


def wait(installation: Installation, *numbers: int) -> None:
    """Have follow-ups wait, each for a report of its own."""
    installation.process(
        *(
            delivery(
                event(
                    "update_incident",
                    update(incident_id=None, incident_request={"id": f"report-{number}"}),
                    id=f"follow-up-{number}",
                )
            )
            for number in numbers
        )
    )


def decide(installation: Installation, *numbers: int) -> None:
    """Decide the reports of these follow-ups."""
    installation.process(
        *(delivery(event("report_incident", report(), id=f"report-{n}")) for n in numbers)
    )


def left(installation: Installation) -> list[int]:
    """Which follow-ups wait."""
    return [int(name.removeprefix("follow-up-")) for (name,) in installation.rows(WAITING)]


def test_a_sweep_looks_at_a_part_and_the_next_one_at_the_next(
    installation: Installation, sweep: Sweep
) -> None:
    """So it takes no longer when a million wait, and every one of them has its turn."""
    wait(installation, 1, 2, 3, 4, 5)
    decide(installation, 1, 2, 3, 4, 5)
    for still in ([3, 4, 5], [5], []):
        sweep.run()
        assert left(installation) == still


def test_what_came_before_the_part_has_its_turn_again(
    installation: Installation, sweep: Sweep
) -> None:
    """After the last part the first one is looked at again."""
    wait(installation, 2, 3, 4, 5)
    sweep.run()
    wait(installation, 1)
    decide(installation, 1, 2)
    sweep.run()
    assert left(installation) == [1, 2, 3, 4, 5]
    sweep.run()
    sweep.run()
    assert left(installation) == [3, 4, 5]


def test_what_waits_in_vain_halts_part_by_part(installation: Installation, sweep: Sweep) -> None:
    """Once nothing is left to wait for, and the patience is over."""
    means = installation.pipeline.means
    hasty = replace(means, rules=replace(means.rules, patience=timedelta(0)))
    sweep.pipeline = Pipeline(installation.pipeline.engine, hasty)
    wait(installation, 1, 2, 3)
    for still in ([3], []):
        sweep.run()
        assert left(installation) == still
    assert installation.rows("SELECT DISTINCT reason FROM halts") == [("incident_not_found",)]


def stick(installation: Installation) -> None:
    """An entry is accepted, and in hand ever since; it is never decided."""
    with intake_of(installation) as intake:
        intake.client.xadd(intake.names.intake(), {"event": "x"})
        (stuck,) = intake.receive(10)
        intake.renew([stuck])


def with_longest_wait(sweep: Sweep, longest: timedelta) -> Sweep:
    """The same, without patience, and with another bound of what is waited for."""
    means = sweep.pipeline.means
    rules = replace(means.rules, patience=timedelta(0), longest_wait=longest)
    pipeline = Pipeline(sweep.pipeline.engine, replace(means, rules=rules))
    return replace(sweep, pipeline=pipeline)


def test_a_follow_up_gives_up_though_an_entry_is_never_decided(
    installation: Installation, sweep: Sweep
) -> None:
    """What was accepted before it holds it up for as long as is set, and no longer."""
    stick(installation)
    wait(installation, 1)
    hasty = with_longest_wait(sweep, timedelta(milliseconds=200))

    def has_given_up() -> bool:
        hasty.run()
        return left(installation) == []

    wait_for(has_given_up, what="a follow-up that gives up")
    assert installation.rows("SELECT reason FROM halts") == [("incident_not_found",)]


def test_a_follow_up_waits_for_what_came_before_it(
    installation: Installation, sweep: Sweep
) -> None:
    """As long as the longest wait is not over, its report may be among that."""
    stick(installation)
    wait(installation, 1)
    patient = with_longest_wait(sweep, timedelta(hours=1))
    for _ in range(5):
        patient.run()
    assert left(installation) == [1]


def test_after_an_outage_nothing_is_overdue_at_once(
    installation: Installation, sweep: Sweep
) -> None:
    """What the outage has held up is decided first, however long it took."""
    stick(installation)
    wait(installation, 1)
    installation.execute("UPDATE waiting SET waits_since = now() - interval '3 days'")
    for _ in range(5):
        with_longest_wait(sweep, timedelta(hours=24)).run()
    assert left(installation) == [1]
