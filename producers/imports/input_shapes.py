"""What the inputs of a procedure look like, as its model says it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, get_args, get_origin

from pydantic import BaseModel

from models.inputs import INPUTS


class Sort(StrEnum):
    """What kind of value an input takes."""

    TEXT = "text"
    INTEGER = "an integer"
    BOOLEAN = "true or false"
    MOMENT = "a moment"
    OBJECT = "an object"


@dataclass(frozen=True, slots=True)
class InputShape:
    """One input.

    Attributes:
        words: the vocabulary it is limited to.
        members: of an object.
    """

    sort: Sort
    required: bool
    words: tuple[str, ...] | None = None
    members: Mapping[str, "InputShape"] = field(default_factory=dict)


def input_shapes(procedure: str, named: Iterable[str]) -> dict[str, InputShape]:
    """The inputs of *procedure*, in the shape that a request has which gives those *named*."""
    return _members(INPUTS[procedure].shape(dict.fromkeys(named)))


def _members(model: type[BaseModel]) -> dict[str, InputShape]:
    return {
        name: _shape(field.annotation, required=field.is_required())
        for name, field in model.model_fields.items()
    }


def _shape(annotation: object, *, required: bool) -> InputShape:
    kind = _bare(annotation)
    if issubclass(kind, BaseModel):
        return InputShape(Sort.OBJECT, required, members=_members(kind))
    if issubclass(kind, StrEnum):
        return InputShape(Sort.TEXT, required, words=tuple(str(word) for word in kind))
    return InputShape(_SORTS.get(kind, Sort.TEXT), required)


_SORTS = {bool: Sort.BOOLEAN, int: Sort.INTEGER, datetime: Sort.MOMENT}


def _bare(annotation: object) -> type:
    """The type that an annotation comes down to, without its constraints and without None."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    options = [option for option in get_args(annotation) if option is not type(None)]
    if options:
        return _bare(options[0])
    assert isinstance(annotation, type)
    return annotation
