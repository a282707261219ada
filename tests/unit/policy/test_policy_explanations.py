"""The text behind `andon explain`."""

import re

import pytest

from policy.explanations import EXPLANATIONS, Explanation
from policy.halts import Reason


def test_every_reason_is_explained() -> None:
    """A halt explains itself: no code is without its explanation, none explains another."""
    assert set(EXPLANATIONS) == set(Reason)
    assert all(explanation.reason is reason for reason, explanation in EXPLANATIONS.items())


@pytest.mark.parametrize("explanation", EXPLANATIONS.values(), ids=lambda e: e.reason)
def test_an_explanation_rests_on_a_quoted_sentence(explanation: Explanation) -> None:
    """The policy or the design is quoted, and the place of the quotation is given."""
    assert re.fullmatch(r'(?:(?:Policy|Design), [^"]+".+".*)', explanation.policy)


@pytest.mark.parametrize("explanation", EXPLANATIONS.values(), ids=lambda e: e.reason)
def test_an_explanation_helps_both_of_its_readers(explanation: Explanation) -> None:
    """The remedy says what the operator and what the producer can do."""
    assert re.search(r"\bOperator: [a-z]", explanation.remedy)
    assert re.search(r"\bProducer: [a-z]", explanation.remedy)


@pytest.mark.parametrize("explanation", EXPLANATIONS.values(), ids=lambda e: e.reason)
def test_an_explanation_is_made_of_tidy_paragraphs(explanation: Explanation) -> None:
    """A terminal may wrap each text as it likes: single spaces, whole sentences."""
    for text in (explanation.meaning, explanation.policy, explanation.remedy):
        assert text == " ".join(text.split())
        assert text[0].isupper()
        assert text[-1] in '."'


def test_the_words_of_an_explanation_stay_apart() -> None:
    """Lines of the source are joined by spaces, so that no two words run together."""
    assert EXPLANATIONS[Reason.COMPONENT_NOT_FOUND] == Explanation(
        reason=Reason.COMPONENT_NOT_FOUND,
        meaning="The component that the report or the change set names is not in the directory.",
        policy=(
            'Policy, SOP 1, Steps: "Verify the reporter user is active; as well, client and '
            'component exist."'
        ),
        remedy=(
            "Operator: if the component is new, load the directory and replay the halt. Producer: "
            "if the component_id is wrong, correct it and send the request under a new id."
        ),
    )


def test_a_later_change_of_something_unknown_is_explained() -> None:
    """incident_not_found also covers an escalation_id or communication_id that does not exist."""
    meaning = EXPLANATIONS[Reason.INCIDENT_NOT_FOUND].meaning
    assert "escalation_id" in meaning
    assert "communication_id" in meaning
