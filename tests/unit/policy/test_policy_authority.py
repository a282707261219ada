"""Who may do what, on whose incidents, written out as tables."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.authority import associate, authorize, check_assignee, check_recipient, foreign_to
from policy.halts import Halt, InputError, Reason
from policy.people import Scope, User
from policy.procedures import PROCEDURES, REPORT_INCIDENT, SUBMIT_ESCALATION, UPDATE_INCIDENT
from policy.vocabulary import Role, UserStatus

PROCEDURE_OF_COLUMN = (
    "report_incident",
    "update_incident",
    "submit_escalation",
    "record_communication",
)

MAY_RUN = {
    "incident_manager": "yes yes yes yes",
    "technical_support": "yes yes yes yes",
    "account_manager": "no no yes no",
    "executive": "yes yes yes no",
    "vendor_contact": "yes no no no",
    "system_administrator": "yes no no no",
    "client_contact": "no no no no",
}

ROLE_CASES = [
    (role, procedure, answer == "yes")
    for role, answers in MAY_RUN.items()
    for procedure, answer in zip(PROCEDURE_OF_COLUMN, answers.split(), strict=True)
]

ACTOR_INPUT = {
    "report_incident": "reporter_user_id",
    "update_incident": "updated_by_user",
    "submit_escalation": "escalated_by_user",
    "record_communication": "sender_id",
}

SCOPE = Scope(client_id="acme", vendor_id="globex")

users = st.builds(
    User,
    user_id=st.just("user-17"),
    role=st.sampled_from(Role),
    status=st.sampled_from(UserStatus),
    client_id=st.sampled_from([None, "acme", "initech"]),
    vendor_id=st.sampled_from([None, "globex", "hooli"]),
)
scopes = st.builds(
    Scope,
    client_id=st.sampled_from(["acme", "initech"]),
    vendor_id=st.sampled_from([None, "globex", "hooli"]),
)


def user(
    role: str = "technical_support",
    *,
    status: str = "active",
    client: str | None = None,
    vendor: str | None = None,
) -> User:
    """Make a user: active staff without a link, unless told otherwise."""
    return User("user-17", Role(role), UserStatus(status), client, vendor)


def blaming(reason: Reason, field: str, message: str) -> Halt:
    """Make the halt that blames one input with its own message."""
    return Halt(reason, message, (InputError(f"$.data.{field}", message),))


def test_the_role_table_is_complete() -> None:
    """The table below answers for every role and every procedure."""
    assert {(role, procedure) for role, procedure, _ in ROLE_CASES} == set(
        product([role.value for role in Role], PROCEDURES)
    )


@pytest.mark.parametrize(("role", "procedure", "may"), ROLE_CASES)
def test_a_role_may_run_what_the_sop_lists_it_for(role: str, procedure: str, may: bool) -> None:
    """The SOP's own list of roles is what counts, for an active user."""
    halt = authorize(PROCEDURES[procedure], user(role))
    field = ACTOR_INPUT[procedure]
    message = f"The user named as {field} has the role {role}, which may not run {procedure}."
    assert halt == (None if may else blaming(Reason.NOT_AUTHORIZED, field, message))


@pytest.mark.parametrize("status", ["inactive", "on_leave"])
@pytest.mark.parametrize("role", MAY_RUN)
@pytest.mark.parametrize(
    ("procedure", "reason"),
    [
        ("report_incident", Reason.USER_INACTIVE),
        ("update_incident", Reason.USER_INACTIVE),
        ("submit_escalation", Reason.USER_INACTIVE),
        ("record_communication", Reason.SENDER_INVALID),
    ],
)
def test_nobody_acts_who_is_not_active(
    procedure: str, reason: Reason, role: str, status: str
) -> None:
    """Inactive and on leave are not active, whatever the role; that comes before the role."""
    field = ACTOR_INPUT[procedure]
    message = f"The user named as {field} is {status}, not active."
    halt = authorize(PROCEDURES[procedure], user(role, status=status), clients_may_report=True)
    assert halt == blaming(reason, field, message)


