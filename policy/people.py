"""Who acts and whom an incident concerns, as far as a rule needs to know: ids, never names."""

from typing import NamedTuple

from policy.vocabulary import Role, UserStatus


class User(NamedTuple):
    """A user of the directory, with the client and the vendor they are linked to, if any."""

    user_id: str
    role: Role
    status: UserStatus
    client_id: str | None
    vendor_id: str | None


class Scope(NamedTuple):
    """Whom an incident concerns: its client, and the vendor of its component's product, if any."""

    client_id: str
    vendor_id: str | None
