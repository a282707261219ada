"""Directory files for tests: one sound row of each table, with changes."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

SOUND: Mapping[str, Mapping[str, str]] = {
    "clients": {
        "client_id": "c1",
        "name": "Initech",
        "registration_number": "R-1",
        "contact_email": "office@initech.example",
        "client_type": "enterprise",
        "industry": "Software",
        "country": "Norway",
        "status": "active",
    },
    "vendors": {
        "vendor_id": "v1",
        "name": "Netzwerk AG",
        "vendor_type": "network",
        "contact_email": "help@netzwerk.example",
        "status": "active",
    },
    "users": {
        "user_id": "u1",
        "first_name": "Ada",
        "last_name": "Byron",
        "email": "ada@initech.example",
        "role": "client_contact",
        "client_id": "c1",
        "vendor_id": "",
        "timezone": "UTC",
        "status": "active",
    },
    "products": {
        "product_id": "p1",
        "name": "Switch",
        "product_type": "network",
        "version": "1.0",
        "vendor_id": "v1",
        "status": "active",
    },
    "components": {
        "component_id": "k1",
        "name": "Core switch",
        "component_type": "switch",
        "product_id": "p1",
        "environment": "production",
        "location": "Oslo",
        "status": "active",
    },
    "subscriptions": {
        "subscription_id": "s1",
        "client_id": "c1",
        "product_id": "p1",
        "subscription_type": "full",
        "sla_tier": "premium",
        "start_date": "2025-01-01",
        "end_date": "2026-01-01",
        "status": "active",
    },
}


def row(table: str, **changes: str) -> dict[str, str]:
    """A sound row of *table*, with *changes*."""
    return {**SOUND[table], **changes}


def csv_text(rows: Iterable[Mapping[str, str]]) -> str:
    """Rows as CSV, under a header of the first one's columns."""
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_sheet(folder: Path, table: str, *rows: Mapping[str, str]) -> Path:
    """Write ``folder/table.csv``; the sound row, when no others are given."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{table}.csv"
    path.write_text(csv_text(rows or [SOUND[table]]), newline="")
    return path


def write_all(folder: Path) -> Path:
    """Write all six files, with one sound row each; the folder."""
    for table in SOUND:
        write_sheet(folder, table)
    return folder
