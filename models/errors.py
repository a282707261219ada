"""Faults of a message as a list of JSON paths with what is wrong there, values left out.

What is said of a message outlives it: in halts, in the ledger, with everybody who reads outcomes.
So names that its sender chose are told only where they look like names; others are left out.

How much is said of one message has a limit, whoever sent it: a small message can have so many
faults, each so deep within it, that to name them all would take more room than can be stored.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from policy.halts import InputError

MOST_ERRORS = 50
"""So many faults of one message are named; one more says how many are not."""
LONGEST_PATH = 256
LONGEST_MESSAGE = 256

MOST_NAMES = 20
"""So many names of one message are told."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_LONGEST_KEY = 64
_BACKSLASH, _ESCAPED_NUL = b"\\", b"\\u0000"
_CUT = "…"
"""Ends a path that has been cut; no whole one ends so."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with a message.

    Attributes:
        named: the first of the faults, up to :data:`MOST_ERRORS`.
        count: how many there are, or, if not all were looked for, at least.
        all_found: whether all were looked for.
    """

    named: tuple[InputError, ...] = ()
    count: int = 0
    all_found: bool = True

    def __bool__(self) -> bool:
        return self.count > 0

    def __add__(self, other: "Faults") -> "Faults":
        return Faults(
            (self.named + other.named)[:MOST_ERRORS],
            self.count + other.count,
            self.all_found and other.all_found,
        )

    @property
    def errors(self) -> tuple[InputError, ...]:
        """The faults as a halt tells them: those that are named, then how many more there are."""
        left = self.count - len(self.named)
        if not left:
            return self.named
        number = f"{left:,}" if self.all_found else f"at least {left:,}"
        noun = "fault" if left == 1 else "faults"
        return (*self.named, InputError("$", f"and {number} more {noun}"))


NO_FAULTS = Faults()


def looks_like_name(text: str) -> bool:
    """Whether *text* is an identifier, as names of inputs and of labels are, and no sentence."""
    return _PLAIN_KEY.match(text) is not None


def json_path(parent: str, key: str | int, *, quoting: bool = False) -> str:
    """The JSON path (RFC 9535) of *key* below *parent*, cut where it gets too long.

    Args:
        parent: a path.
        key: a place in it.
        quoting: whether to quote what does not look like a name, for a text that whoever wrote it
            alone will read; else it becomes ``[*]``.
    """
    if parent.endswith(_CUT):
        return parent
    if isinstance(key, int):
        return _cut(f"{parent}[{key}]", LONGEST_PATH)
    if looks_like_name(key):
        return _cut(f"{parent}.{key}", LONGEST_PATH)
    return _cut(f"{parent}[{key[:_LONGEST_KEY]!r}]" if quoting else f"{parent}[*]", LONGEST_PATH)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + _CUT


def input_faults(error: ValidationError, root: str, *, quoting: bool = False) -> Faults:
    """What pydantic found below *root*, in the order of the fields; see :func:`json_path`."""
    found = error.errors(include_url=False)[:MOST_ERRORS]
    named = tuple(
        InputError(_path(root, fault["loc"], quoting), _message(fault)) for fault in found
    )
    return Faults(named, error.error_count())


def input_errors(
    error: ValidationError, root: str, *, quoting: bool = False
) -> tuple[InputError, ...]:
    """What pydantic found below *root*, as a halt tells it; see :func:`json_path`."""
    return input_faults(error, root, quoting=quoting).errors


def is_missing(fault: ErrorDetails) -> bool:
    """Whether a fault says that a required input was left out, or given as null."""
    return fault["type"] == "missing" or _is_null(fault)


def _is_null(fault: ErrorDetails) -> bool:
    """Whether an input itself is null; within an input null is a value like another, if a bad one.

    A rule between several inputs (type ``invalid``) may be reported at one that was left out.
    """
    return fault.get("input", ...) is None and len(fault["loc"]) == 1 and fault["type"] != "invalid"


def nul_faults(event: bytes, value: object, root: str) -> Faults:
    """Where *value* holds U+0000, which PostgreSQL cannot store and nobody means (DESIGN 5).

    Only an event whose bytes hold the escape is searched, and no further than to the first place
    that is not named any more.
    """
    if _BACKSLASH not in event or _ESCAPED_NUL not in event:  # one byte is found much faster
        return NO_FAULTS
    found = [
        InputError(path, "holds U+0000")
        for path in islice(_nul_paths(value, root), MOST_ERRORS + 1)
    ]
    named = tuple(found[:MOST_ERRORS])
    return Faults(named, len(found), all_found=len(named) == len(found))


def _nul_paths(value: object, path: str) -> Iterator[str]:
    match value:
        case str() if "\0" in value:
            yield path
        case dict():
            for key, below in value.items():
                if "\0" in key:
                    yield path
                yield from _nul_paths(below, json_path(path, key))
        case list():
            for index, below in enumerate(value):
                yield from _nul_paths(below, json_path(path, index))


def _path(root: str, location: tuple[str | int, ...], quoting: bool) -> str:
    for key in location:
        root = json_path(root, key, quoting=quoting)
    return root


def _message(fault: ErrorDetails) -> str:
    return _cut(wording(fault), LONGEST_MESSAGE)


_WORDINGS: Mapping[str, str] = {
    "extra_forbidden": "is not an input of this procedure",
    **dict.fromkeys(("string_type", "path_type"), "must be text"),
    "string_unicode": "must be text in UTF-8",
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    "int_parsing_size": "must be a smaller number",
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("datetime_type", "datetime_parsing"), "must be a moment"),
    **dict.fromkeys(("model_type", "dict_type"), "must be a JSON object"),
    **dict.fromkeys(("list_type", "tuple_type", "frozen_set_type"), "must be a list"),
}
"""What is said of a fault that pydantic tells in Python's words."""
_DIRECTORY_ID = r"^[A-Za-z0-9._:-]{1,64}\z"
_SUBJECT = re.compile(r"\w+ should (?=have|be|match)")


def wording(fault: ErrorDetails) -> str:
    """What is wrong, as the end of a sentence about the input; its value is left out."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "missing" and fault["msg"] != "Field required":
        return str(fault["msg"])
    if is_missing(fault):
        return "is required"
    if kind in ("string_too_short", "too_short") and context.get("min_length") == 1:
        return "must not be empty"
    if kind == "string_pattern_mismatch" and context.get("pattern") == _DIRECTORY_ID:
        return "must be 1 to 64 of A-Z a-z 0-9 . _ : -"
    if kind == "value_error":
        return str(context["error"])
    return _WORDINGS.get(kind) or _without_subject(fault["msg"])


def _without_subject(message: str) -> str:
    """Of "Input should be greater than or equal to 1": "must be at least 1"."""
    told = _SUBJECT.sub("must ", message, count=1).replace(" after validation", "")
    told = told.replace("greater than or equal to", "at least")
    return told.replace("less than or equal to", "at most")
