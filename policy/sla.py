"""What each subscription tier promises, as the policy's table gives it.

Policy, Subscription Tier Values and Metrics. Data and a look-up only: what counts as a business
day, and when a clock starts and stops, the policy does not say and this module does not guess.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from policy.vocabulary import Severity, SlaTier


@dataclass(frozen=True, slots=True)
class BusinessDays:
    """A number of business days, which is no fixed span of time."""

    days: int


Duration = timedelta | BusinessDays
"""Calendar time, or business days where the policy says so."""


@dataclass(frozen=True, slots=True)
class Range:
    """A promise as the policy gives it, "15-30 min"; where it gives one figure, both are that."""

    shortest: Duration
    longest: Duration


@dataclass(frozen=True, slots=True)
class Targets:
    """How soon an incident is to be responded to, and how soon resolved."""

    response: Range
    resolution: Range


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """All that a tier promises; `availability` is the uptime in percent."""

    target_clients: str
    targets: Mapping[Severity, Targets]
    availability: Decimal
    support: str


def targets(tier: SlaTier, severity: Severity) -> Targets:
    """Look up what a tier promises for an incident of this severity."""
    return SERVICE_LEVELS[tier].targets[severity]


_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_WEEK = timedelta(weeks=1)

SERVICE_LEVELS: Mapping[SlaTier, ServiceLevel] = {
    SlaTier.PREMIUM: ServiceLevel(
        target_clients="Enterprise, mission-critical operations",
        targets={
            Severity.P1: Targets(Range(15 * _MINUTE, 30 * _MINUTE), Range(2 * _HOUR, 4 * _HOUR)),
            Severity.P2: Targets(Range(1 * _HOUR, 2 * _HOUR), Range(8 * _HOUR, 24 * _HOUR)),
            Severity.P3: Targets(Range(4 * _HOUR, 8 * _HOUR), Range(48 * _HOUR, 72 * _HOUR)),
            Severity.P4: Targets(Range(24 * _HOUR, 48 * _HOUR), Range(128 * _HOUR, 128 * _HOUR)),
        },
        availability=Decimal("99.9"),
        support="24/7/365",
    ),
    SlaTier.STANDARD: ServiceLevel(
        target_clients="Mid-market, important but less critical operations",
        targets={
            Severity.P1: Targets(Range(1 * _HOUR, 2 * _HOUR), Range(8 * _HOUR, 24 * _HOUR)),
            Severity.P2: Targets(Range(4 * _HOUR, 8 * _HOUR), Range(24 * _HOUR, 48 * _HOUR)),
            Severity.P3: Targets(Range(24 * _HOUR, 24 * _HOUR), Range(72 * _HOUR, 120 * _HOUR)),
            Severity.P4: Targets(Range(48 * _HOUR, 72 * _HOUR), Range(168 * _HOUR, 168 * _HOUR)),
        },
        availability=Decimal("99.5"),
        support="Business hours with on-call for critical issues",
    ),
    SlaTier.BASIC: ServiceLevel(
        target_clients="Small businesses, standard operational needs",
        targets={
            Severity.P1: Targets(Range(4 * _HOUR, 8 * _HOUR), Range(24 * _HOUR, 48 * _HOUR)),
            Severity.P2: Targets(Range(24 * _HOUR, 24 * _HOUR), Range(72 * _HOUR, 120 * _HOUR)),
            Severity.P3: Targets(
                Range(48 * _HOUR, 72 * _HOUR), Range(BusinessDays(5), BusinessDays(10))
            ),
            Severity.P4: Targets(
                Range(BusinessDays(5), BusinessDays(7)), Range(2 * _WEEK, 2 * _WEEK)
            ),
        },
        availability=Decimal("99.0"),
        support="Business hours only",
    ),
}
"""The three tiers of the policy."""
