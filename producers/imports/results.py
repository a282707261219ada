"""What became of each row, kept on disk until the whole report is written.

Rows are decided in any order and told in the file's. Of each, memory holds two numbers.
"""

import csv
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

import orjson

from producers.imports.requests import Fault


class RowOutcome(StrEnum):
    """How a row ended."""

    DONE = "done"
    DUPLICATE = "duplicate"
    """An earlier run's request is done that asked for the same."""
    HALTED = "halted"
    REFUSED = "refused"
    """Nothing was published: the row is broken, or other content was done under its key before."""
    UNDECIDED = "undecided"
    """Accepted; what becomes of it is not known yet."""


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of one row.

    Attributes:
        request: the id of the request that the row came to.
        result: the ids that a done request gave out.
        halt: the number of the halt.
        reason: why it was halted or refused: a reason code, or ``broken_row``.
        policy: the sentence that the decision rests on; of a dry run only.
        faults: what is wrong with the row, by columns.
        earlier: whether that was decided in an earlier run already.
    """

    row: int
    kind: str | None
    request: str | None
    outcome: RowOutcome
    result: Mapping[str, Any] = field(default_factory=dict)
    halt: str | None = None
    reason: str | None = None
    message: str | None = None
    policy: str | None = None
    faults: tuple[Fault, ...] = ()
    earlier: bool = False

    def document(self) -> dict[str, Any]:
        """As JSON tells it."""
        return {
            "row": self.row,
            "kind": self.kind,
            "request": self.request,
            "outcome": self.outcome,
            "earlier": self.earlier,
            "result": self.result,
            "halt": self.halt,
            "reason": self.reason,
            "message": self.message,
            "policy": self.policy,
            "faults": [{"column": one.column, "message": one.message} for one in self.faults],
        }


_COLUMNS = (
    "row", "kind", "request", "outcome", "earlier", "incident_id", "escalation_id",
    "communication_id", "halt", "reason", "message", "policy", "faults",
)  # fmt: skip
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""What a cell begins with that a spreadsheet may take for a formula, as OWASP lists it."""


class Results:
    """What became of all rows of one file."""

    def __init__(self) -> None:
        self.counts: Counter[RowOutcome] = Counter()
        self._spool: IO[bytes] = tempfile.TemporaryFile(prefix="andon-import-")  # noqa: SIM115  # see close
        self._rows = array("Q")
        self._places = array("Q")

    def add(self, result: RowResult) -> None:
        """Keep what became of a row."""
        self.counts[result.outcome] += 1
        self._rows.append(result.row)
        self._places.append(self._spool.tell())
        self._spool.write(orjson.dumps(result.document(), option=orjson.OPT_APPEND_NEWLINE))

    def __len__(self) -> int:
        return len(self._rows)

    def documents(self) -> Iterator[dict[str, Any]]:
        """All of them, in the order of the rows."""
        for position in sorted(range(len(self._rows)), key=self._rows.__getitem__):
            self._spool.seek(self._places[position])
            yield orjson.loads(self._spool.readline())
        self._spool.seek(0, 2)

    def write(self, path: Path) -> None:
        """Write them to *path*: CSV where it ends so, else JSON lines.

        Raises:
            OSError: that failed.
        """
        with path.open("wb") as file:
            if path.suffix.lower() == ".csv":
                self._write_csv(file)
            else:
                for document in self.documents():
                    file.write(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))

    def _write_csv(self, file: IO[bytes]) -> None:
        text = TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text)
        writer.writerow(_COLUMNS)
        for document in self.documents():
            told = {**document["result"], **document}
            told["faults"] = "; ".join(map(_sentence, document["faults"]))
            writer.writerow([_cell(told.get(column)) for column in _COLUMNS])
        text.flush()
        text.detach()

    def close(self) -> None:
        """Forget everything."""
        self._spool.close()


def _sentence(fault: Mapping[str, str | None]) -> str:
    return str(Fault(fault["column"], fault["message"] or ""))


def _cell(value: object) -> object:
    """A value for a spreadsheet, which must not take a vendor's text for a formula."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
