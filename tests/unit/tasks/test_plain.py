"""What a plain Celery task's message is read as, whatever its caller put there."""

import time
from collections.abc import Iterable
from typing import Any

import pytest
from celery import Celery, states
from hypothesis import given
from hypothesis import strategies as st

from models.deliveries import Delivery
from models.events import read_event
from policy.halts import Halt, Reason
from tasks.faults import Outage
from tasks.plain import PAUSE, add_plain_tasks, read_task
from tests.support.requests import KEY_ID, delivery, event, report

SIGNED = delivery(event("report_incident", report(), id="r1"))
ARGUMENTS = (SIGNED.event.decode(), KEY_ID, SIGNED.signature)
NAMED = dict(zip(("event", "key", "signature"), ARGUMENTS, strict=True))

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3)
    ),
    max_leaves=8,
)


def _entries(messages: Iterable[tuple[object, tuple[object, ...]]]) -> set[str]:
    return {read_task(task_id, args, {}).entry for task_id, args in messages}


@pytest.mark.parametrize("placed", range(4))
def test_three_texts_are_a_signed_event(placed: int) -> None:
    """By place or by name, as Celery has it."""
    named = dict(list(NAMED.items())[placed:])
    found = read_task("id", ARGUMENTS[:placed], named)
    assert (found.event, found.key_id, found.signature) == (
        SIGNED.event,
        KEY_ID,
        SIGNED.signature,
    )
    assert found.entry == read_task("id", ARGUMENTS, {}).entry


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((ARGUMENTS[0], {"a": 1}, "00"), {}),
        (({"specversion": "1.0"}, *ARGUMENTS[1:]), {}),
        ((*ARGUMENTS[:2], None), {}),
        (ARGUMENTS[:2], {}),
        ((*ARGUMENTS, "more"), {}),
        (ARGUMENTS, {"more": "x"}),
        (ARGUMENTS, {"more": 1}),
        ((), {"message": ARGUMENTS[0]}),
    ],
)
def test_anything_else_is_malformed_and_kept(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """It is no event, whatever it holds, and what came in its place is kept with its halt."""
    found = read_task("id", args, kwargs)
    halt = read_event(found.event)
    assert isinstance(halt, Halt)
    assert halt.reason is Reason.MALFORMED
    for value in (*args, *kwargs.values()):
        if isinstance(value, str) and value.isalnum():
            assert value.encode() in found.event


@given(st.lists(_json, max_size=4), st.dictionaries(st.text(max_size=8), _json, max_size=3), _json)
def test_any_arguments_are_a_delivery(
    args: list[object], kwargs: dict[str, object], task_id: object
) -> None:
    """Nothing that JSON can say raises, and an entry is short and legible."""
    found = read_task(task_id, args, kwargs)
    assert isinstance(found, Delivery)
    assert found.entry.isprintable()
    assert len(found.entry) < 120


def test_one_entry_names_one_message() -> None:
    """The same for every delivery; another for another message, although the task's id is one."""
    event_, key, signature = ARGUMENTS
    others = [
        ("id", ARGUMENTS),
        ("id2", ARGUMENTS),
        ("id", (event_ + " ", key, signature)),
        ("id", (event_, key + "2", signature)),
        ("id", (event_, key, signature[:-1])),
        ("id", (event_, key + signature, "")),
        ("i" * 40_000, ARGUMENTS),
        ("i" * 39_999, ARGUMENTS),
    ]
    assert len(_entries(others)) == len(others)
    assert _entries(others) == _entries(others)


@pytest.mark.parametrize("fault", [Outage("PostgreSQL is away"), TypeError("secret title")])
def test_a_task_that_could_not_be_run_is_given_back_after_a_pause(fault: Exception) -> None:
    """Celery delivers it again at once, so that an outage would keep the worker spinning."""

    def run_one(_: Delivery) -> None:
        raise fault

    with Celery("here", set_as_current=False) as app:
        add_plain_tasks(app, run_one)
        began = time.monotonic()
        result = app.tasks["andon.report_incident"].apply(args=ARGUMENTS)
        elapsed = time.monotonic() - began
    assert result.state == states.REJECTED
    assert elapsed >= PAUSE[0]


def test_an_argument_of_any_name_reaches_the_halt() -> None:
    """Also one that is called like a parameter of the task's own."""
    ran: list[Delivery] = []
    with Celery("here", set_as_current=False) as app:
        add_plain_tasks(app, ran.append)
        result = app.tasks["andon.report_incident"].apply(kwargs={"task": "x"})
    assert result.state == states.SUCCESS
    assert [each.event for each in ran] == [b'[[], {"task": "x"}]']
