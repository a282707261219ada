"""The plain Celery tasks: each procedure for callers that already speak Celery (DESIGN 2).

Another door to the same pipeline, not a way around it: they take the same signed event, and refuse
a bad signature like the intake does. Celery's own queue carries them, with Celery's own promises;
where no loss is required, publish to the intake instead.

A caller can put anything into a task's message. What is no signed event is halted as malformed,
like it would be in the intake: a task that fails would be lost, or come back for ever.
"""

import hashlib
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery import Celery, Task
from celery.exceptions import Reject

from models.acceptance import UNTOLD
from models.deliveries import Delivery
from models.events import TYPE_PREFIX
from models.outcomes import Outcome
from models.tables import Door
from policy.procedures import PROCEDURES
from tasks.faults import describe

RunOne = Callable[[Delivery], Outcome | None]

PAUSE = (0.2, 1.0)
"""Seconds, at random between these, before a task that could not be run is given back: Celery
delivers it again at once, and an outage may last."""
_ARGUMENTS = ("event", "key", "signature")
_LONGEST_ID = 64


def add_plain_tasks(app: Celery, run_one: RunOne) -> None:
    """Register ``andon.report_incident`` and its siblings with *app*."""
    for name in PROCEDURES:
        _add(app, f"{TYPE_PREFIX}{name}", run_one)


def _add(app: Celery, name: str, run_one: RunOne) -> None:
    @app.task(name=name, bind=True, shared=False)  # type: ignore[untyped-decorator]  # celery is not typed
    def plain(task: Task, /, *args: object, **kwargs: object) -> dict[str, Any] | None:
        """Run one signed event (event, key, signature); it says which procedure it asks for.

        Returns:
            The outcome, as it is published; None if the request waits for a report, or its key.
        """
        delivery = read_task(task.request.id, args, kwargs)
        try:
            outcome = run_one(delivery)
        except Exception as error:
            time.sleep(random.uniform(*PAUSE))  # noqa: S311  # jitter
            raise Reject(describe(error), requeue=True) from error
        return dict(outcome.data) if outcome is not None else None


def read_task(task_id: object, args: Sequence[object], kwargs: Mapping[str, object]) -> Delivery:
    """The one message that a task carries, whatever its caller put there."""
    given = {**dict(zip(_ARGUMENTS, args, strict=False)), **kwargs}
    texts = {name: value for name, value in given.items() if isinstance(value, str)}
    event = texts.get("event", "")
    if len(args) > len(_ARGUMENTS) or texts.keys() != set(_ARGUMENTS) or given != texts:
        event = _as_text([list(args), dict(kwargs)])  # an array, and so no event
    key, signature = texts.get("key", ""), texts.get("signature", "")
    return Delivery(
        entry=entry_of(str(task_id), event, key, signature),
        door=Door.TASK,
        event=event.encode("utf-8", "surrogatepass"),
        key_id=key,
        signature=signature,
        received_at=UNTOLD,
    )


def entry_of(task_id: str, event: str, key: str, signature: str) -> str:
    """The entry of a task: the same for each delivery of one message, another for another one.

    The id alone would not do. Callers choose it, may use it twice, and as long as they like.
    """
    legible = "".join(filter(str.isprintable, task_id[:_LONGEST_ID]))
    content = json.dumps([task_id, event, key, signature]).encode()
    return f"celery/{legible}/{hashlib.sha256(content).hexdigest()[:32]}"


def _as_text(arguments: object) -> str:
    """What came in place of a signed event, to be kept with its halt."""
    try:
        return json.dumps(arguments)
    except (RecursionError, TypeError, ValueError):
        return "[]"
