"""Asking for procedures one at a time, and what comes of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.installation import Installation
from tests.support.requests import SOURCE, delivery, event, report

_START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


def at(minute: float) -> datetime:
    """A time not long ago, so that the order of events can be said in minutes."""
    return _START + timedelta(minutes=minute)


def ask(
    installation: Installation,
    procedure: str,
    data: Any,
    *,
    id: str | None = None,
    source: str = SOURCE,
    time: datetime | None = None,
) -> dict[str, Any]:
    """Run one request, and give the data of its outcome; nothing, if it waits."""
    key_id = f"{source}-1"
    (verdict,) = installation.process(
        delivery(event(procedure, data, id=id, source=source, time=time), key_id=key_id)
    )
    return verdict.outcome.data if verdict.outcome else {}


def done(installation: Installation, procedure: str, data: Any, **how: Any) -> dict[str, Any]:
    """The result of a request that is done."""
    outcome = ask(installation, procedure, data, **how)
    assert outcome.get("outcome") == "done", outcome
    result: dict[str, Any] = outcome["result"]
    return result


def halted(installation: Installation, procedure: str, data: Any, **how: Any) -> str:
    """The reason for which a request halts."""
    outcome = ask(installation, procedure, data, **how)
    assert outcome.get("outcome") == "halted", outcome
    return str(outcome["halt"]["reason"])


def open_incident(installation: Installation, **changes: Any) -> str:
    """Report an incident, and give its number."""
    how = {name: changes.pop(name) for name in ("id", "source", "time") if name in changes}
    return str(done(installation, "report_incident", report(**changes), **how)["incident_id"])
