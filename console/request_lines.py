"""Requests as lines of JSON: whole CloudEvents, or the short form ``{"procedure": …, "data": …}``.

A file is looked through before anything of it is sent; one with a fault is refused whole.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from console.failures import wrong_usage
from console.intake import newest_key
from console.request_examples import no_procedure
from models.canonical import body_hash
from models.errors import input_errors
from models.events import TYPE_PREFIX
from models.inputs import INPUTS, Name, Timestamp
from models.json_lines import NotJson, kind_of, numbered_lines, read_object
from models.registry import Registry
from producers.client import Client
from producers.signed import NotPublishable, SignedEvent, sign_event

_KEPT_IN_MEMORY = 16 * 1024 * 1024
_FAULTS_SHOWN = 100


class BadLine(Exception):
    """A line that is no request; the message says why."""


class ShortForm(BaseModel):
    """A request of the local source, without its envelope."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    procedure: Annotated[str, Field(min_length=1, max_length=128)]
    data: Any
    id: Name | None = None
    time: Timestamp | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One request, ready to be published.

    Attributes:
        body: the hash of what it asks for; two lines with one identity may differ in it.
        has_id: it was given an id, so that sending it again is a repetition; any other line is
            another request each time.
    """

    signed: SignedEvent
    body: bytes
    has_id: bool = True


@dataclass(frozen=True, slots=True)
class LineReader:
    """Makes requests of lines.

    Attributes:
        client: makes and signs those in the short form.
        registry: whole events are signed with their own source's key, where it is known.
    """

    client: Client
    registry: Registry

    def check(self, file: IO[bytes]) -> int:
        """Look through a file and go back to its beginning.

        Returns:
            How many requests it holds.

        Raises:
            Failure: naming the lines that are none, the first hundred of them.
        """
        told = ["Nothing was sent, because of:"]
        count = faulty = 0
        for number, text in numbered_lines(file):
            count += 1
            try:
                self._line(text)
            except BadLine as fault:
                faulty += 1
                if faulty <= _FAULTS_SHOWN:
                    told.append(f"  line {number}: {fault}")
        if faulty > _FAULTS_SHOWN:
            told.append(f"  and {faulty - _FAULTS_SHOWN:,} more lines")
        if faulty:
            raise wrong_usage("\n".join(told))
        file.seek(0)
        return count

    def lines(self, file: IO[bytes]) -> Iterator[Line]:
        """The requests of a file that has been checked."""
        return (self._line(text) for _, text in numbered_lines(file))

    def _line(self, text: bytes) -> Line:
        try:
            value = read_object(text)
            return self._whole(text, value) if "specversion" in value else self._short(value)
        except (NotJson, NotPublishable) as error:
            raise BadLine(str(error)) from None

    def _whole(self, text: bytes, event: dict[str, Any]) -> Line:
        key = newest_key(self.registry, str(event.get("source")))
        signed = (
            self.client.sign(text)
            if key is None
            else sign_event(text, key_id=key.id, secret=key.secret.get_secret_value())
        )
        return Line(signed, body_hash(str(event.get("type")), event.get("data")))

    def _short(self, value: dict[str, Any]) -> Line:
        if "procedure" not in value:
            raise BadLine(
                'is neither a CloudEvent (it has no "specversion") nor {"procedure": …, "data": …}'
            )
        if faults := list(_short_faults(value)):
            raise BadLine("; ".join(faults))
        short = ShortForm.model_validate(value)
        signed = self.client.prepare(short.procedure, short.data, id=short.id, time=short.time)
        body = body_hash(TYPE_PREFIX + short.procedure, short.data)
        return Line(signed, body, has_id=short.id is not None)


def _short_faults(value: dict[str, Any]) -> Iterator[str]:
    """Everything that keeps a line in the short form from being a request."""
    known = value.keys() & ShortForm.model_fields.keys()
    if unknown := value.keys() - known:
        yield (
            f"has {', '.join(sorted(unknown))} besides procedure, data, id and time;"
            " inputs belong into data"
        )
    try:
        ShortForm.model_validate({name: value[name] for name in known})
    except ValidationError as error:
        yield from (
            f"{fault.path} {fault.message}" for fault in input_errors(error, "$", quoting=True)
        )
    procedure, data = value["procedure"], value.get("data", {})
    if isinstance(procedure, str) and procedure and procedure not in INPUTS:
        yield no_procedure(procedure)
    if not isinstance(data, dict):
        yield f"$.data is {kind_of(data)}, not a JSON object"


@contextmanager
def opened(file: str) -> Iterator[IO[bytes]]:
    """A file, or standard input for ``-``, that can be read twice.

    Raises:
        Failure: it cannot be read.
    """
    with ExitStack() as stack:
        given: IO[bytes] = sys.stdin.buffer
        if file != "-":
            try:
                given = stack.enter_context(Path(file).open("rb"))
            except OSError as error:
                raise wrong_usage(f"{file}: {error.strerror}") from None
        if given.seekable() and file != "-":
            yield given
        else:
            copy = stack.enter_context(tempfile.SpooledTemporaryFile(_KEPT_IN_MEMORY))
            shutil.copyfileobj(given, copy)
            copy.seek(0)
            yield copy