@pytest.mark.parametrize(
    ("procedure", "reason"),
    [
        ("report_incident", Reason.USER_NOT_FOUND),
        ("update_incident", Reason.USER_NOT_FOUND),
        ("submit_escalation", Reason.USER_NOT_FOUND),
        ("record_communication", Reason.SENDER_INVALID),
    ],
)
def test_nobody_acts_who_does_not_exist(procedure: str, reason: Reason) -> None:
    """An unknown actor halts, as the policy names it for the procedure."""
    field = ACTOR_INPUT[procedure]
    message = f"The user named as {field} does not exist."
    assert authorize(PROCEDURES[procedure], None) == blaming(reason, field, message)


def test_client_contacts_report_where_the_setting_lets_them() -> None:
    """The setting is off by default; on, it lets an active client contact report."""
    contact = user("client_contact", client="acme")
    assert authorize(REPORT_INCIDENT, contact) is not None
    assert authorize(REPORT_INCIDENT, contact, clients_may_report=True) is None


@pytest.mark.parametrize(
    "procedure", ["update_incident", "submit_escalation", "record_communication"]
)
def test_the_setting_opens_no_other_procedure_to_client_contacts(procedure: str) -> None:
    """Letting client contacts report lets them do nothing else."""
    halt = authorize(PROCEDURES[procedure], user("client_contact"), clients_may_report=True)
    assert halt is not None
    assert halt.reason is Reason.NOT_AUTHORIZED


def test_the_setting_opens_reporting_to_no_other_role() -> None:
    """Account managers may not report, with the setting or without."""
    halt = authorize(REPORT_INCIDENT, user("account_manager"), clients_may_report=True)
    assert halt is not None
    assert halt.reason is Reason.NOT_AUTHORIZED


STAFF = [
    "incident_manager",
    "technical_support",
    "account_manager",
    "executive",
    "system_administrator",
]
OK, CLIENT, VENDOR = None, Reason.CLIENT_ASSOCIATION, Reason.VENDOR_ASSOCIATION

# The user's client and vendor; then what holds for staff, a vendor contact and a client contact
# where the incident concerns acme and its component's product is supported by globex, and where it
# is supported by nobody.
ASSOCIATION = [
    # client, vendor,        supported by globex,    supported by nobody
    (None, None, ((OK, VENDOR, CLIENT), (OK, VENDOR, CLIENT))),
    (None, "globex", ((OK, OK, CLIENT), (VENDOR, VENDOR, CLIENT))),
    (None, "hooli", ((VENDOR, VENDOR, CLIENT), (VENDOR, VENDOR, CLIENT))),
    ("acme", None, ((OK, VENDOR, OK), (OK, VENDOR, OK))),
    ("acme", "globex", ((OK, OK, OK), (VENDOR, VENDOR, VENDOR))),
    ("acme", "hooli", ((VENDOR, VENDOR, VENDOR), (VENDOR, VENDOR, VENDOR))),
    ("initech", None, ((CLIENT, CLIENT, CLIENT), (CLIENT, CLIENT, CLIENT))),
    ("initech", "globex", ((CLIENT, CLIENT, CLIENT), (CLIENT, CLIENT, CLIENT))),
    ("initech", "hooli", ((CLIENT, CLIENT, CLIENT), (CLIENT, CLIENT, CLIENT))),
]

ASSOCIATION_CASES = [
    (role, client, vendor, supporter, expected)
    for client, vendor, answers in ASSOCIATION
    for supporter, (staff, vendor_contact, client_contact) in zip(
        ("globex", None), answers, strict=True
    )
    for roles, expected in (
        (STAFF, staff),
        (["vendor_contact"], vendor_contact),
        (["client_contact"], client_contact),
    )
    for role in roles
]


