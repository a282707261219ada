"""What a command prints about the rows of an imported file."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from console.output import listing, notices, print_document, screen
from producers.imports.results import Results, RowOutcome

_SHOWN = 20
_SETTLED = frozenset({RowOutcome.DONE, RowOutcome.DUPLICATE})


def show_results(results: Results, *, dry_run: bool, as_json: bool) -> None:
    """Print how many rows ended how, and the first of those that are not done.

    Args:
        results: what became of the rows.
        dry_run: it is what would become of them.
        as_json: print one document, with the same.
    """
    unsettled = (each for each in results.documents() if each["outcome"] not in _SETTLED)
    not_done = list(islice(unsettled, _SHOWN))
    counts = {str(outcome): results.counts[outcome] for outcome in RowOutcome}
    if as_json:
        document = {"dry_run": dry_run, "rows": len(results), **counts, "not_done": not_done}
        print_document(document)
        return
    told = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items() if count)
    would = "Dry run, nothing was published. " if dry_run else ""
    screen().print(f"{would}{len(results):,} rows: {told or 'nothing'}.", markup=False)
    if not_done:
        columns = {"#row": "row", "request": "request", "reason": "reason", "why": "why"}
        if dry_run:
            columns["what it rests on"] = "policy"
        lines = [{**each, "why": _why(each)} for each in not_done]
        screen().print(listing("Not done", columns, lines))
    if rest := len(results) - sum(results.counts[one] for one in _SETTLED) - len(not_done):
        notices().print(f"… and {rest:,} more: --results FILE has all of them.", markup=False)


def _why(document: Mapping[str, Any]) -> str:
    faults = [
        f"{fault['column']}: {fault['message']}" if fault["column"] else fault["message"]
        for fault in document["faults"]
    ]
    return "; ".join(faults) or document["message"] or document["outcome"]
