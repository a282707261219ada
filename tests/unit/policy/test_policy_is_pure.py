"""The policy stands on its own."""

import ast
from pathlib import Path

import pytest

import policy

PERMITTED = {"collections", "dataclasses", "datetime", "decimal", "enum", "policy", "typing"}

MODULES = sorted(Path(*policy.__path__).glob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_a_module_imports_nothing_that_does_io(module: Path) -> None:
    """Values in, decisions out: only the standard library's value types, and policy itself."""
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(module.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= PERMITTED


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_a_module_reads_no_clock(module: Path) -> None:
    """The clock is a parameter everywhere: nothing here asks what time it is."""
    attributes = {
        node.attr
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Attribute)
    }
    assert attributes.isdisjoint({"now", "utcnow", "today"})