@pytest.mark.parametrize(("role", "client", "vendor", "supporter", "expected"), ASSOCIATION_CASES)
def test_a_link_binds_a_user_to_their_client_and_vendor(
    role: str,
    client: str | None,
    vendor: str | None,
    supporter: str | None,
    expected: Reason | None,
) -> None:
    """A linked user acts only for their client and where their vendor supports the product.

    Contacts without the link of their kind act for none, staff without a link for all, and the
    client counts before the vendor.
    """
    halt = associate(user(role, client=client, vendor=vendor), Scope("acme", supporter))
    assert (halt.reason if halt else None) == expected


def test_a_missing_association_is_said_in_words() -> None:
    """The message says which link is missing, and names nobody."""
    assert associate(user(client="initech"), SCOPE) == Halt(
        Reason.CLIENT_ASSOCIATION, "The user is not linked to the client that this concerns."
    )
    assert associate(user(vendor="hooli"), SCOPE) == Halt(
        Reason.VENDOR_ASSOCIATION,
        "The user is not linked to the vendor that supports the component's product.",
    )


def test_nobody_is_associated_with_anything() -> None:
    """A user that does not exist is associated with no incident."""
    assert associate(None, SCOPE) == Halt(Reason.USER_NOT_FOUND, "The user does not exist.")


@given(user=users, scope=scopes)
def test_association_does_not_ask_for_status(user: User, scope: Scope) -> None:
    """Whether a user is active is the business of `authorize`, not of the association."""
    active = User(user.user_id, user.role, UserStatus.ACTIVE, user.client_id, user.vendor_id)
    assert associate(user, scope) == associate(active, scope)


def test_checks_chain_with_or() -> None:
    """The first check that halts is the halt of the chain."""
    outsider = user("account_manager", client="initech")
    chained = authorize(UPDATE_INCIDENT, outsider) or associate(outsider, SCOPE)
    assert chained is not None
    assert chained.reason is Reason.NOT_AUTHORIZED
    chained = authorize(SUBMIT_ESCALATION, outsider) or associate(outsider, SCOPE)
    assert chained is not None
    assert chained.reason is Reason.CLIENT_ASSOCIATION


def test_an_assignee_must_exist() -> None:
    """An incident is assigned to somebody in the directory."""
    assert check_assignee(None, SCOPE) == blaming(
        Reason.ASSIGNEE_INVALID,
        "assigned_to_user_id",
        "The user named as assigned_to_user_id does not exist.",
    )


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("status", ["inactive", "on_leave"])
def test_an_assignee_must_be_active(role: str, status: str) -> None:
    """Nobody is assigned an incident while inactive or on leave, whatever the role."""
    assert check_assignee(user(role, status=status, client="acme"), SCOPE) == blaming(
        Reason.ASSIGNEE_INVALID,
        "assigned_to_user_id",
        f"The user named as assigned_to_user_id is {status}, not active.",
    )


OUTSIDERS = [("client_contact", "initech"), ("client_contact", None)]
INSIDERS = [
    ("client_contact", "acme"),
    ("incident_manager", None),
    ("technical_support", None),
    ("account_manager", None),
    ("executive", None),
    ("system_administrator", None),
    ("technical_support", "acme"),
    ("technical_support", "initech"),
]


@pytest.mark.parametrize(("role", "client"), OUTSIDERS)
def test_another_clients_contact_is_assigned_nothing(role: str, client: str | None) -> None:
    """A client contact named as assignee must belong to the incident's client."""
    assert check_assignee(user(role, client=client), SCOPE) == blaming(
        Reason.ASSIGNEE_INVALID,
        "assigned_to_user_id",
        "The user named as assigned_to_user_id is a client_contact who is not linked to the "
        "incident's client.",
    )


@pytest.mark.parametrize(("role", "client"), INSIDERS)
def test_anybody_else_who_is_active_may_be_assigned(role: str, client: str | None) -> None:
    """Only client contacts must belong to the client, and vendors' users to the vendor."""
    assert check_assignee(user(role, client=client), SCOPE) is None


