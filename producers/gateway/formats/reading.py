"""Common to all formats: from bytes to a validated payload, or to every fault of it."""

from typing import Annotated, TypeVar

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from models.errors import input_errors
from policy.halts import InputError
from producers.gateway.alerts import MAX_PAYLOAD_BYTES, PayloadFaults

MOST_ALERTS = 2_000
"""Alerts in one payload."""


def clean(text: str) -> str:
    """*text* without U+0000, which no request may hold and nobody means."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _clean_value(value: object) -> object:
    return clean(value) if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_clean_value)]


def optional_text(value: object) -> str:
    """A text that is there for people only: anything else than text counts as none."""
    return clean(value) if isinstance(value, str) else ""


class Part(BaseModel):
    """Common to all payloads: unknown fields pass, and no value is quoted in a fault."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


M = TypeVar("M", bound=Part)


def read_json(body: bytes) -> object:
    """The JSON value that *body* is.

    Raises:
        PayloadFaults: it is too large, or no JSON.
    """
    if len(body) > MAX_PAYLOAD_BYTES:
        fault = f"has {len(body):,} bytes; a payload may have {MAX_PAYLOAD_BYTES:,}"
        raise PayloadFaults.of(InputError("$", fault))
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if error.msg.startswith("Not enough memory"):  # orjson has no other way to say so
            raise MemoryError from error
        fault = f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        raise PayloadFaults.of(InputError("$", fault)) from None


def read_payload(model: type[M], value: object) -> M:
    """*value* as a payload of this format.

    Raises:
        PayloadFaults: with every fault.
    """
    if not isinstance(value, dict):
        raise PayloadFaults.of(InputError("$", "must be a JSON object"))
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise PayloadFaults(input_errors(error, "$", quoting=True)) from None
