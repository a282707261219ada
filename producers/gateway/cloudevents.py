"""CloudEvents 1.0 over HTTP: structured, batched and binary content mode, made bytes to sign.

A structured event is published as it came, byte for byte. Its ``data`` is looked into at the door
already, with the eyes of the worker: whoever calls hears of every fault at once.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import orjson
from pydantic import ValidationError
from starlette.datastructures import Headers

from models.errors import Faults, input_faults, json_path, nul_faults
from models.events import Event, read_event
from models.inputs import read_inputs
from models.outcomes import Identity
from policy.halts import Halt, InputError
from policy.procedures import PROCEDURES

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
MOST_EVENTS = 2_000
"""In one batch; as many as have room in a body, if they are any."""
_JSON = "application/json"
_PREFIX = "ce-"
_TOP = frozenset(("data", "data_base64"))


class NotCloudEvents(Exception):
    """The request holds no CloudEvents that can be published.

    Attributes:
        status: 400; 415 for a content type that is none of the three; 403 for another's source.
        errors: every fault, as path and message.
    """

    def __init__(
        self, message: str, errors: tuple[InputError, ...] = (), *, status: int = 400
    ) -> None:
        super().__init__(message)
        self.errors = errors
        self.status = status


@dataclass(frozen=True, slots=True)
class Readable:
    """An event as it will be signed."""

    identity: Identity
    procedure: str
    event: bytes


def read_cloudevents(
    headers: Headers, body: bytes, *, source: str, now: Callable[[], datetime] | None = None
) -> list[Readable]:
    """The events of one request.

    Args:
        headers: which say the content mode, and in binary mode hold the attributes.
        body: the request's.
        source: the only one that the caller may speak for.
        now: the clock.

    Raises:
        NotCloudEvents: with every fault of every event.
    """
    moment = now() if now is not None else datetime.now(UTC)
    content_type = headers.get("content-type", "")
    media = content_type.partition(";")[0].strip().lower()
    if media == BATCH:
        parts = [(f"$[{number}]", event) for number, event in enumerate(_batch(body))]
    elif media == STRUCTURED:
        parts = [("$", body)]
    elif "ce-specversion" in headers:
        parts = [("$", _binary(headers, media, body))]
    else:
        raise NotCloudEvents(
            f"Send {STRUCTURED}, {BATCH}, or {_JSON} with ce- headers.", status=415
        )
    return _read_all(parts, source, moment)


def _read_all(parts: list[tuple[str, bytes]], source: str, now: datetime) -> list[Readable]:
    readable: list[Readable] = []
    faults, foreign = Faults(), False
    for root, event in parts:
        found = _read(event, root, now)
        if isinstance(found, Faults):
            faults += found
        elif found.identity.source != source:
            foreign = True
            message = "is not the source of this credential"
            faults += Faults((InputError(json_path(root, "source"), message),), 1)
        else:
            readable.append(found)
    if faults:
        raise NotCloudEvents(
            "The request holds no events that can be published: nothing was taken.",
            faults.errors,
            status=403 if foreign else 400,
        )
    return readable


def _read(event: bytes, root: str, now: datetime) -> Readable | Faults:
    read = read_event(event)
    if isinstance(read, Halt):
        errors = tuple(InputError(root + e.path[1:], e.message) for e in read.errors)
        return Faults(errors or (InputError(root, read.message),), len(errors) or 1)
    name = read.procedure
    if name is None or name not in PROCEDURES:
        names = ", ".join(f"andon.{each}" for each in PROCEDURES)
        return Faults((InputError(json_path(root, "type"), f"must be one of {names}"),), 1)
    if faults := _input_faults(read, event, name, root, now):
        return faults
    identity = Identity(read.envelope.source, read.envelope.id)
    return Readable(identity, name, event)


def _input_faults(read: Event, event: bytes, procedure: str, root: str, now: datetime) -> Faults:
    place = json_path(root, "data")
    data: Any = {} if read.data is None else read.data
    if not isinstance(data, dict):
        return Faults((InputError(place, "must be a JSON object"),), 1)
    faults = nul_faults(event, data, place)
    try:
        read_inputs(procedure, data, now=min(read.envelope.time or now, now))
    except ValidationError as error:
        faults += input_faults(error, place)
    return faults


def _batch(body: bytes) -> Iterator[bytes]:
    events = _loads(body, "$")
    if not isinstance(events, list):
        raise NotCloudEvents("A batch is a JSON array of events.")
    if len(events) > MOST_EVENTS:
        raise NotCloudEvents(f"A batch may have {MOST_EVENTS:,} events; this has {len(events):,}.")
    for event in events:
        yield _dumps(event)


def _binary(headers: Headers, media: str, body: bytes) -> bytes:
    if media and media != _JSON and not media.endswith("+json"):
        raise NotCloudEvents(f"The data of an event is {_JSON}.", status=415)
    event: dict[str, Any] = dict(_attributes(headers))
    event["datacontenttype"] = media or _JSON
    if body:
        event["data"] = _loads(body, "$.data")
    return _dumps(event)


def _attributes(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        attribute = name.removeprefix(_PREFIX)
        if attribute != name and attribute not in _TOP:
            yield attribute, _decoded(value)


def _decoded(value: str) -> str:
    """A header's value: percent-encoded UTF-8, maybe in quotes (HTTP binding, 3.1.3.2)."""
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return unquote(value, errors="replace")


def _loads(body: bytes, path: str) -> Any:  # noqa: ANN401  # any JSON
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotCloudEvents(
            "The body is not JSON.", (InputError(path, f"is not JSON: {error.msg}"),)
        ) from None


def _dumps(event: object) -> bytes:
    try:
        return orjson.dumps(event)
    except orjson.JSONEncodeError:  # orjson reads deeper than it writes
        raise NotCloudEvents("The body is nested too deeply.") from None
