"""Follow-ups that overtake their report, through a real worker and real schedules."""

from pathlib import Path
from typing import Any

import redis

from tests.support.installation import Installation
from tests.support.requests import communication, escalation, event, report, update
from tests.support.traffic import Traffic, read_books
from tests.support.waiting import wait_for
from tests.support.workers import running


def follow_ups(report_id: str) -> dict[str, bytes]:
    """One request of each kind about the incident that a report opens, by their ids."""
    reference: dict[str, Any] = {"incident_id": None, "incident_request": {"id": report_id}}
    return {
        f"{report_id}/update": event(
            "update_incident", update(**reference), id=f"{report_id}/update"
        ),
        f"{report_id}/escalation": event(
            "submit_escalation", escalation(**reference), id=f"{report_id}/escalation"
        ),
        f"{report_id}/communication": event(
            "record_communication", communication(**reference), id=f"{report_id}/communication"
        ),
    }


def test_follow_ups_wait_for_their_report_and_not_for_ever(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """They are decided when the report comes, halt when it halted, and halt when none comes."""
    traffic = Traffic(broker)
    patient = installation.environment() | {"ANDON_PATIENCE": "600"}
    early = {name: follow_ups(name) for name in ("good", "bad", "never")}
    with running(patient, tmp_path) as worker:
        with running(patient, tmp_path, what="run_schedules") as schedules:
            traffic.put(*(one for requests in early.values() for one in requests.values()))
            traffic.put(*early["good"].values())  # once more: duplicates of what waits
            traffic.wait_until_empty()
            assert len(installation.rows("SELECT FROM waiting")) == 9
            assert read_books(installation, traffic).pending == 9
            assert traffic.outcomes() == []

            traffic.put(
                event("report_incident", report(), id="good"),
                event("report_incident", report(client_id="nobody"), id="bad"),
            )
            wait_for(lambda: len(traffic.outcomes_by_id()) == 8, what="six follow-ups decided")
            assert schedules.terminate() == 0
        by_id = traffic.outcomes_by_id()
        ((incident_id,),) = installation.rows("SELECT incident_id FROM incidents")
        for name in early["good"]:
            assert by_id[name][-1]["result"]["incident_id"] == str(incident_id), name
        for name in early["bad"]:
            assert by_id[name][-1]["halt"]["reason"] == "incident_not_found", name
        assert not early["never"].keys() & by_id.keys()
        assert installation.rows("SELECT DISTINCT report_id FROM waiting") == [("never",)]

        impatient = installation.environment() | {"ANDON_PATIENCE": "1"}
        with running(impatient, tmp_path, what="run_schedules") as schedules:
            wait_for(lambda: len(traffic.outcomes_by_id()) == 11, what="the last three halted")
            assert schedules.terminate() == 0
        assert worker.terminate() == 0

    by_id = traffic.outcomes_by_id()
    for name in early["never"]:
        assert [one["halt"]["reason"] for one in by_id[name]] == ["incident_not_found"], name
    told_as_halts = {halt["data"]["request"]["id"] for halt in traffic.halts()}
    assert told_as_halts == {"bad", *early["bad"], *early["never"]}
    for table in ("incident_updates", "escalations", "communications"):
        ((request_id,),) = installation.rows(f"SELECT request_id FROM {table}")  # noqa: S608
        assert request_id.startswith("good/")
    assert installation.rows("SELECT FROM waiting") == []
    books = read_books(installation, traffic)
    assert books.balanced, books
    assert (books.done, books.halted, books.duplicates, books.pending) == (4, 7, 3, 0)
