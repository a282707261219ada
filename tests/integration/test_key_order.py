"""An end and a report under one dedup key that overtake each other (DESIGN 6, "Order")."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tasks.prune import prune
from tests.support.asking import ask, at, done, halted, open_incident
from tests.support.installation import Installation
from tests.support.requests import delivery, event, report, update

REPORT, UPDATE = "report_incident", "update_incident"
STATES = "SELECT status, recurrence_of, resolution_timestamp FROM incidents ORDER BY incident_id"


def _resolve(**changes: Any) -> dict[str, Any]:
    return update(
        **{"incident_id": None, "incident_dedup_key": "k", "change_set": {"status": "resolved"}}
        | changes
    )


def _found_nothing(installation: Installation, minute: float, **changes: Any) -> None:
    """Let an update be decided before its report; its outcome is that of any that finds nothing."""
    result = done(installation, UPDATE, _resolve(**changes), id=f"u{minute}", time=at(minute))
    assert result == {"incident_id": None, "version": None, "changed": []}


def _reported(installation: Installation, minute: float, **changes: Any) -> dict[str, Any]:
    return done(
        installation, REPORT, report(dedup_key="k", **changes), id=f"r{minute}", time=at(minute)
    )


def test_an_end_that_is_decided_before_its_report_is_not_lost(installation: Installation) -> None:
    """Two batches in the wrong order: the report opens an incident that is resolved at once."""
    _found_nothing(installation, 2)
    assert _reported(installation, 1) == {
        "incident_id": "1",
        "severity": "P2",
        "status": "resolved",
    }
    assert installation.rows(STATES) == [("resolved", None, at(2))]
    assert installation.rows(
        "SELECT field, old_value, new_value, updated_by_user, updated_at, request_id"
        " FROM incident_updates ORDER BY update_id"
    ) == [
        ("status", "open", "resolved", "support", at(2), "u2"),
        ("resolution_timestamp", None, f"{at(2).isoformat(timespec='microseconds')}", "support",
         at(2), "u2"),
    ]  # fmt: skip
    assert installation.rows("SELECT version FROM incidents") == [(2,)]


def test_the_audit_of_the_report_names_the_update_that_overtook_it(
    installation: Installation,
) -> None:
    """What happened to the incident happened in the report's transaction, and is recorded there."""
    _found_nothing(installation, 2)
    _reported(installation, 1)
    contexts = dict(installation.rows("SELECT request_id, context FROM audit_records"))
    assert contexts["u2"] == {"changed": [], "nothing_open": True}
    assert contexts["r1"]["early_update"] == "u2"


def test_a_report_signed_after_the_end_opens_a_new_incident(installation: Installation) -> None:
    """An end speaks of what was before it, and on a tie of what was decided before it."""
    _found_nothing(installation, 2)
    assert _reported(installation, 2)["status"] == "open"
    assert installation.rows(STATES) == [("open", None, None)]


def test_an_end_that_overtakes_the_report_of_a_recurrence_is_not_lost(
    installation: Installation,
) -> None:
    """The last incident is closed by then, so there is nothing to update either."""
    _reported(installation, 1)
    done(installation, UPDATE, update(change_set={"status": "closed"}), time=at(2))
    done(installation, UPDATE, _resolve(change_set={"status": "closed"}), time=at(4))
    assert _reported(installation, 3)["status"] == "closed"
    assert [row[:2] for row in installation.rows(STATES)] == [("closed", None), ("closed", 1)]
    late = update(incident_id="2", change_set={"title": "x"})
    assert halted(installation, UPDATE, late, time=at(5)) == "incident_closed"


def test_a_report_signed_before_the_end_of_an_incident_belongs_to_it(
    installation: Installation,
) -> None:
    """It is noted there, and opens none that nobody would resolve."""
    _reported(installation, 1)
    done(installation, UPDATE, _resolve(), time=at(3))
    assert _reported(installation, 2) == {
        "incident_id": "1",
        "severity": "P2",
        "status": "resolved",
        "deduplicated": True,
    }
    assert len(installation.rows(STATES)) == 1
    assert _reported(installation, 4)["status"] == "open"


def test_an_end_signed_before_a_repeated_report_does_not_end_it(
    installation: Installation,
) -> None:
    """The other way round: the status is superseded by the report, which says that it goes on."""
    _reported(installation, 1)
    _reported(installation, 3)
    result = done(installation, UPDATE, _resolve(note="seen"), time=at(2))
    assert (result["changed"], result["superseded"]) == ([], ["status"])
    assert installation.rows(STATES) == [("open", None, None)]
    assert done(installation, UPDATE, _resolve(), time=at(4))["changed"] == [
        "status",
        "resolution_timestamp",
    ]


def test_only_an_end_is_held_back_by_a_repeated_report(installation: Installation) -> None:
    """An acknowledgement does not deny that it goes on, so it counts however late it comes."""
    _reported(installation, 1)
    _reported(installation, 3)
    acknowledge = _resolve(change_set={"status": "investigating"})
    assert done(installation, UPDATE, acknowledge, time=at(2))["changed"] == ["status"]


