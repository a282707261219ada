"""Which file decides which procedure: the one that bears its name.

A fifth SOP is declared in ``policy.procedures``, gets a model in ``models.inputs`` and a file here;
``docs/adding-a-procedure.md`` says what else there is for one that keeps rows of its own.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from policy.procedures import PROCEDURES
from tasks.decisions import Decision
from tasks.facts import Facts
from tasks.requests import Request

Decide = Callable[[Request[Any], Facts], Decision]

DECIDE: Mapping[str, Decide] = {name: import_module(f"tasks.{name}").decide for name in PROCEDURES}
