"""How severe an incident is: the nine conditions, and what follows from them.

Policy, SOP 1, Severity Classification Process; design, section 6, "Severity".
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from policy.halts import Halt, InputError, Reason
from policy.vocabulary import Severity, SeverityOrigin

FLAGS: Mapping[Severity, tuple[str, ...]] = {
    Severity.P1: (
        "p1_outage_no_workaround",
        "p1_wide_enterprise_or_5plus_customers",
        "p1_regulatory_safety_financial",
        "p1_high_priority_customer_or_recurrent",
    ),
    Severity.P2: (
        "p2_major_degradation_with_workaround",
        "p2_multi_dept_sites_or_critical_functions",
        "p2_risk_high_priority_sla_breach",
    ),
    Severity.P3: (
        "p3_localized_or_non_critical",
        "p3_moderate_deg_minimal_workaround",
    ),
}
"""The conditions of each severity, in the policy's order. P4 has none: it is what remains."""

ALL_FLAGS: tuple[str, ...] = tuple(flag for flags in FLAGS.values() for flag in flags)
"""The nine conditions in the policy's order."""

_CONDITIONS = tuple((severity, frozenset(flags)) for severity, flags in FLAGS.items())


class Classification(NamedTuple):
    """An incident's severity and how it came about.

    `stated` is what the request stated, also where the computed severity won over it. `flags` are
    the raised ones in the policy's order, or None when the request gave no flags.
    """

    severity: Severity
    origin: SeverityOrigin
    stated: Severity | None
    flags: tuple[str, ...] | None


def classify(raised: Collection[str]) -> Severity:
    """Classify an incident by the names of the conditions that apply to it.

    "Compute severity as P1 if any P1 condition is True; otherwise P2 if any P2 condition is True;
    otherwise P3 if any P3 condition is True; otherwise P4."
    """
    for severity, conditions in _CONDITIONS:
        if not conditions.isdisjoint(raised):
            return severity
    return Severity.P4


def determine(
    *, flags: Mapping[str, bool] | None, stated: Severity | None, flags_required: bool = False
) -> Classification | Halt:
    """Determine the severity of a report, or halt as severity_not_determined.

    Flags decide wherever there are any, also against a stated severity; those left out are false,
    and an empty mapping is no flags. A stated severity alone stands, unless the registry requires
    flags of the source.
    """
    if flags:
        raised = tuple(filter(flags.get, ALL_FLAGS))
        return Classification(classify(raised), SeverityOrigin.COMPUTED, stated, raised)
    if flags_required:
        message = "This source must give severity_flags; a stated severity is not enough."
    elif stated is None:
        message = "Neither severity_flags nor a severity is given."
    else:
        return Classification(stated, SeverityOrigin.STATED, stated, None)
    return Halt(
        Reason.SEVERITY_NOT_DETERMINED, message, (InputError("$.data.severity_flags", message),)
    )


def more_severe(a: Severity, b: Severity) -> bool:
    """Whether `a` is more severe than `b`."""
    return a < b
