"""The severity classification, against an oracle of its own."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.halts import Halt, InputError, Reason
from policy.severity import ALL_FLAGS, FLAGS, Classification, classify, determine, more_severe
from policy.vocabulary import Severity, SeverityOrigin

# The nine conditions in the policy's order, each with the severity it makes.
CONDITIONS = {
    "p1_outage_no_workaround": "P1",
    "p1_wide_enterprise_or_5plus_customers": "P1",
    "p1_regulatory_safety_financial": "P1",
    "p1_high_priority_customer_or_recurrent": "P1",
    "p2_major_degradation_with_workaround": "P2",
    "p2_multi_dept_sites_or_critical_functions": "P2",
    "p2_risk_high_priority_sla_breach": "P2",
    "p3_localized_or_non_critical": "P3",
    "p3_moderate_deg_minimal_workaround": "P3",
}

COMBINATIONS = [
    dict(zip(CONDITIONS, values, strict=True)) for values in product([False, True], repeat=9)
]

flag_objects = st.dictionaries(st.sampled_from(list(CONDITIONS)), st.booleans(), min_size=1)
severities = st.sampled_from(Severity)


def expected(flags: dict[str, bool]) -> str:
    """Find the severity without the code under test: the first one that any raised flag makes."""
    return min((CONDITIONS[flag] for flag in flags if flags[flag]), default="P4")


def not_determined(message: str) -> Halt:
    """Make the halt that blames the flags."""
    return Halt(
        Reason.SEVERITY_NOT_DETERMINED, message, (InputError("$.data.severity_flags", message),)
    )


def test_the_conditions_are_the_nine_of_the_design() -> None:
    """Four conditions make P1, three P2 and two P3, under the names of the contract."""
    assert list(ALL_FLAGS) == list(CONDITIONS)
    assert {flag: severity for severity, flags in FLAGS.items() for flag in flags} == CONDITIONS
    assert list(FLAGS) == ["P1", "P2", "P3"]


def test_all_combinations_of_flags_are_classified() -> None:
    """P1 if any P1 condition is true, otherwise P2, otherwise P3, otherwise P4: all 512 of them."""
    assert len(COMBINATIONS) == 512
    for flags in COMBINATIONS:
        raised = [flag for flag, is_raised in flags.items() if is_raised]
        assert classify(raised) == expected(flags)
        assert determine(flags=flags, stated=None) == Classification(
            severity=Severity(expected(flags)),
            origin=SeverityOrigin.COMPUTED,
            stated=None,
            flags=tuple(raised),
        )


@pytest.mark.parametrize(("flag", "severity"), CONDITIONS.items())
def test_each_condition_alone_makes_its_severity(flag: str, severity: str) -> None:
    """No condition needs another one."""
    assert classify({flag}) == severity


def test_without_any_condition_it_is_p4() -> None:
    """If none of the conditions apply, the severity is P4."""
    assert classify([]) == "P4"


@given(flags=flag_objects)
def test_flags_left_out_are_false(flags: dict[str, bool]) -> None:
    """An object of some flags means the same as one that names the others as false."""
    complete = dict.fromkeys(CONDITIONS, False) | flags
    assert determine(flags=flags, stated=None) == determine(flags=complete, stated=None)


@given(flags=flag_objects)
def test_raised_flags_are_kept_in_the_policys_order(flags: dict[str, bool]) -> None:
    """However the request orders its flags, the incident keeps them in one order."""
    classification = determine(flags=flags, stated=None)
    assert isinstance(classification, Classification)
    assert classification.flags == tuple(flag for flag in CONDITIONS if flags.get(flag))


@given(flags=flag_objects, stated=st.none() | severities, flags_required=st.booleans())
def test_the_computed_severity_wins_over_a_stated_one(
    flags: dict[str, bool], stated: Severity | None, flags_required: bool
) -> None:
    """With flags the worker computes; what was stated is kept beside it."""
    classification = determine(flags=flags, stated=stated, flags_required=flags_required)
    assert isinstance(classification, Classification)
    assert classification.severity == expected(flags)
    assert classification.origin is SeverityOrigin.COMPUTED
    assert classification.stated is stated


@pytest.mark.parametrize("flags", [None, {}])
@pytest.mark.parametrize("stated", list(Severity))
def test_a_stated_severity_alone_stands_marked_as_stated(
    stated: Severity, flags: dict[str, bool] | None
) -> None:
    """With only a stated severity, that one stands; an empty object is no flags."""
    assert determine(flags=flags, stated=stated) == Classification(
        severity=stated, origin=SeverityOrigin.STATED, stated=stated, flags=None
    )


@pytest.mark.parametrize("flags", [None, {}])
@pytest.mark.parametrize("stated", [None, *Severity])
def test_a_source_of_which_flags_are_required_must_give_them(
    stated: Severity | None, flags: dict[str, bool] | None
) -> None:
    """Where the registry requires flags, a stated severity does not stand alone."""
    assert determine(flags=flags, stated=stated, flags_required=True) == not_determined(
        "This source must give severity_flags; a stated severity is not enough."
    )


@pytest.mark.parametrize("flags", [None, {}])
def test_with_neither_flags_nor_a_severity_it_is_not_determined(
    flags: dict[str, bool] | None,
) -> None:
    """The halt is severity_not_determined, not missing_input."""
    assert determine(flags=flags, stated=None) == not_determined(
        "Neither severity_flags nor a severity is given."
    )


MORE_SEVERE = {("P1", "P2"), ("P1", "P3"), ("P1", "P4"), ("P2", "P3"), ("P2", "P4"), ("P3", "P4")}


@pytest.mark.parametrize(("a", "b"), list(product(Severity, repeat=2)))
def test_severities_are_ordered_from_p1_down(a: Severity, b: Severity) -> None:
    """P1 is more severe than P2, P2 than P3, P3 than P4; none is more severe than itself."""
    assert more_severe(a, b) is ((a, b) in MORE_SEVERE)
