"""What the gateway answers: the bodies as pydantic models, which its OpenAPI is made of."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

RETRY_AFTER = "5"
"""Seconds, for senders that ask."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fault(_Answer):
    """What is wrong with one place of a message."""

    path: str = Field(description="JSON path (RFC 9535)")
    message: str


class Refusal(_Answer):
    """Nothing of the call was taken, or it is not known what was: see the status."""

    status: Literal["error"] = "error"
    message: str
    errors: list[Fault] = []


class Taken(_Answer):
    """One request that was made of what was sent."""

    source: str
    id: str
    procedure: str = Field(description="as it was asked for")
    receipt: str = Field(description="the path that says what became of it")


class Accepted(_Answer):
    """Every request of the call is safe: on the intake, or on the gateway's disk."""

    status: Literal["accepted", "spooled"]
    requests: list[Taken]


class PagerDutyAnswer(_Answer):
    """As PagerDuty's Events API v2 answers."""

    status: str
    message: str
    dedup_key: str


class PagerDutyRefusal(_Answer):
    """As PagerDuty's Events API v2 refuses."""

    status: str
    message: str
    errors: list[str]


class Halted(_Answer):
    """Why a request may not go on."""

    id: str
    reason: str
    message: str
    errors: list[Fault]


class Receipt(_Answer):
    """What has become of a request by now.

    One that was never accepted looks like one that is not decided yet.
    """

    source: str
    id: str
    state: Literal["pending", "done", "halted"]
    procedure: str | None = None
    result: dict[str, Any] | None = None
    halt: Halted | None = None
    decided_at: str | None = None


class Health(_Answer):
    """How the gateway is."""

    status: Literal["ok", "ready", "not ready"]
    message: str | None = None


def answer(
    body: BaseModel | Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON response."""
    document = body.model_dump(exclude_none=True) if isinstance(body, BaseModel) else body
    return Response(orjson.dumps(document), status, headers, media_type="application/json")


def refusal(
    status: int,
    message: str,
    errors: Sequence[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer that says why nothing was taken."""
    faults = [Fault(path=path, message=what) for path, what in errors]
    return answer(Refusal(message=message, errors=faults), status, headers)


def pagerduty_refusal(
    status: int,
    word: str,
    message: str,
    errors: Sequence[str],
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A refusal in PagerDuty's words."""
    body = PagerDutyRefusal(status=word, message=message, errors=list(errors))
    return answer(body, status, headers)
