"""The vocabularies, written out as the design's section 5 gives them."""

from enum import StrEnum

import pytest

from policy.vocabulary import (
    AuditAction,
    DeliveryMethod,
    DeliveryStatus,
    Environment,
    EscalationLevel,
    EscalationStatus,
    IncidentStatus,
    Level,
    PartyStatus,
    RecipientType,
    Role,
    Severity,
    SeverityOrigin,
    SlaTier,
    SubscriptionStatus,
    UserStatus,
)

VOCABULARIES: dict[type[StrEnum], str] = {
    Role: (
        "incident_manager technical_support account_manager executive vendor_contact "
        "system_administrator client_contact"
    ),
    UserStatus: "active inactive on_leave",
    PartyStatus: "active inactive suspended",
    Severity: "P1 P2 P3 P4",
    SeverityOrigin: "computed stated",
    Level: "low medium high critical",
    IncidentStatus: "open investigating in_progress resolved closed",
    EscalationLevel: "technical management executive vendor",
    EscalationStatus: "active resolved cancelled",
    DeliveryMethod: "email sms phone chat dashboard_notification",
    DeliveryStatus: "pending sent delivered failed",
    RecipientType: "client_contacts executive_team technical_team all_stakeholders",
    SlaTier: "premium standard basic",
    SubscriptionStatus: "active inactive suspended cancelled expired",
    Environment: "production staging development testing",
    AuditAction: "create update approve reject delete execute",
}


@pytest.mark.parametrize(("vocabulary", "words"), VOCABULARIES.items())
def test_a_vocabulary_has_exactly_the_words_of_the_design(
    vocabulary: type[StrEnum], words: str
) -> None:
    """Each vocabulary has the design's words, no more and no fewer, in its order."""
    assert [member.value for member in vocabulary] == words.split()


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_a_word_is_named_by_itself(vocabulary: type[StrEnum]) -> None:
    """A member's name is its word in capitals, so that nobody has to look it up."""
    assert [member.name for member in vocabulary] == [word.upper() for word in vocabulary]
