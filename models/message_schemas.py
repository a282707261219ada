"""JSON Schemas (2020-12) of every message, made of the models that read and write them.

They say all that JSON Schema can say. What it cannot, the worker still halts: a resolution before
its detection, an impossible date, U+0000.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import override

from models.events import TYPE_PREFIX, Envelope
from models.inputs import (
    INPUTS,
    ChangeCommunication,
    ChangeEscalation,
    ChangeSet,
    Inputs,
    RecordCommunication,
    ReportIncident,
    SubmitEscalation,
    UpdateIncident,
)
from models.outcomes import OUTCOME_SOURCE
from models.results import RESULTS, Done, Halted
from policy.vocabulary import EscalationStatus, IncidentStatus

Json = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DEFINITIONS = "#/$defs/{model}"


def message_schemas() -> dict[str, Json]:
    """The schema of every message that is sent or comes back, by the message's name."""
    requests = {procedure: _request(procedure) for procedure in INPUTS}
    return requests | {
        "request_done": _outcome("andon.request.done", Done, "A request has had its effect."),
        "request_halted": _outcome(
            "andon.request.halted", Halted, "A request was refused, and is kept."
        ),
    }


def _given(name: str) -> Json:
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


def _is_one_of(name: str, *words: str) -> Json:
    return {"required": [name], "properties": {name: {"enum": [str(word) for word in words]}}}


_REFERS_ONCE: Json = {
    "oneOf": [_given(f"incident_{way}") for way in ("id", "request", "dedup_key")]
}
_RESOLVED_AT: Json = {
    "if": _given("resolved_at"),
    "then": _is_one_of("status", EscalationStatus.RESOLVED),
}

# The rules between several inputs, which the models' validators hold.
_RULES: Mapping[type[BaseModel], tuple[Json, ...]] = {
    ReportIncident: (
        {
            "if": _is_one_of("status", IncidentStatus.RESOLVED, IncidentStatus.CLOSED),
            "then": _given("resolution_timestamp"),
            "else": {"not": _given("resolution_timestamp")},
        },
    ),
    UpdateIncident: (_REFERS_ONCE, {"anyOf": [_given("change_set"), _given("note")]}),
    ChangeSet: ({"minProperties": 1},),
    SubmitEscalation: (_REFERS_ONCE, _RESOLVED_AT),
    ChangeEscalation: (_RESOLVED_AT,),
    RecordCommunication: (
        _REFERS_ONCE,
        {"anyOf": [_given("recipient_id"), _given("recipient_type")]},
    ),
    Done: tuple(
        {
            "if": _is_one_of("procedure", procedure),
            "then": {
                "properties": {"result": {"$ref": _DEFINITIONS.format(model=result.__name__)}}
            },
        }
        for procedure, result in RESULTS.items()
    ),
}

_LATER_CHANGES: Mapping[type[Inputs], type[Inputs]] = {
    SubmitEscalation: ChangeEscalation,
    RecordCommunication: ChangeCommunication,
}


class _Generated(GenerateJsonSchema):
    """Without titles made of the names, and without null where it only stands for left out."""

    @override
    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    @override
    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if made.get("default", ...) is None:
            del made["default"]
        return made


def _schema(what: Any) -> Json:  # noqa: ANN401  # a model, or several
    made = TypeAdapter(what).json_schema(schema_generator=_Generated, ref_template=_DEFINITIONS)
    parts = made.get("$defs", {}) | {getattr(what, "__name__", ""): made}
    for model, rules in _RULES.items():
        if model.__name__ in parts:
            parts[model.__name__]["allOf"] = list(rules)
    for part in parts.values():
        if "description" in part:
            part["description"] = _summary(part["description"])
    return made


def _summary(docstring: str | None) -> str:
    return (docstring or "").partition("\n\nAttributes:")[0].replace("``", "`")


def _request(procedure: str) -> Json:
    model = INPUTS[procedure]
    later = _LATER_CHANGES.get(model)
    data = _schema(model if later is None else model | later)
    return _event(f"{TYPE_PREFIX}{procedure}", data, _summary(model.__doc__))


def _outcome(type_: str, model: type[BaseModel], description: str) -> Json:
    """Andon writes it: nothing of it is left out, and its id may be longer than a request's."""
    schema = _event(type_, _schema(model), description)
    names = ("specversion", "id", "source", "type", "time", "datacontenttype", "entry", "data")
    properties = schema["properties"] | {
        "id": {"type": "string", "minLength": 1},
        "source": {"const": OUTCOME_SOURCE},
        "time": {"type": "string", "format": "date-time"},
        "entry": {
            "type": "string",
            "description": "The intake entry that was decided; of a duplicate the first one's.",
        },
    }
    return schema | {
        "properties": {name: properties[name] for name in names},
        "required": list(names),
    }


def _event(type_: str, data: Json, description: str) -> Json:
    envelope = _schema(Envelope)
    return {
        "$schema": DIALECT,
        "$id": f"urn:andon:{type_.removeprefix(TYPE_PREFIX)}",
        "title": type_,
        "description": description,
        "type": "object",
        "properties": {**envelope["properties"], "type": {"const": type_}, "data": data},
        "required": [*envelope["required"], "data"],
        "$defs": data.pop("$defs", {}),
    }
