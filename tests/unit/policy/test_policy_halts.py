"""The reason codes and the order in which faults count."""

from itertools import chain

from policy.halts import PRECEDENCE, Halt, InputError, Reason

CODES = """
malformed unauthenticated unknown_procedure missing_input invalid_input idempotency_conflict
user_not_found user_inactive not_authorized client_association vendor_association client_not_found
component_not_found severity_not_determined incident_not_found incident_closed invalid_status
version_conflict assignee_invalid target_user_invalid sender_invalid recipient_invalid
creation_failed update_failed escalation_failed source_not_allowed expired worker_lost
internal_error
"""

PHASES = [
    (
        "malformed unauthenticated unknown_procedure missing_input invalid_input "
        "source_not_allowed expired idempotency_conflict"
    ),
    "user_not_found user_inactive sender_invalid not_authorized",
    "incident_not_found client_not_found component_not_found",
    "client_association vendor_association",
    (
        "severity_not_determined incident_closed version_conflict invalid_status "
        "assignee_invalid target_user_invalid recipient_invalid"
    ),
]


def test_the_reason_codes_are_those_of_the_contract() -> None:
    """Consumers match on these codes: none is added, dropped or renamed unnoticed."""
    assert [reason.value for reason in Reason] == CODES.split()


def test_a_reason_is_named_by_its_code() -> None:
    """A member's name is its code in capitals."""
    assert [reason.name for reason in Reason] == [code.upper() for code in CODES.split()]


def test_faults_count_in_the_order_of_the_design() -> None:
    """The message, the actor, what it refers to, the association, the procedure's own rules."""
    assert [" ".join(phase) for phase in PRECEDENCE] == PHASES


def test_only_what_happens_after_a_decision_has_no_precedence() -> None:
    """Every reason has one place in the order, but a refused write, a lost worker and a bug."""
    ordered = list(chain.from_iterable(PRECEDENCE))
    assert len(ordered) == len(set(ordered))
    assert set(Reason) - set(ordered) == {
        "creation_failed",
        "update_failed",
        "escalation_failed",
        "worker_lost",
        "internal_error",
    }


def test_a_halt_blames_no_input_unless_it_says_so() -> None:
    """Two halts with the same reason, message and errors are the same value."""
    assert Halt(Reason.EXPIRED, "Late.") == Halt(reason=Reason.EXPIRED, message="Late.", errors=())
    error = InputError(path="$.data.title", message="is missing")
    assert Halt(Reason.MISSING_INPUT, "Incomplete.", (error,)).errors == (error,)
