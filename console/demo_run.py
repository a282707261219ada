"""Running the demo's requests through a real worker, and comparing what comes of them."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from console.children import Child, stop_all
from console.demo_requests import DONE, Step
from console.failures import Failure, out_of_reach
from console.home import Home
from console.intake import publisher_of
from console.progress import progress_shown
from console.request_lines import Line
from console.settlement import Sent, Settlement

PATIENCE_SECONDS = "2"
"""How long the worker waits for a report that never comes; a minute would be long here."""
_OUTCOMES_WITHIN = 40.0
_LINES_KEPT = 40


@dataclass(frozen=True, slots=True)
class Played:
    """A request, and what became of it; None if nothing did in time."""

    step: Step
    outcome: dict[str, Any] | None

    @property
    def came_to(self) -> str:
        """``done``, the reason of its halt, or ``nothing``."""
        if self.outcome is None:
            return "nothing"
        return str(self.outcome["halt"]["reason"]) if "halt" in self.outcome else DONE

    @property
    def fault(self) -> str | None:
        """In what the outcome differs from the plan."""
        if self.came_to != self.step.expected:
            return f"came to {self.came_to}, not to {self.step.expected}"
        result = (self.outcome or {}).get("result", {})
        for name, wanted in self.step.result.items():
            if result.get(name) != wanted:
                return f"{name} is {result.get(name)!r}, not {wanted!r}"
        return None


@contextmanager
def working(home: Home) -> Iterator[list[Child]]:
    """A worker and the schedules, for as long as the block runs.

    Raises:
        Failure: in place of one that says that an outcome is missing, with the worker's last words.
    """
    said: deque[str] = deque(maxlen=_LINES_KEPT)
    variables = {**home.variables, "ANDON_PATIENCE": PATIENCE_SECONDS}
    children = [
        Child(name, home.directory, variables, lambda name, line: said.append(f"{name}: {line}"))
        for name in ("worker", "schedules")
    ]
    try:
        for child in children:
            child.start()
        yield children
    except Failure as failure:
        raise Failure("\n".join([str(failure), *said]), failure.code) from None
    finally:
        stop_all(children, hurry=lambda: False)


def play(home: Home, steps: Sequence[Step], children: Sequence[Child]) -> list[Played]:
    """Publish *steps* and wait for their outcomes.

    Raises:
        Failure: the worker ended.
    """
    settlement = Settlement()
    with publisher_of(home.settings) as publisher, progress_shown() as progress:
        bar = progress.add_task("Requests", total=len(steps))
        reader = publisher.outcomes(publisher.position())
        signed = [step.signed for step in steps]
        lines = [Line(one, body=one.event) for one in signed]
        sent = list(map(Sent, lines, publisher.publish(signed)))
        for one in sent:
            settlement.add(one)
        deadline = time.monotonic() + _OUTCOMES_WITHIN
        while not settlement.is_complete and time.monotonic() < deadline:
            for outcome in reader.read(block=0.5):
                settlement.take(outcome)
            progress.advance(bar, len(list(settlement.in_order())))
            if not all(child.pid for child in children):
                raise out_of_reach("The worker ended. It had said:")
    return [Played(step, one.outcome) for step, one in zip(steps, sent, strict=True)]


def differences(played: Sequence[Played]) -> list[str]:
    """In what the outcomes differ from the plan, a sentence each."""
    faults = [f"{each.step.name} {each.fault}." for each in played if each.fault]
    first: dict[bytes, Played] = {}
    for each in played:
        earlier = first.setdefault(each.step.signed.event, each)
        if earlier.outcome != each.outcome:
            faults.append(f"{each.step.name} was published twice, with two different outcomes.")
    return faults
