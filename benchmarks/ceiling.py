"""The ceiling: the pipeline's own rows written by set-based SQL alone, with no policy and no queue.

The rows are prebuilt as COPY's bytes and as parameters (``benchmarks.recording``). Two processes
write them with one connection each, a transaction a batch, as two pool processes do.
"""

import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any

import psycopg

from benchmarks.accounts import Miscounted
from benchmarks.recording import Batch, record
from benchmarks.stage import Stage
from models.database import connect
from producers.signed import SignedEvent

PROCESSES = 2
_WARM_UP = 5
"""Batches of each process before the clock starts."""

Share = list[list[Batch]]
"""One process's batches: of the warm-up, then of each round."""


def requests_per_second(
    measured: Stage, events: list[SignedEvent], *, rounds: int, processes: int = PROCESSES
) -> list[float]:
    """The figure of each round; *events* are shared out among a warm-up and the rounds."""
    whole = len(events) - len(events) % measured.settings.batch_size
    batches = record(measured.copy("recorded"), events[:whole])
    target = measured.copy("ceiling")
    url = target.settings.database_url.get_secret_value()
    shares = _shares(batches, rounds, processes)
    context = multiprocessing.get_context("spawn")
    writers = []
    for share in shares:
        ours, theirs = context.Pipe()
        context.Process(target=_write, args=(url, share, theirs), daemon=True).start()
        theirs.close()  # so that the end of the process is noticed
        writers.append(ours)
    for writer in writers:
        writer.recv()  # it is warm
    requests = len(shares[0][1]) * processes * measured.settings.batch_size
    figures = [requests / _round(writers) for _ in range(rounds)]
    written = sum(len(batches) for share in shares for batches in share)
    _check(target, written * measured.settings.batch_size)
    return figures


def _check(target: Stage, requests: int) -> None:
    """That all of it was written; each request has one audit record.

    Raises:
        Miscounted: it was not.
    """
    engine = target.owner
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT count(*) FROM audit_records WHERE source IS DISTINCT FROM 'older'"
        ).scalar_one()
    engine.dispose()
    if found != requests:
        raise Miscounted(f"the ceiling wrote {found:,} of {requests:,} requests")


def _shares(batches: list[Batch], rounds: int, processes: int) -> list[Share]:
    """As many batches for each process and round; a chain of the audit is one process's alone.

    So its head only moves on, as the database demands. What is left over is not written.
    """
    own = [
        [batch for batch in batches if _chain(batch) % processes == number]
        for number in range(processes)
    ]
    size = (min(map(len, own)) - _WARM_UP) // rounds
    assert size > 0, "too few requests for so many rounds"
    return [
        [
            mine[:_WARM_UP],
            *(mine[_WARM_UP + n * size : _WARM_UP + (n + 1) * size] for n in range(rounds)),
        ]
        for mine in own
    ]


def _chain(batch: Batch) -> int:
    """Which chain of the audit a batch was recorded in."""
    (chain,) = (w.parameters["chain"] for w in batch if "UPDATE audit_chains" in w.statement)
    return int(chain)


def _round(writers: "list[Connection[Any, Any]]") -> float:
    """Seconds from the first begin to the last end."""
    for writer in writers:
        writer.send(None)
    spans = [writer.recv() for writer in writers]
    return float(max(end for _, end in spans) - min(began for began, _ in spans))


def _write(url: str, share: Share, ours: "Connection[Any, Any]") -> None:
    """One process: its part of each round, and when it began and ended it."""
    engine = connect(url, statement_timeout_ms=12_000, application="ceiling", by_index=True)
    driver: Any = engine.raw_connection().driver_connection
    warm_up, *rounds = share
    _run(driver, warm_up)
    ours.send(None)
    for batches in rounds:
        ours.recv()
        began = time.monotonic()  # the same clock in all processes
        _run(driver, batches)
        ours.send((began, time.monotonic()))


def _run(connection: psycopg.Connection[Any], batches: list[Batch]) -> None:
    for batch in batches:
        for statement, parameters, data in batch:
            if data is None:
                connection.execute(statement, parameters)
            else:
                with connection.cursor().copy(statement) as copy:
                    copy.write(data)
        connection.commit()
