"""`andon explain`: what a reason code means, what the policy says, and what to do."""

from dataclasses import asdict
from difflib import get_close_matches
from typing import Annotated

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from console.failures import wrong_usage
from console.output import AsJson, print_document, screen, table
from policy.explanations import EXPLANATIONS, Explanation
from policy.halts import Reason
from policy.procedures import PROCEDURES


def explain(
    code: Annotated[
        str | None, typer.Argument(help="A reason code; all of them if left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a reason code means, what it rests on, and what to do about it."""
    if code is None:
        _explain_all(as_json)
        return
    explanation = EXPLANATIONS[known_reason(code)]
    if as_json:
        print_document(_document(explanation))
    else:
        screen().print(explained(explanation))


def explained(explanation: Explanation) -> Group:
    """An explanation as it is shown, also below a halt."""
    texts = Table.grid(padding=(0, 2, 1, 0))
    texts.add_column(style="dim", no_wrap=True)
    texts.add_column()
    texts.add_row("What it means", Text(explanation.meaning))
    texts.add_row("What it rests on", Text(explanation.policy))
    texts.add_row("What to do", Text(explanation.remedy))
    return Group(Text(explanation.reason, "bold"), Text(), texts)


def _explain_all(as_json: bool) -> None:
    if as_json:
        print_document([_document(explanation) for explanation in EXPLANATIONS.values()])
    else:
        rows = [(each.reason, _first_sentence(each.meaning)) for each in EXPLANATIONS.values()]
        screen().print(table("Reasons for a halt", ("code", "what it means"), rows))


def known_reason(code: str) -> Reason:
    """The reason of this code.

    Raises:
        Failure: there is none; close ones are named.
    """
    try:
        return Reason(code)
    except ValueError:
        close = get_close_matches(code.lower().replace("-", "_"), list(Reason))
        hint = f"did you mean {' or '.join(close)}?" if close else "`andon explain` lists them all."
        raise wrong_usage(f"There is no reason code {code!r}: {hint}") from None


def _document(explanation: Explanation) -> dict[str, object]:
    halts = [name for name, each in PROCEDURES.items() if explanation.reason in each.halts]
    return asdict(explanation) | {"decided_by": halts}


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].removesuffix(".") + "."
