"""Vendors' reports for the tests: a mapping with three kinds of rows, and files it fits."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

MAPPING = """
key = ["Ticket", "Step"]

[kind]
column = "Type"
values = {Fault = "report", Update = "update", Mail = "mail"}
ignore = ["Comment"]

[values.levels]
1 = "critical"
2 = "high"
3 = "medium"

[requests.report]
procedure = "report_incident"
time = {column = "When", format = "%d.%m.%Y %H:%M", zone = "Europe/Berlin"}
[requests.report.inputs]
title = "Summary"
category = {value = "vendor_report"}
impact_level = {column = "Level", values = "levels", default = "low"}
urgency_level = {column = "Level", values = "levels", default = "low"}
client_id = "Customer"
component_id = {column = "Part", values = {GW = "gateway", DB = "database"}}
reporter_user_id = {column = "By", default = "manager"}
detection_timestamp = {column = "When", format = "%d.%m.%Y %H:%M", zone = "Europe/Berlin"}
severity_flags.p1_outage_no_workaround = {column = "Outage", values = {x = true}, default = false}

[requests.update]
procedure = "update_incident"
time = {column = "When", format = "%d.%m.%Y %H:%M", zone = "Europe/Berlin"}
[requests.update.inputs]
incident_request = {key = ["Ticket", {value = "0"}]}
updated_by_user = {value = "support"}
change_set.status = {column = "State", values = {Working = "investigating", Fixed = "resolved"}}
note = "Summary"

[requests.mail]
procedure = "record_communication"
time = {column = "When", format = "%d.%m.%Y %H:%M", zone = "Europe/Berlin"}
[requests.mail.inputs]
incident_request = {key = ["Ticket", {value = "0"}]}
sender_id = {value = "support"}
recipient_type = {value = "client_contacts"}
communication_type = {value = "vendor_mail"}
delivery_method = {value = "email"}
delivery_status = {value = "sent"}
sent_at = {column = "When", format = "%d.%m.%Y %H:%M", zone = "Europe/Berlin"}
"""

COLUMNS = (
    "Type", "Ticket", "Step", "When", "Summary", "Level", "Customer", "Part", "By", "Outage",
    "State",
)  # fmt: skip


def fault(ticket: str, **changes: str) -> dict[str, str]:
    """A row that reports an incident."""
    return {
        "Type": "Fault",
        "Ticket": ticket,
        "Step": "0",
        "When": "25.09.2025 14:00",
        "Summary": f"Gateway down, {ticket}",
        "Level": "1",
        "Customer": "acme",
        "Part": "GW",
        "Outage": "x",
        **changes,
    }


def change(ticket: str, step: int, **changes: str) -> dict[str, str]:
    """A row that updates the incident of a ticket."""
    return {
        "Type": "Update",
        "Ticket": ticket,
        "Step": str(step),
        "When": "25.09.2025 14:30",
        "Summary": "A technician is on the way.",
        "State": "Working",
        **changes,
    }


def mail(ticket: str, step: int, **changes: str) -> dict[str, str]:
    """A row that says that the client was written to."""
    return {
        "Type": "Mail",
        "Ticket": ticket,
        "Step": str(step),
        "When": "25.09.2025 15:00",
        "Summary": "We are sorry.",
        **changes,
    }


def write_csv(path: Path, rows: Iterable[Mapping[str, str]], *, columns: Any = COLUMNS) -> Path:
    """A vendor's CSV file."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_mapping(directory: Path, text: str = MAPPING) -> Path:
    """A mapping file."""
    path = directory / "mapping.toml"
    path.write_text(text)
    return path
