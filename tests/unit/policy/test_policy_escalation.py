"""To whom an incident may be escalated, written out as a table."""

from itertools import product

import pytest

from policy.escalation import TARGET_ROLES, check_target
from policy.halts import Halt, InputError, Reason
from policy.people import Scope, User
from policy.vocabulary import EscalationLevel, Role, UserStatus

LEVELS = ("technical", "management", "executive", "vendor")

MAY_BE_TARGET = {
    "incident_manager": "no yes no no",
    "technical_support": "yes no no no",
    "account_manager": "no yes no no",
    "executive": "no no yes no",
    "vendor_contact": "no no no yes",
    "system_administrator": "no no no no",
    "client_contact": "no no no no",
}

CASES = [
    (role, level, answer == "yes")
    for role, answers in MAY_BE_TARGET.items()
    for level, answer in zip(LEVELS, answers.split(), strict=True)
]


SCOPE = Scope(client_id="acme", vendor_id="globex")


def target(role: str, status: str = "active", *, vendor: str | None = None) -> User:
    """Make a user without any link, but for vendor contacts, who belong to the product's vendor."""
    own = vendor or ("globex" if role == "vendor_contact" else None)
    return User("user-17", Role(role), UserStatus(status), client_id=None, vendor_id=own)


def invalid(message: str) -> Halt:
    """Make the halt that blames the target."""
    return Halt(
        Reason.TARGET_USER_INVALID, message, (InputError("$.data.escalated_to_user", message),)
    )


def test_the_target_table_is_complete() -> None:
    """The table answers for every role and every level."""
    assert {(role, level) for role, level, _ in CASES} == set(
        product([role.value for role in Role], [level.value for level in EscalationLevel])
    )
    assert set(TARGET_ROLES) == set(LEVELS)


@pytest.mark.parametrize(("role", "level", "may"), CASES)
def test_the_target_has_a_role_of_the_level(role: str, level: str, may: bool) -> None:
    """Technical support, managers, executives and vendor contacts, each for their level only."""
    message = (
        f"The user named as escalated_to_user has the role {role}, "
        f"which is no target at level {level}."
    )
    halt = check_target(target(role), EscalationLevel(level), SCOPE)
    assert halt == (None if may else invalid(message))


@pytest.mark.parametrize("status", ["inactive", "on_leave"])
@pytest.mark.parametrize(("role", "level"), list(product(MAY_BE_TARGET, LEVELS)))
def test_the_target_is_active(role: str, level: str, status: str) -> None:
    """Nobody who is away or gone is escalated to, whatever the role and the level."""
    message = f"The user named as escalated_to_user is {status}, not active."
    assert check_target(target(role, status), EscalationLevel(level), SCOPE) == invalid(message)


@pytest.mark.parametrize("level", LEVELS)
def test_the_target_exists(level: str) -> None:
    """An escalation reaches somebody in the directory."""
    message = "The user named as escalated_to_user does not exist."
    assert check_target(None, EscalationLevel(level), SCOPE) == invalid(message)


@pytest.mark.parametrize(("role", "level"), [(role, level) for role, level, may in CASES if may])
def test_a_target_of_another_vendor_is_none(role: str, level: str) -> None:
    """Whoever belongs to a vendor hears only of what that vendor supports."""
    message = (
        "The user named as escalated_to_user belongs to a vendor that does not support the"
        " component's product."
    )
    of_globex, of_hooli = target(role, vendor="globex"), target(role, vendor="hooli")
    assert check_target(of_globex, EscalationLevel(level), SCOPE) is None
    assert check_target(of_hooli, EscalationLevel(level), SCOPE) == invalid(message)
    assert check_target(of_globex, EscalationLevel(level), Scope("acme", None)) == invalid(message)


def test_a_vendor_contact_without_a_vendor_is_no_target() -> None:
    """They belong to none that supports anything."""
    contact = User("user-17", Role.VENDOR_CONTACT, UserStatus.ACTIVE, None, None)
    for vendor in ("globex", None):
        halt = check_target(contact, EscalationLevel.VENDOR, Scope("acme", vendor))
        assert halt is not None
        assert halt.reason is Reason.TARGET_USER_INVALID
