"""The subscription tiers, as the policy's own words."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest

from policy.sla import SERVICE_LEVELS, BusinessDays, Duration, Range, targets
from policy.vocabulary import Severity, SlaTier

# tier, severity, response, resolution: copied from the policy.
PROMISES = [
    ("premium", "P1", "15-30 min", "2-4 hr"),
    ("premium", "P2", "1-2 hr", "8-24 hr"),
    ("premium", "P3", "4-8 hr", "48-72 hr"),
    ("premium", "P4", "24-48 hr", "128 hr"),
    ("standard", "P1", "1-2 hr", "8-24 hr"),
    ("standard", "P2", "4-8 hr", "24-48 hr"),
    ("standard", "P3", "24 hr", "72-120 hr"),
    ("standard", "P4", "48-72 hr", "168 hr"),
    ("basic", "P1", "4-8 hr", "24-48 hr"),
    ("basic", "P2", "24 hr", "72-120 hr"),
    ("basic", "P3", "48-72 hr", "5-10 business days"),
    ("basic", "P4", "5-7 business days", "2 weeks"),
]


def duration(number: str, unit: str) -> Duration:
    """Read one figure of the policy's table."""
    match unit:
        case "min":
            return timedelta(minutes=int(number))
        case "hr":
            return timedelta(hours=int(number))
        case "weeks":
            return timedelta(days=7 * int(number))
        case "business days":
            return BusinessDays(int(number))
    raise AssertionError(unit)


def promise(text: str) -> Range:
    """Read a promise of the policy's table, a range or a single figure."""
    match = re.fullmatch(r"(\d+)(?:-(\d+))? (.+)", text)
    assert match
    shortest, longest, unit = match.groups()
    return Range(duration(shortest, unit), duration(longest or shortest, unit))


@pytest.mark.parametrize(("tier", "severity", "response", "resolution"), PROMISES)
def test_a_tier_promises_what_the_policy_says(
    tier: str, severity: str, response: str, resolution: str
) -> None:
    """Every figure of the policy's table is kept, with business days as such."""
    promised = targets(SlaTier(tier), Severity(severity))
    assert promised.response == promise(response)
    assert promised.resolution == promise(resolution)


def test_every_tier_promises_something_for_every_severity() -> None:
    """There is no tier and no severity without a target."""
    assert [
        (tier, severity)
        for tier, service_level in SERVICE_LEVELS.items()
        for severity in service_level.targets
    ] == [(tier, severity) for tier, severity, _, _ in PROMISES]


@pytest.mark.parametrize(
    ("tier", "target_clients", "availability", "support"),
    [
        ("premium", "Enterprise, mission-critical operations", "99.9", "24/7/365"),
        (
            "standard",
            "Mid-market, important but less critical operations",
            "99.5",
            "Business hours with on-call for critical issues",
        ),
        ("basic", "Small businesses, standard operational needs", "99.0", "Business hours only"),
    ],
)
def test_a_tier_is_described_as_the_policy_describes_it(
    tier: str, target_clients: str, availability: str, support: str
) -> None:
    """Target clients, availability and support hours are the policy's own words and figures."""
    service_level = SERVICE_LEVELS[SlaTier(tier)]
    assert service_level.target_clients == target_clients
    assert service_level.availability == Decimal(availability)
    assert service_level.support == support


def test_business_days_are_no_span_of_time() -> None:
    """Five business days are not five days: nothing may add them to a timestamp by mistake."""
    assert BusinessDays(5) != timedelta(days=5)
