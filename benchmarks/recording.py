"""What the pipeline writes, batch by batch, as the bytes and parameters that the driver was given.

The mix is run once by the real pipeline on a copy of the database, with a cursor that notes every
statement that writes. ``benchmarks.ceiling`` then writes the same rows to another copy.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg
from psycopg.copy import LibpqWriter
from sqlalchemy import event
from typing_extensions import override

from benchmarks.stage import Stage
from models.chunks import chunks
from models.deliveries import Delivery
from models.sql import in_json
from models.tables import Door
from producers.signed import SignedEvent
from worker.runtime import Runtime
from worker.stopping import Calls, StopFlag

_WRITES = re.compile(r"\s*(COPY|INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)")
_KEYS = f"""
    INSERT INTO dedup_keys (source, dedup_key, incident_id)
    SELECT source, dedup_key, incident_id::bigint
    FROM {in_json("source", "dedup_key", "incident_id")}
"""  # noqa: S608  # names of ours


class Write(NamedTuple):
    """One statement.

    Attributes:
        data: of a COPY, all its bytes.
    """

    statement: str
    parameters: Any = None
    data: bytes | None = None


Batch = list[Write]


@dataclass(slots=True)
class Recorder:
    """Notes what is written on one connection."""

    batch: Batch

    def cursor_class(self) -> type[psycopg.Cursor[Any]]:
        """A cursor that works as ever, and notes."""
        recorder = self

        class Writer(LibpqWriter):
            def __init__(self, cursor: psycopg.Cursor[Any], statement: str) -> None:
                super().__init__(cursor)
                self._statement = statement
                self._data = bytearray()

            @override
            def write(self, data: Any) -> None:
                self._data += data
                super().write(data)

            @override
            def finish(self, exc: BaseException | None = None) -> None:
                super().finish(exc)
                if exc is None:
                    recorder.batch.append(Write(self._statement, data=bytes(self._data)))

        class Recording(psycopg.Cursor[Any]):
            @override
            def execute(self, query: Any, params: Any = None, **more: Any) -> Any:
                recorder.note(query, params)
                return super().execute(query, params, **more)

            @override
            def copy(self, statement: Any, params: Any = None, *, writer: Any = None) -> Any:
                return super().copy(
                    statement, params, writer=writer or Writer(self, str(statement))
                )

        return Recording

    def note(self, statement: object, parameters: object) -> None:
        """Keep a statement, if it writes, and something that is there in the end.

        Of a dedup key that is its row as it is at last: that the pipeline locks it first, by
        inserting it, is no part of the ceiling.
        """
        found = _WRITES.match(str(statement))
        if found is None:
            return
        if found[2] != "dedup_keys":
            self.batch.append(Write(str(statement), parameters))
        elif found[1] == "UPDATE":
            self.batch.append(Write(_KEYS, parameters))


def record(measured: Stage, events: Iterable[SignedEvent]) -> list[Batch]:
    """Run *events* in batches, and give what each of them wrote."""
    settings = measured.settings
    pipeline = Runtime(settings, StopFlag(), Calls()).pipeline
    recorder = Recorder([])

    def on_connect(connection: psycopg.Connection[Any], _record: object) -> None:
        connection.cursor_factory = recorder.cursor_class()

    event.listen(pipeline.engine, "connect", on_connect)
    deliveries = (_delivery(number, signed) for number, signed in enumerate(events, 1))
    batches: list[Batch] = []
    pipeline.look_at_registry()  # which the audit records once, and no batch of the mix
    for batch in chunks(deliveries, settings.batch_size):
        recorder.batch = []
        parts: Sequence[object] = list(pipeline.process(batch))
        assert len(parts) == 1, "a batch of the mix failed"
        batches.append(recorder.batch)
    pipeline.engine.dispose()
    return batches


def _delivery(number: int, signed: SignedEvent) -> Delivery:
    return Delivery(
        entry=f"andon:intake/{number}-0",
        door=Door.INTAKE,
        event=signed.event,
        key_id=signed.key_id,
        signature=signed.signature,
        received_at=datetime.now(UTC),
    )