def test_who_names_the_incident_itself_may_end_it_whenever_it_was_reported_again(
    installation: Installation,
) -> None:
    """Only an update by dedup key speaks of whatever is open under the key."""
    _reported(installation, 1)
    _reported(installation, 3)
    done(installation, UPDATE, update(change_set={"status": "resolved"}), time=at(2))
    assert [row[0] for row in installation.rows(STATES)] == ["resolved"]


@pytest.mark.parametrize("first", [2, 3])
def test_the_latest_of_several_early_updates_counts(
    installation: Installation, first: float
) -> None:
    """In whichever order they were decided."""
    statuses = {2: "investigating", 3: "resolved"}
    for minute in (first, 5 - first):
        _found_nothing(installation, minute, change_set={"status": statuses[int(minute)]})
    assert _reported(installation, 1)["status"] == "resolved"


def test_an_early_update_keeps_the_resolution_that_it_states(installation: Installation) -> None:
    """As it would have, had it come after the report."""
    stated = "2025-09-25T12:30:00Z"
    change_set = {"status": "resolved", "resolution_timestamp": stated}
    _found_nothing(installation, 2, change_set=change_set)
    _reported(installation, 1)
    assert [row[2] for row in installation.rows(STATES)] == [datetime.fromisoformat(stated)]


BEFORE_DETECTION = {"status": "resolved", "resolution_timestamp": "2025-09-25T11:00:00Z"}


@pytest.mark.parametrize(
    ("early", "late"),
    [
        ({"updated_by_user": "acme-manager"}, {"client_id": "globex"}),
        ({"change_set": {"status": "open"}},
         {"status": "resolved", "resolution_timestamp": "2025-09-25T12:00:00Z"}),
        ({"change_set": BEFORE_DETECTION}, {}),
    ],
    ids=["no association", "forbidden move", "before detection"],
)  # fmt: skip
def test_an_early_update_that_would_have_halted_changes_nothing(
    installation: Installation, early: dict[str, Any], late: dict[str, Any]
) -> None:
    """Nothing happens without authority, nor against the policy; the report itself is done."""
    _found_nothing(installation, 2, **early)
    result = _reported(installation, 1, **late)
    assert result["status"] == late.get("status", "open")
    assert installation.rows("SELECT count(*) FROM incident_updates") == [(0,)]


def test_who_may_no_longer_act_when_the_report_comes_changes_nothing(
    installation: Installation,
) -> None:
    """Authority is proven where something is done."""
    _found_nothing(installation, 2)
    installation.execute("UPDATE users SET status = 'inactive' WHERE user_id = 'support'")
    assert _reported(installation, 1)["status"] == "open"


def test_within_one_batch_an_early_update_is_not_lost_either(installation: Installation) -> None:
    """The batch sees what it remembers, and stores what its key comes to."""
    installation.process(
        delivery(event(UPDATE, _resolve(), time=at(2))),
        delivery(event(REPORT, report(dedup_key="k"), time=at(1))),
        delivery(event(UPDATE, _resolve(incident_dedup_key="other"), time=at(2))),
    )
    assert [row[0] for row in installation.rows(STATES)] == ["resolved"]
    assert installation.rows(
        "SELECT dedup_key, incident_id, early_update_time FROM dedup_keys ORDER BY dedup_key"
    ) == [("k", 1, at(2)), ("other", None, at(2))]


def test_each_source_remembers_for_itself(installation: Installation) -> None:
    """Another source's report under the same key is opened as it is."""
    _found_nothing(installation, 2)
    open_incident(installation, dedup_key="k", source="narrow", time=at(1))
    assert [row[0] for row in installation.rows(STATES)] == ["open"]


def test_an_update_that_expects_a_version_has_seen_its_incident(
    installation: Installation,
) -> None:
    """It is no early one, and nothing is kept of it."""
    ask(installation, UPDATE, _resolve(expected_version=1), time=at(2))
    assert installation.rows("SELECT * FROM dedup_keys") == []


def test_an_early_update_is_forgotten_when_its_report_would_be_expired(
    installation: Installation,
) -> None:
    """With a retention, and only where nothing was ever opened under its key."""
    _found_nothing(installation, 2)
    _found_nothing(installation, 3, incident_dedup_key="younger")
    _found_nothing(installation, 2.5, incident_dedup_key="opened")
    open_incident(installation, dedup_key="opened", time=at(1))

    def keys_after(retention: timedelta | None) -> list[str]:
        prune(
            installation.pipeline.engine,
            oldest_undecided=lambda: None,
            ledger_retention=retention,
            halt_retention=timedelta(days=30),
            clock=lambda _: at(10),
        )
        return [key for (key,) in installation.rows("SELECT dedup_key FROM dedup_keys ORDER BY 1")]

    assert keys_after(None) == ["k", "opened", "younger"]
    assert keys_after(timedelta(minutes=8)) == ["k", "opened", "younger"]
    assert keys_after(timedelta(minutes=7.4)) == ["opened", "younger"]
