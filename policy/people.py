"""Who acts and whom an incident concerns, as far as a rule needs to know: ids, never names."""

from dataclasses import dataclass

from policy.vocabulary import Role, UserStatus


@dataclass(frozen=True, slots=True)
class User:
    """A user of the directory, with the client and the vendor they are linked to, if any."""

    user_id: str
    role: Role
    status: UserStatus
    client_id: str | None
    vendor_id: str | None


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom an incident concerns: its client, and the vendor of its component's product, if any."""

    client_id: str
    vendor_id: str | None
