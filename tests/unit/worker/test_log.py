"""What is left of what Celery says: nothing that a message holds, and nothing over and over."""

import logging

import pytest
from celery.worker.consumer import consumer

from worker.log import OnceAnOutage, WithoutBody

TITLE = "Checkout of ACME is down"


def _said(template: str, *args: object, error: Exception | None = None) -> str:
    """What is logged in place of a record, traceback and all."""
    exc_info = None if error is None else (type(error), error, None)
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, template, args, exc_info)
    assert WithoutBody().filter(record)
    return logging.Formatter().format(record)


@pytest.mark.parametrize(
    ("template", "args", "begins"),
    [
        (consumer.UNKNOWN_FORMAT, (TITLE,), "Received and deleted unknown message"),
        (
            consumer.UNKNOWN_TASK_ERROR,
            (KeyError("andon.reprot_incident"), TITLE, {"argsrepr": TITLE}, {}),
            "Received unregistered task of type (task 'andon.reprot_incident'",
        ),
        (
            consumer.INVALID_TASK_ERROR,
            (ValueError(TITLE), TITLE),
            "Received invalid task message (ValueError",
        ),
        (
            consumer.MESSAGE_DECODE_ERROR,
            (ValueError(TITLE), "json", "utf-8", TITLE, TITLE),
            "Can't decode message body (ValueError",
        ),
        (
            "Couldn't convert ETA %r to timestamp: %r. Task: %r",
            ("2025", OverflowError(TITLE), {"args": TITLE}),
            "Couldn't convert ETA (OverflowError",
        ),
    ],
)
def test_what_celery_cannot_take_is_not_quoted(
    template: str, args: tuple[object, ...], begins: str
) -> None:
    """What happened, and the task's name or the kind of error; no body, header or traceback."""
    said = _said(template, *args, error=ValueError(TITLE))
    assert said.startswith(begins)
    assert TITLE not in said
    assert "\n" not in said


def test_a_name_is_cut_and_cannot_steer_a_terminal() -> None:
    """It is anything that a caller sends."""
    said = _said(consumer.UNKNOWN_TASK_ERROR, KeyError("\x1b[31m" + "x" * 10_000), "", {}, {})
    assert said.isprintable()
    assert len(said) < 200


def test_everything_else_that_is_logged_stays() -> None:
    """Errors of the connection above all."""
    said = _said("consumer: Cannot connect to %s: %s", "redis", "refused", error=ValueError("why"))
    assert said.startswith("consumer: Cannot connect to redis: refused\n")
    assert said.endswith("ValueError: why")


def test_an_outage_of_the_broker_is_said_once() -> None:
    """Celery tries again and again; it says so once, until it has connected."""
    once = OnceAnOutage()

    def passes(text: str) -> bool:
        return bool(once.filter(logging.LogRecord("celery", 40, "", 0, text, ("x",), None)))

    for _ in range(2):
        assert [passes("consumer: Cannot connect to %s: %s.") for _ in range(3)] == [
            True,
            False,
            False,
        ]
        assert passes("Connected to %s")
    assert passes("anything else")
