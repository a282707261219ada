"""A small organisation: two clients, two vendors, and a user of every role."""

from sqlalchemy import Connection, insert

from models import tables

CLIENTS = ("acme", "globex")
VENDORS = ("netco", "dataco")
COMPONENTS = {"gateway": "netco", "database": "dataco", "inhouse": None}
"""Component ids, with the vendor that supports their product."""

USERS: dict[str, tuple[str, str | None, str | None, str]] = {
    "manager": ("incident_manager", None, None, "active"),
    "support": ("technical_support", None, None, "active"),
    "admin": ("system_administrator", None, None, "active"),
    "account": ("account_manager", None, None, "active"),
    "boss": ("executive", None, None, "active"),
    "netco-contact": ("vendor_contact", None, "netco", "active"),
    "dataco-contact": ("vendor_contact", None, "dataco", "active"),
    "acme-contact": ("client_contact", "acme", None, "active"),
    "globex-contact": ("client_contact", "globex", None, "active"),
    "acme-manager": ("incident_manager", "acme", None, "active"),
    "leaver": ("incident_manager", None, None, "inactive"),
    "holiday": ("technical_support", None, None, "on_leave"),
}
"""User id to role, client, vendor and status."""


def insert_organisation(connection: Connection) -> None:
    """Put the organisation into an empty directory."""
    connection.execute(
        insert(tables.clients),
        [{"client_id": name, "name": name.title(), "status": "active"} for name in CLIENTS],
    )
    connection.execute(
        insert(tables.vendors),
        [{"vendor_id": name, "name": name.title(), "status": "active"} for name in VENDORS],
    )
    connection.execute(
        insert(tables.products),
        [
            {"product_id": f"{name}-product", "name": f"{name} product", "vendor_id": vendor}
            for name, vendor in COMPONENTS.items()
        ],
    )
    connection.execute(
        insert(tables.components),
        [
            {"component_id": name, "name": f"{name} component", "product_id": f"{name}-product"}
            for name in COMPONENTS
        ],
    )
    connection.execute(
        insert(tables.users),
        [
            {
                "user_id": name,
                "first_name": "Firstname",
                "last_name": f"Lastname {name}",
                "email": f"{name}@example.org",
                "role": role,
                "client_id": client,
                "vendor_id": vendor,
                "status": status,
            }
            for name, (role, client, vendor, status) in USERS.items()
        ],
    )
