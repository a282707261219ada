"""The README's chart of throughputs, drawn as SVG from the figures of one run.

    python -m benchmarks.chart results.json docs/figures/throughput.svg

Written by hand: a few bars need no library, and their own style sheet fits light and dark pages.
"""

import argparse
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Figure, figures_of

_WIDTH, _LABELS, _VALUES = 760, 250, 90
_BAR, _GAP, _TOP = 26, 14, 16
_STYLE = """\
text { font: 14px system-ui, sans-serif; fill: #1f2328 }
.value { font-weight: 600 }
.other { fill: #8c959f }
.andon { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .other { fill: #6e7681 }
  .andon { fill: #4493f8 }
}"""


class Bar(NamedTuple):
    """One bar."""

    label: str
    value: float
    kind: str


def bars_of(figures: Sequence[Figure]) -> list[Bar]:
    """What the chart compares; a part that was not measured is left out."""
    wanted = (
        ("textbook", "Textbook Celery worker", "other", ""),
        ("celery", "Celery, an empty task", "other", ""),
        ("mix", "Andon", "andon", "Andon, published pipelined"),
        ("ceiling", "Its rows by SQL alone", "other", ""),
    )
    bars = []
    for part, label, kind, name in wanted:
        values = [one.value for one in figures if one.part == part and name in ("", one.name)]
        if values:
            bars.append(Bar(label, max(values), kind))
    return bars


def draw(bars: Sequence[Bar]) -> str:
    """The chart as SVG."""
    height = 2 * _TOP + len(bars) * (_BAR + _GAP) - _GAP
    most = max(bar.value for bar in bars)
    said = "; ".join(f"{bar.label}: {bar.value:,.0f}" for bar in bars)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
        f' width="{_WIDTH}" height="{height}" role="img">',
        f"<title>Requests a second. {escape(said)}</title>",
        f"<style>\n{_STYLE}\n</style>",
    ]
    for number, bar in enumerate(bars):
        top = _TOP + number * (_BAR + _GAP)
        length = max(2.0, bar.value / most * (_WIDTH - _LABELS - _VALUES))
        base = top + _BAR * 0.7
        lines += [
            f'<text x="{_LABELS - 12}" y="{base:.0f}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect class="{bar.kind}" x="{_LABELS}" y="{top}" width="{length:.1f}"'
            f' height="{_BAR}" rx="3"/>',
            f'<text class="value" x="{_LABELS + length + 10:.1f}" y="{base:.0f}">'
            f"{bar.value:,.0f}</text>",
        ]
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chart", description=__doc__)
    parser.add_argument("results", type=Path, help="what make bench wrote with --output")
    parser.add_argument("chart", type=Path, help="the SVG to write")
    options = parser.parse_args()
    bars = bars_of(figures_of(options.results.read_text()))
    if not bars:
        parser.error(f"{options.results} has none of the throughputs that the chart compares")
    options.chart.parent.mkdir(parents=True, exist_ok=True)
    options.chart.write_text(draw(bars))


if __name__ == "__main__":
    main()
