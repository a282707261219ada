"""CloudEvents 1.0 over HTTP: structured, batched and binary content mode, made bytes to sign.

A structured event is published as it came, byte for byte. Its ``data`` is looked into at the door
already, with the eyes of the worker: whoever calls hears of every fault at once.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import unquote

import orjson
from pydantic import ValidationError
from starlette.datastructures import Headers

from models.errors import NO_FAULTS, Faults, input_faults, json_path, nul_faults
from models.events import TYPE_PREFIX, Event, read_event
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


class _Stated(NamedTuple):
    """What an event says of itself, whatever that is; *time* is never later than now."""

    source: object
    type: object
    time: datetime
    data: object

    @property
    def procedure(self) -> str | None:
        """The procedure that it asks for; None if there is no such one."""
        known = (name for name in PROCEDURES if self.type == TYPE_PREFIX + name)
        return next(known, None)


@dataclass(frozen=True, slots=True)
class _Refused:
    """An event that cannot be published.

    Attributes:
        is_foreign: it speaks for another source than the caller may.
    """

    faults: Faults
    is_foreign: bool = False


def _read_all(parts: list[tuple[str, bytes]], source: str, now: datetime) -> list[Readable]:
    found = [_look(event, root, source, now) for root, event in parts]
    refused = [each for each in found if isinstance(each, _Refused)]
    if refused:
        raise NotCloudEvents(
            "The request holds no events that can be published: nothing was taken.",
            sum((each.faults for each in refused), NO_FAULTS).errors,
            status=403 if any(each.is_foreign for each in refused) else 400,
        )
    return [each for each in found if isinstance(each, Readable)]


def _look(event: bytes, root: str, source: str, now: datetime) -> Readable | _Refused:
    """An event as it will be signed, or everything that is wrong with it.

    A fault of one attribute of the envelope hides none of the others, and none of the data.
    """
    read = read_event(event)
    if isinstance(read, Event):
        own, faults = read.envelope, NO_FAULTS
        stated = _Stated(own.source, own.type, min(own.time or now, now), read.data)
    elif read.errors:
        errors = tuple(InputError(root + each.path[1:], each.message) for each in read.errors)
        stated, faults = _stated(event, now), Faults(errors, len(errors))
    else:
        return _Refused(_fault(root, read.message))
    is_foreign = _is_text(stated.source) and stated.source != source
    if is_foreign:
        faults += _fault(json_path(root, "source"), "is not the source of this credential")
    if (name := stated.procedure) is not None:
        faults += _input_faults(event, stated, name, root)
    elif _is_text(stated.type):
        names = ", ".join(TYPE_PREFIX + each for each in PROCEDURES)
        faults += _fault(json_path(root, "type"), f"must be one of {names}")
    if isinstance(read, Halt) or name is None or faults:
        return _Refused(faults, is_foreign)
    return Readable(Identity(read.envelope.source, read.envelope.id), name, event)


def _stated(event: bytes, now: datetime) -> _Stated:
    """What an event says whose envelope is at fault; nothing, if it cannot be looked into."""
    members = orjson.loads(event)
    try:
        orjson.dumps(members)
    except orjson.JSONEncodeError:  # nested too deeply
        members = {}
    return _Stated(members.get("source"), members.get("type"), now, members.get("data"))


def _is_text(value: object) -> bool:
    """Whether it can be looked into; what is no text, or empty, has a fault of its own."""
    return isinstance(value, str) and value != ""


def _input_faults(event: bytes, stated: _Stated, procedure: str, root: str) -> Faults:
    place = json_path(root, "data")
    data = {} if stated.data is None else stated.data
    if not isinstance(data, dict):
        return _fault(place, "must be a JSON object")
    faults = nul_faults(event, data, place)
    try:
        read_inputs(procedure, data, now=stated.time)
    except ValidationError as error:
        faults += input_faults(error, place)
    return faults


def _fault(path: str, message: str) -> Faults:
    return Faults((InputError(path, message),), 1)


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
