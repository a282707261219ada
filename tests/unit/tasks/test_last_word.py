"""One source's requests under one dedup key come to the same end in whatever order they arrive."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, permutations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from models.dedup import DedupKey
from models.deliveries import Delivery
from models.inputs import read_inputs
from models.outcomes import Identity
from models.people import Component
from models.rows import Incident
from models.tables import Door
from policy.lifecycle import is_open
from policy.people import User
from policy.procedures import REPORT_INCIDENT, UPDATE_INCIDENT
from policy.vocabulary import Role, UserStatus
from tasks import report_incident, update_incident
from tasks.decisions import Done
from tasks.facts import Facts
from tasks.requests import Request
from tasks.rules import Rules
from tests.support.requests import report, update

NOON = datetime(2025, 9, 25, 12, tzinfo=UTC)
KEY = DedupKey("monitor", "k")
REPORT = "report"
Word = str
"""What a request says of the thing: that it is there, or the status that an update names."""

_UPDATES = ("investigating", "in_progress", "resolved")


def _request(number: int, word: Word) -> Request[Any]:
    """The request that says *word* and was signed as the *number*-th."""
    if word == REPORT:
        procedure, data = REPORT_INCIDENT, report(dedup_key=KEY.id)
    else:
        procedure = UPDATE_INCIDENT
        data = update(incident_id=None, incident_dedup_key=KEY.id, change_set={"status": word})
    time = NOON + timedelta(seconds=number)
    inputs = read_inputs(procedure.name, data, now=time)
    return Request(
        identity=Identity(KEY.source, str(number)),
        procedure=procedure,
        inputs=inputs,
        time=time,
        now=time,
        received_at=time,
        event_time=time,
        body_hash=b"",
        delivery=Delivery(str(number), Door.INTAKE, b"", "", "", time),
    )


def _user(name: str, role: Role) -> User:
    return User(name, role, UserStatus.ACTIVE, None, None)


def _decided(requests: Sequence[Request[Any]]) -> Facts:
    """What is known when *requests* have been decided, in this order."""
    facts = Facts(
        rules=Rules(),
        users={
            "manager": _user("manager", Role.INCIDENT_MANAGER),
            "support": _user("support", Role.TECHNICAL_SUPPORT),
        },
        clients=frozenset({"acme"}),
        components={"gateway": Component("gateway", None)},
        ids={"incidents": count(1)},
    )
    for request in requests:
        procedure = report_incident if request.procedure is REPORT_INCIDENT else update_incident
        decision = procedure.decide(request, facts)
        assert isinstance(decision, Done), decision
        facts.apply(decision.rows)
    return facts


def _end(words: Sequence[Word], order: Sequence[int]) -> Incident | None:
    """The incident that the key names when they have been decided in this order."""
    requests = [_request(number, word) for number, word in enumerate(words)]
    return _decided([requests[number] for number in order]).newest_under(KEY)


def _is_at_work(incident: Incident | None) -> bool | None:
    return None if incident is None else is_open(incident.status)


@given(st.lists(st.sampled_from([REPORT, *_UPDATES]), min_size=2, max_size=7), st.randoms())
def test_whether_something_is_open_under_a_key_does_not_depend_on_the_order(
    words: list[Word], order: random.Random
) -> None:
    """No end that overtakes its report is lost, and no report that overtakes an end before it."""
    numbers = list(range(len(words)))
    shuffled = list(numbers)
    order.shuffle(shuffled)
    assert _is_at_work(_end(words, shuffled)) == _is_at_work(_end(words, numbers))


@given(st.lists(st.sampled_from([REPORT, "resolved"]), min_size=1, max_size=7), st.randoms())
def test_the_last_signed_word_about_a_key_stands(words: list[Word], order: random.Random) -> None:
    """Whatever the order, the key is at work after a report and resolved after an update."""
    numbers = list(range(len(words)))
    order.shuffle(numbers)
    end = _end(words, numbers)
    if REPORT not in words:
        assert end is None
    else:
        assert end is not None
        assert end.status == ("open" if words[-1] == REPORT else "resolved")


@given(st.lists(st.sampled_from([REPORT, *_UPDATES]), min_size=1, max_size=7), st.randoms())
def test_never_are_two_open_under_a_key(words: list[Word], order: random.Random) -> None:
    """Reports join what is open, in whatever order they come."""
    numbers = list(range(len(words)))
    order.shuffle(numbers)
    requests = [_request(number, word) for number, word in enumerate(words)]
    facts = _decided([requests[number] for number in numbers])
    at_work = [number for number, each in facts.incidents.items() if is_open(each.status)]
    assert at_work in ([], [facts.newest.get(KEY)])


def test_one_alert_that_ends_is_the_same_incident_in_any_order() -> None:
    """Reported, looked into, resolved: one incident, resolved, with the time of its resolution."""
    words = (REPORT, "investigating", "resolved")
    for order in permutations(range(3)):
        requests = [_request(number, word) for number, word in enumerate(words)]
        facts = _decided([requests[number] for number in order])
        (incident,) = facts.incidents.values()
        assert incident.status == "resolved", order
        assert incident.resolution_timestamp == NOON + timedelta(seconds=2), order
