"""What was measured: figures with their rounds, as a table and as JSON."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich.table import Table

REQUESTS_A_SECOND = "requests/s"
CEILING, CELERY, TEXTBOOK = "ceiling", "celery", "textbook"
_COMPARED = (("× Celery", CELERY), ("× textbook", TEXTBOOK), ("× ceiling", CEILING))
"""Of several in a part the best one counts."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured.

    Attributes:
        part: which part of the benchmarks it belongs to.
        name: what was measured, in words.
        rounds: the values; the median counts.
    """

    part: str
    name: str
    rounds: tuple[float, ...]
    unit: str = REQUESTS_A_SECOND

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)


def document(figures: Iterable[Figure], *, appendfsync: str) -> dict[str, Any]:
    """All figures of a run, for JSON."""
    found = list(figures)
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "python": platform.python_version(),
        "appendfsync": appendfsync,
        "figures": [
            {
                "part": one.part,
                "name": one.name,
                "unit": one.unit,
                "median": one.value,
                "rounds": list(one.rounds),
            }
            for one in found
        ],
    }


def figures_of(document: str) -> list[Figure]:
    """The figures of a run that was kept as JSON."""
    return [
        Figure(one["part"], one["name"], tuple(one["rounds"]), one["unit"])
        for one in json.loads(document)["figures"]
    ]


def table_of(figures: Sequence[Figure], *, appendfsync: str) -> Table:
    """All figures of a run, for people; throughputs are compared with each other."""
    compared = [
        (title, best) for title, part in _COMPARED if (best := _best(figures, part)) is not None
    ]
    table = Table(title=f"{os.cpu_count()} cores, appendfsync {appendfsync}, medians")
    table.add_column("measured", overflow="fold")
    table.add_column("median", justify="right", no_wrap=True)
    for title, _ in compared:
        table.add_column(title, justify="right")
    for part, some in groupby(figures, key=lambda one: one.part):
        table.add_section()
        table.add_row(f"[bold]{part}")
        for one in some:
            ratios = (
                f"{one.value / best:.2f}" if one.unit == REQUESTS_A_SECOND else ""
                for _, best in compared
            )
            table.add_row(one.name, f"{_shown(one.value)} {one.unit}", *ratios)
    return table


def _best(figures: Iterable[Figure], part: str) -> float | None:
    return max((one.value for one in figures if one.part == part), default=None)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
