"""The pages in docs are true where a machine can tell: codes, settings, moves and links."""

import re
from collections.abc import Mapping, Set
from enum import StrEnum
from pathlib import Path

import pytest

from models.inputs import INPUTS
from policy.explanations import EXPLANATIONS
from policy.halts import Reason
from policy.lifecycle import DELIVERY_MOVES, ESCALATION_MOVES, INCIDENT_MOVES
from policy.procedures import PROCEDURES
from worker.settings import Settings

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]

Moves = Mapping[StrEnum, Set[StrEnum]]


def section(page: str, heading: str) -> str:
    """What stands in a page of docs below a heading, up to the next one of its level."""
    level = heading.partition(" ")[0]
    text = f"\n{(DOCS / page).read_text()}\n{level} "
    found = re.search(rf"\n{re.escape(heading)}\n(.*?)\n{level} ", text, re.DOTALL)
    assert found is not None, f"{page} has no heading {heading!r}"
    return found[1]


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_code_is_explained_as_by_the_command(reason: Reason) -> None:
    """docs/reason-codes.md says of each code, word for word, what `andon explain` says."""
    explanation = EXPLANATIONS[reason]
    page = " ".join(section("reason-codes.md", f"## {reason}").split())
    assert page == (
        f"{explanation.meaning} *Rests on:* {explanation.policy} *What to do:* {explanation.remedy}"
    )


def test_no_reason_code_is_explained_that_does_not_exist() -> None:
    """A code that is removed or renamed goes from the page too."""
    headings = re.findall(r"^## (.+)$", (DOCS / "reason-codes.md").read_text(), re.MULTILINE)
    assert headings == list(Reason)


def test_the_settings_table_is_complete() -> None:
    """docs/operating.md has a row for every setting, and for nothing else."""
    rows = re.findall(r"^\| `(ANDON_\w+)` \|", section("operating.md", "## Settings"), re.MULTILINE)
    assert sorted(rows) == sorted(f"ANDON_{name.upper()}" for name in Settings.model_fields)


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_the_inputs_of_a_procedure_are_all_told(procedure: str) -> None:
    """docs/producing.md names every input and every role of the SOP's own list."""
    told = section("producing.md", f"### {procedure}")
    ways = {"incident_id", "incident_request", "incident_dedup_key"}  # told as *incident*
    inputs = INPUTS[procedure].model_fields.keys()
    assert {name for name in inputs - ways if f"`{name}`" not in told} == set()
    assert ("*incident*" in told) == (ways <= inputs)
    assert f"Actor: `{PROCEDURES[procedure].actor}`" in told
    roles = told.partition("Actor:")[2].partition("\n")[0]
    assert set(re.findall(r"\b[a-z]+_[a-z]+\b|executive", roles.partition(",")[2])) == set(
        PROCEDURES[procedure].roles
    )


@pytest.mark.parametrize(
    ("heading", "moves"),
    [
        ("## An incident's status", INCIDENT_MOVES),
        ("## An escalation's status", ESCALATION_MOVES),
        ("## A communication's delivery_status", DELIVERY_MOVES),
    ],
)
def test_the_moves_are_those_of_the_policy(heading: str, moves: Moves) -> None:
    """Table and diagram of docs/state-machines.md show the moves that the code permits."""
    told = section("state-machines.md", heading)
    permitted = {(str(old), str(new)) for old, news in moves.items() for new in news}
    table = {
        (old, new)
        for old, news in re.findall(r"^\| (\w+) \| ([\w, ]+) \|$", told, re.MULTILINE)
        for new in news.split(", ")
        if old != "from"
    }
    diagram = set(re.findall(r"^    (\w+) --> (\w+)$", told, re.MULTILINE))
    assert table == permitted
    assert diagram == permitted


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """Relative links name files that exist, and headings that the files have."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\((?!https?:)([^)\s]+)\)", text)
    assert [link for link in links if not _leads_somewhere(page, link)] == []


def _leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