def test_an_assignee_is_blamed_where_the_request_names_them() -> None:
    """An update names the assignee in its change set, and the error's path says so."""
    assert check_assignee(None, SCOPE, field="change_set.assigned_to_user_id") == blaming(
        Reason.ASSIGNEE_INVALID,
        "change_set.assigned_to_user_id",
        "The user named as change_set.assigned_to_user_id does not exist.",
    )


def test_a_recipient_must_exist() -> None:
    """A communication goes to somebody in the directory."""
    assert check_recipient(None, SCOPE) == blaming(
        Reason.RECIPIENT_INVALID, "recipient_id", "The user named as recipient_id does not exist."
    )


@pytest.mark.parametrize("status", list(UserStatus))
@pytest.mark.parametrize(("role", "client"), OUTSIDERS)
def test_nothing_leaks_to_another_clients_contact(
    role: str, client: str | None, status: str
) -> None:
    """A client contact named as recipient must belong to the incident's client."""
    assert check_recipient(user(role, status=status, client=client), SCOPE) == blaming(
        Reason.RECIPIENT_INVALID,
        "recipient_id",
        "The user named as recipient_id is a client_contact who is not linked to the incident's "
        "client.",
    )


@pytest.mark.parametrize("status", list(UserStatus))
@pytest.mark.parametrize(("role", "client"), INSIDERS)
def test_anybody_else_may_be_a_recipient(role: str, client: str | None, status: str) -> None:
    """The policy asks that a recipient exists, not that they are active."""
    assert check_recipient(user(role, status=status, client=client), SCOPE) is None


FOREIGN = "belongs to a vendor that does not support the component's product"

# The user's vendor; then whether they may be named where the component's product is supported by
# globex, and where it is supported by nobody: staff and client contacts, then a vendor contact.
MAY_BE_NAMED = {
    None: ((True, True), (False, False)),
    "globex": ((True, False), (True, False)),
    "hooli": ((False, False), (False, False)),
}

NAMED_CASES = [
    (role, vendor, supporter, may)
    for vendor, (others, contacts) in MAY_BE_NAMED.items()
    for role in Role
    for supporter, may in zip(
        ("globex", None), contacts if role == "vendor_contact" else others, strict=True
    )
]


@pytest.mark.parametrize(("role", "vendor", "supporter", "may"), NAMED_CASES)
def test_a_vendors_user_is_named_only_where_the_vendor_supports_the_product(
    role: str, vendor: str | None, supporter: str | None, may: bool
) -> None:
    """As assignee and as recipient; whoever has a vendor is bound like a vendor contact."""
    named, scope = user(role, client="acme", vendor=vendor), Scope("acme", supporter)
    for check, reason, field in (
        (check_assignee, Reason.ASSIGNEE_INVALID, "assigned_to_user_id"),
        (check_recipient, Reason.RECIPIENT_INVALID, "recipient_id"),
    ):
        message = f"The user named as {field} {FOREIGN}."
        assert check(named, scope) == (None if may else blaming(reason, field, message))
    assert foreign_to(named, scope) == (None if may else FOREIGN)


def test_of_two_faults_that_of_the_client_is_named() -> None:
    """The client counts before the vendor, as for an actor."""
    named = user("client_contact", client="initech", vendor="hooli")
    assert foreign_to(named, SCOPE) == (
        "is a client_contact who is not linked to the incident's client"
    )


@given(user=st.none() | users, scope=scopes, clients_may_report=st.booleans())
def test_a_halt_for_authority_names_nobody(
    user: User | None, scope: Scope, clients_may_report: bool
) -> None:
    """Messages hold fields and words of the vocabulary, never a user, client or vendor id."""
    halts = [
        associate(user, scope),
        check_assignee(user, scope),
        check_recipient(user, scope),
        *(
            authorize(procedure, user, clients_may_report=clients_may_report)
            for procedure in PROCEDURES.values()
        ),
    ]
    for halt in filter(None, halts):
        for secret in ("user-17", "acme", "initech", "globex", "hooli"):
            assert secret not in repr(halt)
