"""The AsyncAPI 3.0 document of the intake: where messages go, and where outcomes come from.

What a message looks like stands in the JSON Schemas, which the document refers to as files.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from models.inputs import INPUTS
from models.message_schemas import DIALECT
from models.streams import EVENT, KEY, SIGNATURE, Lane, StreamNames
from policy.procedures import PROCEDURES

Json = dict[str, Any]

SCHEMAS = "schemas"
"""The folder of the JSON Schemas, beside the document."""

_NAMES = StreamNames("{namespace}")
_OUTCOMES = ("request_done", "request_halted")
_LANES: Mapping[Lane, str] = {
    Lane.URGENT: "Requests that are read first.",
    Lane.BULK: "Requests that give way, but for a tenth of each batch: imports, catching up.",
}


def asyncapi_document(version: str) -> Json:
    """The document of one version of Andon, as a producer sees it: it sends and receives."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Andon",
            "version": version,
            "description": (
                "A producer sends signed requests to the intake and receives their outcomes."
                f" On Redis an entry of a stream has the field `{EVENT}`, the payload's bytes, and"
                " the message's headers as fields beside it; on RabbitMQ the body is the payload."
                " docs/producing.md says what the inputs mean."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "redis": {"host": "localhost:6379", "protocol": "redis"},
            "rabbitmq": {"host": "localhost:5672", "protocol": "amqp"},
        },
        "channels": {
            **{_lane_name(lane): _lane(lane, text) for lane, text in _LANES.items()},
            "outcomes": _channel(_NAMES.outcomes, "The outcome of every request.", _OUTCOMES),
            "halts": _channel(_NAMES.halts, "Outcomes that are halts.", ["request_halted"]),
        },
        "operations": {
            **{
                f"send_{_lane_name(lane)}": _operation("send", _lane_name(lane), INPUTS)
                for lane in _LANES
            },
            "receive_outcomes": _operation("receive", "outcomes", _OUTCOMES),
            "receive_halts": _operation("receive", "halts", ["request_halted"]),
        },
        "components": {
            "messages": {
                **{name: _request(name) for name in INPUTS},
                **{name: _message(name) for name in _OUTCOMES},
            }
        },
    }


def _lane_name(lane: Lane) -> str:
    return f"intake_{lane}"


def _lane(lane: Lane, description: str) -> Json:
    channel = _channel(_NAMES.intake(lane), description, INPUTS)
    exchange = {"name": _NAMES.intake_exchange, "type": "direct", "durable": True}
    return channel | {"bindings": {"amqp": {"is": "routingKey", "exchange": exchange}}}


def _channel(address: str, description: str, messages: Iterable[str]) -> Json:
    return {
        "address": address,
        "description": description,
        "parameters": {
            "namespace": {"default": "andon", "description": "ANDON_NAMESPACE of the operator."}
        },
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {
                    "name": address,
                    "durable": True,
                    "exclusive": False,
                    "autoDelete": False,
                },
            }
        },
    }


def _operation(action: str, channel: str, messages: Iterable[str]) -> Json:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }


def _request(procedure: str) -> Json:
    return _message(procedure) | {
        "summary": PROCEDURES[procedure].title,
        "headers": {
            "type": "object",
            "required": [KEY, SIGNATURE],
            "properties": {
                KEY: {"type": "string", "description": "The id of the source's key."},
                SIGNATURE: {
                    "type": "string",
                    "pattern": "^[0-9a-f]{64}$",
                    "description": "Hex HMAC-SHA256 of the payload's bytes under that key.",
                },
            },
        },
    }


def _message(name: str) -> Json:
    return {
        "name": name,
        "contentType": "application/cloudevents+json",
        "payload": {
            "schemaFormat": f"application/schema+json;version={DIALECT}",
            "schema": {"$ref": f"./{SCHEMAS}/{name}.json"},
        },
    }
