"""Directory rows as the facts of a decision: users, clients and components."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection

from models.sql import as_json, fetch, fetch_column, in_json
from policy.people import User
from policy.vocabulary import Role, UserStatus


class Component(NamedTuple):
    """A component, with the vendor that supports its product."""

    component_id: str
    vendor_id: str | None


_USERS = f"""
    SELECT user_id, role, status, client_id, vendor_id
    FROM {in_json("user_id")} JOIN users USING (user_id)
"""
_CLIENTS = f"SELECT client_id FROM {in_json('client_id')} JOIN clients USING (client_id)"
_COMPONENTS = f"""
    SELECT component_id, vendor_id
    FROM {in_json("component_id")} JOIN components USING (component_id)
    LEFT JOIN products USING (product_id)
"""
_ROLES = {str(role): role for role in Role}
_STATUSES = {str(status): status for status in UserStatus}
"""Much faster than to call the enumerations."""


def read_users(connection: Connection, ids: Collection[str]) -> dict[str, User]:
    """Those of *ids* that are users, as they are now."""
    if not ids:
        return {}
    found = fetch(connection, _USERS, {"user_id": as_json(list(ids))})
    return {
        user_id: User(user_id, _ROLES[role], _STATUSES[status], client_id, vendor_id)
        for user_id, role, status, client_id, vendor_id in found
    }


def read_clients(connection: Connection, ids: Collection[str]) -> frozenset[str]:
    """Those of *ids* that are clients."""
    if not ids:
        return frozenset()
    return frozenset(fetch_column(connection, _CLIENTS, {"client_id": as_json(list(ids))}))


def read_components(connection: Connection, ids: Collection[str]) -> dict[str, Component]:
    """Those of *ids* that are components."""
    if not ids:
        return {}
    found = fetch(connection, _COMPONENTS, {"component_id": as_json(list(ids))})
    return {component_id: Component(component_id, vendor) for component_id, vendor in found}
