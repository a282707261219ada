"""The gateway's OpenAPI document, made of the models that it reads and answers with."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from models.inputs import Name
from policy.procedures import PROCEDURES
from producers.gateway.answers import (
    Accepted,
    Health,
    PagerDutyAnswer,
    PagerDutyRefusal,
    Receipt,
    Refusal,
)
from producers.gateway.bodies import MAX_BODY_BYTES
from producers.gateway.cloudevents import BATCH, STRUCTURED
from producers.gateway.formats.alertmanager import AlertmanagerPayload
from producers.gateway.formats.grafana import GrafanaPayload
from producers.gateway.formats.pagerduty import Event as PagerDutyEvent

_REF = "#/components/schemas/{model}"
_JSON = "application/json"

Json = dict[str, Any]


class CloudEvent(BaseModel):
    """A request as a CloudEvent; extensions pass. docs/contract has the inputs of ``data``."""

    model_config = ConfigDict(extra="allow")

    specversion: str = Field(json_schema_extra={"const": "1.0"})
    id: Name
    source: Name = Field(description="the source whose credential is used")
    type: str = Field(json_schema_extra={"enum": [f"andon.{name}" for name in PROCEDURES]})
    time: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    datacontenttype: str = _JSON
    data: dict[str, Any]


_READ = (AlertmanagerPayload, GrafanaPayload, PagerDutyEvent, CloudEvent)
_ANSWERED = (Accepted, Refusal, PagerDutyAnswer, PagerDutyRefusal, Receipt, Health)


@cache
def _document() -> Json:
    _, found = models_json_schema(
        [(model, "validation") for model in (*_READ, *_ANSWERED)], ref_template=_REF
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Andon alert gateway",
            "version": "1",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": (
                "What monitoring systems send becomes signed requests on Andon's intake. 202 means"
                " that every request of the call is safe; 503, that it is to be sent again."
                f" A body may have {MAX_BODY_BYTES:,} bytes."
            ),
        },
        "paths": {
            "/v1/alertmanager": {"post": _alertmanager()},
            "/v1/grafana": {"post": _grafana()},
            "/v2/enqueue": {"post": _enqueue()},
            "/v1/events": {"post": _events()},
            "/v1/requests/{source}/{id}": {"get": _receipt()},
            "/healthz": {"get": _state("health", "Whether the process answers", ready=False)},
            "/readyz": {"get": _state("ready", "Whether a call would be taken now", ready=True)},
            "/openapi.json": {"get": _own()},
        },
        "components": {
            "schemas": found["$defs"],
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
                "grafanaSignature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Grafana-Alerting-Signature",
                    "description": "hex HMAC-SHA256 of the body, or of timestamp:body",
                },
            },
        },
    }


def openapi() -> Json:
    """The document, to be served or written; whoever gets it may not change it."""
    return _document()


def _alertmanager() -> Json:
    return _post(
        "alertmanager",
        "Take a webhook of Prometheus Alertmanager, version 4",
        {_JSON: _schema(AlertmanagerPayload)},
        security=("bearer", "basic"),
    )


def _grafana() -> Json:
    return _post(
        "grafana",
        "Take a webhook of Grafana alerting",
        {_JSON: _schema(GrafanaPayload)},
        security=("bearer", "basic", "grafanaSignature"),
    )


def _events() -> Json:
    return _post(
        "events",
        "Take CloudEvents: one, a batch, or one in binary mode with ce- headers",
        {
            STRUCTURED: _schema(CloudEvent),
            BATCH: {"schema": {"type": "array", "items": _reference(CloudEvent)}},
            _JSON: {"schema": {"type": "object", "description": "data, with ce- headers"}},
        },
        security=("bearer", "basic"),
    )


def _enqueue() -> Json:
    operation = _post(
        "enqueue",
        "Take an event as PagerDuty's Events API v2 does; its routing key says whose it is",
        {_JSON: _schema(PagerDutyEvent)},
        security=(),
        accepted=PagerDutyAnswer,
        refused=PagerDutyRefusal,
    )
    for status in ("401", "403"):
        del operation["responses"][status]
    return operation


def _post(
    name: str,
    summary: str,
    content: Mapping[str, Json],
    *,
    security: tuple[str, ...],
    accepted: type[BaseModel] = Accepted,
    refused: type[BaseModel] = Refusal,
) -> Json:
    refusals = {
        "400": "Faulty: every fault is named, and nothing was taken",
        "401": "No source has this credential",
        "403": "The source may not do this",
        "408": "The body came too slowly",
        "413": "The body, or an event of it, is too large",
        "415": "The content type or the content coding is not read",
    }
    return {
        "operationId": name,
        "summary": summary,
        "security": [{each: []} for each in security],
        "requestBody": {"required": True, "content": dict(content)},
        "responses": {
            "202": _response("Every request of the call is safe", accepted),
            **{status: _response(text, refused) for status, text in refusals.items()},
            "503": _later(_response("To be sent again later", refused)),
        },
    }


def _receipt() -> Json:
    named = {"type": "string", "minLength": 1, "maxLength": 255}
    return {
        "operationId": "receipt",
        "summary": "What has become of a request of one's own",
        "security": [{"bearer": []}, {"basic": []}],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": named}
            for name in ("source", "id")
        ],
        "responses": {
            "200": _response("Pending, done or halted; pending if it is not known", Receipt),
            "401": _response("No source has this credential", Refusal),
            "403": _response("It is another source's", Refusal),
            "404": _response("The path names no source and id", Refusal),
            "501": _response("This gateway reads no receipts", Refusal),
            "503": _later(_response("To be asked again later", Refusal)),
        },
    }


def _state(name: str, summary: str, *, ready: bool) -> Json:
    responses = {"200": _response("It is so", Health)}
    if ready:
        responses["503"] = _later(_response("It is not", Health))
    return {"operationId": name, "summary": summary, "security": [], "responses": responses}


def _own() -> Json:
    content = {_JSON: {"schema": {"type": "object"}}}
    return {
        "operationId": "contract",
        "summary": "This document",
        "security": [],
        "responses": {"200": {"description": "OpenAPI 3.1", "content": content}},
    }


def _response(description: str, body: type[BaseModel]) -> Json:
    return {"description": description, "content": {_JSON: _schema(body)}}


def _later(response: Json) -> Json:
    header = {"description": "seconds", "schema": {"type": "integer", "minimum": 0}}
    return {**response, "headers": {"Retry-After": header}}


def _schema(model: type[BaseModel]) -> Json:
    return {"schema": _reference(model)}


def _reference(model: type[BaseModel]) -> Json:
    return {"$ref": _REF.format(model=model.__name__)}
