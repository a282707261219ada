"""The sample organisation loads, and shows every kind of row there is."""

from enum import StrEnum

import pytest

from console.sample import load_sample, load_sample_once
from policy.vocabulary import PartyStatus, Role, SlaTier, SubscriptionStatus, UserStatus
from tests.support.installation import Installation


@pytest.fixture
def loaded(installation: Installation) -> Installation:
    """An installation with the sample beside what it has."""
    done = load_sample(installation.settings)
    assert done.faults == ()
    assert [each.created for each in done.files] == [4, 4, 16, 5, 9, 10]
    return installation


def test_the_sample_can_be_loaded_again(loaded: Installation) -> None:
    """Which changes nothing."""
    assert {(each.created, each.updated) for each in load_sample(loaded.settings).files} == {(0, 0)}


def test_the_sample_goes_into_an_empty_directory_alone(installation: Installation) -> None:
    """What an operator has loaded or changed stays as it is."""
    before = installation.rows("SELECT * FROM users ORDER BY user_id")
    assert not load_sample_once(installation.settings)
    assert installation.rows("SELECT * FROM users ORDER BY user_id") == before
    installation.execute(
        "TRUNCATE clients, vendors, users, products, components, subscriptions CASCADE"
    )
    assert load_sample_once(installation.settings)
    installation.execute("UPDATE users SET status = 'inactive'")
    assert not load_sample_once(installation.settings)
    assert installation.rows("SELECT DISTINCT status FROM users") == [("inactive",)]


@pytest.mark.parametrize(
    ("words", "statement"),
    [
        (Role, "SELECT role FROM users WHERE email LIKE '%.example'"),
        (UserStatus, "SELECT status FROM users WHERE email LIKE '%.example'"),
        (SlaTier, "SELECT sla_tier FROM subscriptions"),
        (SubscriptionStatus, "SELECT status FROM subscriptions"),
        (PartyStatus, "SELECT status FROM clients UNION SELECT status FROM vendors"),
    ],
)
def test_every_word_occurs(words: type[StrEnum], statement: str, loaded: Installation) -> None:
    """Whoever looks at the sample sees every role, status and tier."""
    assert {word for (word,) in loaded.rows(statement)} == set(words)


def test_every_role_has_somebody_who_may_act(loaded: Installation) -> None:
    """An active user of each role, and each client and vendor with a contact."""
    active = loaded.rows(
        "SELECT DISTINCT role FROM users WHERE status = 'active' AND email LIKE '%.example'"
    )
    assert {role for (role,) in active} == set(Role)
    assert (
        loaded.rows("SELECT client_id FROM subscriptions EXCEPT SELECT client_id FROM users") == []
    )
    assert loaded.rows("SELECT vendor_id FROM products EXCEPT SELECT vendor_id FROM users") == []
