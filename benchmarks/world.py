"""The organisation that the benchmarks run in: a directory of 100,000 users, and older incidents.

Whatever a row says follows from its number, so that the mix (``benchmarks.mix``) can name users,
components and incidents that fit each other without asking the database.
"""

from collections.abc import Iterable, Sequence

import psycopg
from sqlalchemy import Engine

from models.tables import AUDIT_CHAINS

CLIENTS, VENDORS, PRODUCTS, USERS, COMPONENTS = 1_000, 50, 200, 100_000, 100_000
OLDER_INCIDENTS = 100_000
"""Incidents that are there already, numbered from 1; updates are spread over them."""

_ROLES = (
    *["technical_support"] * 40,
    *["incident_manager"] * 20,
    *["executive"] * 5,
    *["account_manager"] * 5,
    *["vendor_contact"] * 10,
    *["client_contact"] * 20,
)
"""The role of a user by the last two digits of the number."""
TECHNICAL, MANAGERS, EXECUTIVES, VENDOR_CONTACTS = (
    range(1, 40),
    range(40, 60),
    range(60, 65),
    range(70, 80),
)
"""Last two digits of active users; those that end in 00 are inactive."""
INACTIVE = range(1)


def client_of(number: int) -> int:
    """The client of a user who is a client contact, or of an incident, by its number."""
    return number % CLIENTS + 1


def component_of(incident: int) -> int:
    """The component of an older incident."""
    return incident % COMPONENTS + 1


def vendor_of_component(number: int) -> int:
    """Who supports the product of a component."""
    return _vendor(_product(number))


def _product(component: int) -> int:
    return component % PRODUCTS + 1


def _vendor(number: int) -> int:
    return number % VENDORS + 1


def _user(number: int) -> tuple[object, ...]:
    role = _ROLES[number % 100]
    return (
        str(number),
        f"Given {number}",
        f"Family {number}",
        f"user{number}@example.com",
        role,
        str(client_of(number)) if role == "client_contact" else None,
        str(_vendor(number)) if role == "vendor_contact" else None,
        "inactive" if number % 100 in INACTIVE else "active",
    )


def vendor_of_contact(number: int) -> int:
    """The vendor of a user who is a vendor contact."""
    return _vendor(number)


_INCIDENTS = """
    INSERT INTO incidents (
        incident_id, title, category, severity, severity_origin, stated_severity, severity_flags,
        impact_level, urgency_level, status, client_id, component_id, reporter_user_id,
        detection_timestamp, source, request_id, stamps, version, reported_at, updated_at)
    OVERRIDING SYSTEM VALUE
    SELECT n, 'Checkout answers slowly in region ' || n, 'performance', 'P3', 'computed', NULL,
           ARRAY['p3_localized_or_non_critical'], 'medium', 'medium', 'open',
           (n %% %(clients)s + 1)::text, (n %% %(components)s + 1)::text, '1',
           at, 'older', 'older-' || n, '{}', 1, at, at
    FROM (SELECT n, now() - interval '1 year' * random() AS at
          FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n) AS numbers
"""
_LEDGER = """
    INSERT INTO requests (source, request_id, body_hash, procedure, halted, body, entry,
                          event_time, received_at, decided_at)
    SELECT 'older', 'older-' || incident_id, sha256(request_id::bytea), 'report_incident', false,
           json_build_object('incident_id', incident_id::text, 'severity', severity,
                             'status', status),
           'andon:intake/' || incident_id || '-0', reported_at, reported_at, reported_at
    FROM incidents WHERE incident_id BETWEEN %(first)s AND %(last)s
"""
# In chains that the audit does not have: it has no heads for them, and continues its own. A check
# keeps them out elsewhere.
_LET_IN = "ALTER TABLE audit_records DROP CONSTRAINT IF EXISTS audit_records_chain_check"
_AUDIT = """
    INSERT INTO audit_records (chain, sequence, at, action, procedure, source, request_id, entry,
                               actor, subject, outcome, context, key_id, mac)
    SELECT %(no_chain)s + n %% 64, n, now(), 'create', 'report_incident', 'older', 'older-' || n,
           'andon:intake/' || n || '-0', '1', 'incident:' || n, 'done',
           '{"severity": "P3", "severity_origin": "computed", "stated_severity": null}', 'older',
           sha256(n::text::bytea)
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""
_AT_ONCE = 500_000


def load_world(engine: Engine) -> None:
    """The directory, and the older incidents with their ledger rows, into an empty database.

    *engine* connects as the owner.
    """
    rows: Sequence[tuple[str, Sequence[str], Iterable[tuple[object, ...]]]] = (
        ("clients", ("client_id", "name", "status"), _named("Client", CLIENTS, "active")),
        ("vendors", ("vendor_id", "name", "status"), _named("Vendor", VENDORS, "active")),
        (
            "products",
            ("product_id", "name", "vendor_id"),
            ((str(n), f"Product {n}", str(_vendor(n))) for n in range(1, PRODUCTS + 1)),
        ),
        (
            "components",
            ("component_id", "name", "product_id", "environment"),
            (
                (str(n), f"Component {n}", str(_product(n)), "production")
                for n in range(1, COMPONENTS + 1)
            ),
        ),
        (
            "users",
            (
                "user_id",
                "first_name",
                "last_name",
                "email",
                "role",
                "client_id",
                "vendor_id",
                "status",
            ),
            map(_user, range(1, USERS + 1)),
        ),
    )
    with engine.begin() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        for table, columns, values in rows:
            with driver.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                for row in values:
                    copy.write_row(row)
    add_incidents(engine, 1, OLDER_INCIDENTS)
    settle(engine)


def _named(kind: str, count: int, status: str) -> Iterable[tuple[object, ...]]:
    return ((str(n), f"{kind} {n}", status) for n in range(1, count + 1))


def add_incidents(engine: Engine, first: int, last: int) -> None:
    """Incidents numbered *first* to *last*, reported over a year, with their ledger rows.

    New ones are numbered after them. Audit records come with them, as many.
    """
    for begin in range(first, last + 1, _AT_ONCE):
        numbers = {
            "first": begin,
            "last": min(last, begin + _AT_ONCE - 1),
            "clients": CLIENTS,
            "components": COMPONENTS,
            "no_chain": AUDIT_CHAINS,
        }
        with engine.begin() as connection:
            for statement in (_INCIDENTS, _LEDGER, _LET_IN, _AUDIT):
                connection.exec_driver_sql(statement, numbers)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "SELECT setval('incidents_incident_id_seq', %(last)s)", {"last": last}
        )


def settle(engine: Engine) -> None:
    """Leave nothing behind that the server would do meanwhile: statistics, visibility, pages."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
