"""The initial schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("runners", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("entry", name=op.f("attempts_pkey")),
    )
    op.create_table(
        "registry_in_force",
        sa.Column("is_one", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sources", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("is_one", name=op.f("registry_in_force_is_one_check")),
        sa.PrimaryKeyConstraint("is_one", name=op.f("registry_in_force_pkey")),
    )
    op.create_table(
        "in_hand",
        sa.Column("runner", sa.Text(), nullable=False),
        sa.Column("marks", sa.LargeBinary(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("runner", name=op.f("in_hand_pkey")),
        prefixes=["UNLOGGED"],
    )
    # The marks of a whole batch stay in the row, which is written with every batch.
    op.execute("ALTER TABLE in_hand SET (toast_tuple_target = 8160, fillfactor = 10)")
    op.create_table(
        "signs_of_life",
        sa.Column("runner", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("braked_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("runner", name=op.f("signs_of_life_pkey")),
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "settlements",
        sa.Column("settlement_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("settlement_id", name=op.f("settlements_pkey")),
    )
    op.create_table(
        "audit_anchors",
        sa.Column("chain", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("anchor_mac", sa.LargeBinary(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("halted", sa.BigInteger(), nullable=False),
        sa.Column("duplicates", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain", name=op.f("audit_anchors_pkey")),
    )
    op.create_table(
        "audit_chains",
        sa.Column("chain", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("head_mac", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("chain >= 0 AND chain < 64", name=op.f("audit_chains_chain_check")),
        sa.CheckConstraint("sequence >= 0", name=op.f("audit_chains_sequence_check")),
        sa.CheckConstraint(
            "octet_length(mac) = 32 AND octet_length(head_mac) = 32",
            name=op.f("audit_chains_mac_check"),
        ),
        sa.PrimaryKeyConstraint("chain", name=op.f("audit_chains_pkey")),
    )
    op.create_table(
        "audit_records",
        sa.Column("chain", sa.SmallInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("procedure", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("entry", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("context", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("witness", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("chain >= 0 AND chain < 64", name=op.f("audit_records_chain_check")),
        sa.CheckConstraint("sequence > 0", name=op.f("audit_records_sequence_check")),
        sa.CheckConstraint(
            "action IN ('create', 'update', 'approve', 'reject', 'delete', 'execute')",
            name=op.f("audit_records_action_check"),
        ),
        sa.PrimaryKeyConstraint("chain", "sequence", "at", name=op.f("audit_records_pkey")),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_index(op.f("audit_records_at_idx"), "audit_records", ["at"], unique=False)
    op.create_index(
        op.f("audit_records_source_at_idx"), "audit_records", ["source", "at"], unique=False
    )
    op.create_index(
        op.f("audit_records_subject_at_idx"), "audit_records", ["subject", "at"], unique=False
    )
    op.create_index(
        op.f("audit_records_outcome_at_idx"),
        "audit_records",
        ["outcome", "at"],
        unique=False,
        postgresql_where=sa.text("outcome <> 'done'"),
    )
    op.create_table(
        "retentions",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("forgotten_before", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('identities')", name=op.f("retentions_kind_check")),
        sa.PrimaryKeyConstraint("kind", name=op.f("retentions_pkey")),
    )
    op.create_table(
        "duplicates",
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("entry", name=op.f("duplicates_pkey")),
    )
    op.create_index(op.f("duplicates_at_idx"), "duplicates", ["at"], unique=False)
    op.create_table(
        "clients",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("registration_number", sa.Text(), nullable=True),
        sa.Column("contact_email", sa.Text(), nullable=True),
        sa.Column("client_type", sa.Text(), nullable=True),
        sa.Column("industry", sa.Text(), nullable=True),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "status IN ('active', 'inactive', 'suspended')", name=op.f("clients_status_check")
        ),
        sa.PrimaryKeyConstraint("client_id", name=op.f("clients_pkey")),
        sa.UniqueConstraint("contact_email", name=op.f("clients_contact_email_key")),
        sa.UniqueConstraint("registration_number", name=op.f("clients_registration_number_key")),
    )
    op.create_table(
        "communications",
        sa.Column("communication_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=False),
        sa.Column("sender_id", sa.Text(), nullable=False),
        sa.Column("recipient_id", sa.Text(), nullable=True),
        sa.Column("recipient_type", sa.Text(), nullable=True),
        sa.Column("communication_type", sa.Text(), nullable=False),
        sa.Column("delivery_method", sa.Text(), nullable=False),
        sa.Column("delivery_status", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("stamps", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "delivery_method IN ('email', 'sms', 'phone', 'chat', 'dashboard_notification')",
            name=op.f("communications_delivery_method_check"),
        ),
        sa.CheckConstraint(
            "delivery_status IN ('pending', 'sent', 'delivered', 'failed')",
            name=op.f("communications_delivery_status_check"),
        ),
        sa.CheckConstraint(
            "recipient_type IN ('client_contacts', 'executive_team', 'technical_team', 'all_stakeholders')",
            name=op.f("communications_recipient_type_check"),
        ),
        sa.CheckConstraint(
            "recipient_id IS NOT NULL OR recipient_type IS NOT NULL",
            name=op.f("communications_recipient_check"),
        ),
        sa.PrimaryKeyConstraint("communication_id", name=op.f("communications_pkey")),
    )
    op.create_index(
        op.f("communications_incident_id_idx"), "communications", ["incident_id"], unique=False
    )
    op.create_table(
        "dedup_keys",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("dedup_key", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=True),
        sa.Column("early_update", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("early_update_time", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("source", "dedup_key", name=op.f("dedup_keys_pkey")),
    )
    op.create_index(
        op.f("dedup_keys_early_update_time_idx"),
        "dedup_keys",
        ["early_update_time"],
        unique=False,
        postgresql_where=sa.text("incident_id IS NULL"),
    )
    op.create_table(
        "escalations",
        sa.Column("escalation_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=False),
        sa.Column("escalated_by_user", sa.Text(), nullable=False),
        sa.Column("escalated_to_user", sa.Text(), nullable=False),
        sa.Column("escalation_level", sa.Text(), nullable=False),
        sa.Column("escalated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("stamps", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint(
            "escalation_level IN ('technical', 'management', 'executive', 'vendor')",
            name=op.f("escalations_escalation_level_check"),
        ),
        sa.CheckConstraint(
            "status IN ('active', 'resolved', 'cancelled')", name=op.f("escalations_status_check")
        ),
        sa.PrimaryKeyConstraint("escalation_id", name=op.f("escalations_pkey")),
    )
    op.create_index(
        op.f("escalations_incident_id_idx"), "escalations", ["incident_id"], unique=False
    )
    op.create_table(
        "halts",
        sa.Column("halt_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("halted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("errors", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("procedure", sa.Text(), nullable=True),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column(
            "event",
            sa.LargeBinary(),
            nullable=True,
            comment="the first 64 KiB of a message that is no request",
        ),
        sa.Column("event_bytes", sa.Integer(), nullable=False),
        sa.Column("event_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('open', 'replaying', 'replayed', 'discarded')",
            name=op.f("halts_state_check"),
        ),
        sa.PrimaryKeyConstraint("halt_id", name=op.f("halts_pkey")),
        sa.UniqueConstraint("entry", name=op.f("halts_entry_key")),
    )
    op.create_index(op.f("halts_state_halt_id_idx"), "halts", ["state", "halt_id"], unique=False)
    op.create_index(op.f("halts_reason_halt_id_idx"), "halts", ["reason", "halt_id"], unique=False)
    op.create_index(op.f("halts_source_halt_id_idx"), "halts", ["source", "halt_id"], unique=False)
    op.create_index(
        "halts_settled_at_idx",
        "halts",
        ["settled_at"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NOT NULL AND event IS NOT NULL"),
    )
    op.create_table(
        "incident_updates",
        sa.Column("update_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("old_value", sa.Text(), nullable=True),
        sa.Column("new_value", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("superseded", sa.Boolean(), nullable=False),
        sa.Column("updated_by_user", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("update_id", name=op.f("incident_updates_pkey")),
    )
    op.create_index(
        op.f("incident_updates_incident_id_update_id_idx"),
        "incident_updates",
        ["incident_id", "update_id"],
        unique=False,
    )
    op.create_table(
        "incidents",
        sa.Column("incident_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("severity_origin", sa.Text(), nullable=False),
        sa.Column("stated_severity", sa.Text(), nullable=True),
        sa.Column("severity_flags", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("impact_level", sa.Text(), nullable=False),
        sa.Column("urgency_level", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("component_id", sa.Text(), nullable=False),
        sa.Column("reporter_user_id", sa.Text(), nullable=False),
        sa.Column("assigned_to_user_id", sa.Text(), nullable=True),
        sa.Column("detection_timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolution_timestamp", sa.DateTime(timezone=True), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("dedup_key", sa.Text(), nullable=True),
        sa.Column("recurrence_of", sa.BigInteger(), nullable=True),
        sa.Column("closed_by_source", sa.Text(), nullable=True),
        sa.Column("stamps", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "impact_level IN ('low', 'medium', 'high', 'critical')",
            name=op.f("incidents_impact_level_check"),
        ),
        sa.CheckConstraint(
            "severity IN ('P1', 'P2', 'P3', 'P4')", name=op.f("incidents_severity_check")
        ),
        sa.CheckConstraint(
            "severity_origin IN ('computed', 'stated')",
            name=op.f("incidents_severity_origin_check"),
        ),
        sa.CheckConstraint(
            "stated_severity IN ('P1', 'P2', 'P3', 'P4')",
            name=op.f("incidents_stated_severity_check"),
        ),
        sa.CheckConstraint(
            "status IN ('open', 'investigating', 'in_progress', 'resolved', 'closed')",
            name=op.f("incidents_status_check"),
        ),
        sa.CheckConstraint(
            "urgency_level IN ('low', 'medium', 'high', 'critical')",
            name=op.f("incidents_urgency_level_check"),
        ),
        sa.CheckConstraint(
            "resolution_timestamp >= detection_timestamp", name=op.f("incidents_resolution_check")
        ),
        sa.PrimaryKeyConstraint("incident_id", name=op.f("incidents_pkey")),
    )
    # Room in each page for its incidents' next versions, which then need no new index entries
    # unless their status changes.
    op.execute("ALTER TABLE incidents SET (fillfactor = 90)")
    op.create_index(
        op.f("incidents_client_id_incident_id_idx"),
        "incidents",
        ["client_id", "incident_id"],
        unique=False,
    )
    op.create_index(
        "incidents_unclosed_idx",
        "incidents",
        ["status", "incident_id"],
        unique=False,
        postgresql_where=sa.text("status <> 'closed'"),
    )
    op.create_index(
        op.f("incidents_severity_incident_id_idx"),
        "incidents",
        ["severity", "incident_id"],
        unique=False,
    )
    op.create_table(
        "outbox",
        sa.Column("outbox_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("event", sa.LargeBinary(), nullable=False),
        sa.Column("halted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("outbox_id", name=op.f("outbox_pkey")),
    )
    op.create_table(
        "requests",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("procedure", sa.Text(), nullable=True),
        sa.Column("halted", sa.Boolean(), nullable=False),
        sa.Column(
            "body", sa.JSON(), nullable=False, comment="the result or the halt, word for word"
        ),
        sa.Column("halt_id", sa.BigInteger(), nullable=True),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "request_id", name=op.f("requests_pkey")),
    )
    op.create_index(op.f("requests_decided_at_idx"), "requests", ["decided_at"], unique=False)
    op.create_table(
        "tallies",
        sa.Column("tally_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("halted", sa.BigInteger(), nullable=False),
        sa.Column("duplicates", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("door IN ('intake', 'task')", name=op.f("tallies_door_check")),
        sa.PrimaryKeyConstraint("tally_id", name=op.f("tallies_pkey")),
    )
    op.create_table(
        "vendors",
        sa.Column("vendor_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("vendor_type", sa.Text(), nullable=True),
        sa.Column("contact_email", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "status IN ('active', 'inactive', 'suspended')", name=op.f("vendors_status_check")
        ),
        sa.PrimaryKeyConstraint("vendor_id", name=op.f("vendors_pkey")),
        sa.UniqueConstraint("contact_email", name=op.f("vendors_contact_email_key")),
    )
    op.create_table(
        "waiting",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("event", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("waits_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("report_source", sa.Text(), nullable=False),
        sa.Column("report_id", sa.Text(), nullable=False),
        sa.Column("alone_since", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("source", "request_id", name=op.f("waiting_pkey")),
        sa.UniqueConstraint("entry", name=op.f("waiting_entry_key")),
    )
    op.create_table(
        "products",
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("product_type", sa.Text(), nullable=True),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("vendor_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["vendor_id"], ["vendors.vendor_id"], name=op.f("products_vendor_id_fkey")
        ),
        sa.PrimaryKeyConstraint("product_id", name=op.f("products_pkey")),
    )
    op.create_table(
        "users",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=True),
        sa.Column("vendor_id", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "role IN ('incident_manager', 'technical_support', 'account_manager', 'executive', 'vendor_contact', 'system_administrator', 'client_contact')",
            name=op.f("users_role_check"),
        ),
        sa.CheckConstraint(
            "status IN ('active', 'inactive', 'on_leave')", name=op.f("users_status_check")
        ),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.client_id"], name=op.f("users_client_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["vendor_id"], ["vendors.vendor_id"], name=op.f("users_vendor_id_fkey")
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("users_pkey")),
        sa.UniqueConstraint("email", name=op.f("users_email_key")),
    )
    op.create_table(
        "components",
        sa.Column("component_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("component_type", sa.Text(), nullable=True),
        sa.Column("product_id", sa.Text(), nullable=True),
        sa.Column("environment", sa.Text(), nullable=True),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "environment IN ('production', 'staging', 'development', 'testing')",
            name=op.f("components_environment_check"),
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.product_id"], name=op.f("components_product_id_fkey")
        ),
        sa.PrimaryKeyConstraint("component_id", name=op.f("components_pkey")),
    )
    op.create_table(
        "subscriptions",
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("subscription_type", sa.Text(), nullable=True),
        sa.Column("sla_tier", sa.Text(), nullable=False),
        sa.Column("start_date", sa.Date(), nullable=True),
        sa.Column("end_date", sa.Date(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "sla_tier IN ('premium', 'standard', 'basic')",
            name=op.f("subscriptions_sla_tier_check"),
        ),
        sa.CheckConstraint(
            "status IN ('active', 'inactive', 'suspended', 'cancelled', 'expired')",
            name=op.f("subscriptions_status_check"),
        ),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.client_id"], name=op.f("subscriptions_client_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.product_id"], name=op.f("subscriptions_product_id_fkey")
        ),
        sa.PrimaryKeyConstraint("subscription_id", name=op.f("subscriptions_pkey")),
    )
    # What one process does at a time. Only the owner may lock a row.
    op.create_table(
        "turns",
        sa.Column("work", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("work", name=op.f("turns_pkey")),
    )
    op.execute("INSERT INTO turns (work) VALUES ('audit partitions'), ('audit prune')")
    # The worker's role has no right to change a record; this stops the owner's slips.
    op.execute("""
        CREATE FUNCTION audit_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% are never changed or deleted', TG_ARGV[0]
                USING ERRCODE = 'insufficient_privilege';
        END
        $$
    """)
    op.execute("""
        CREATE TRIGGER audit_records_are_final BEFORE UPDATE OR DELETE OR TRUNCATE
        ON audit_records FOR EACH STATEMENT
        EXECUTE FUNCTION audit_is_final('audit records')
    """)
    _partition_audit()
    op.execute("""
        CREATE TRIGGER audit_anchors_stay BEFORE DELETE OR TRUNCATE
        ON audit_anchors FOR EACH STATEMENT
        EXECUTE FUNCTION audit_is_final('anchors of audit chains')
    """)
    op.execute("""
        CREATE TRIGGER audit_heads_stay BEFORE DELETE OR TRUNCATE
        ON audit_chains FOR EACH STATEMENT
        EXECUTE FUNCTION audit_is_final('heads of audit chains')
    """)
    # The worker's role has to move heads, and must not be able to put an old one back, which
    # would hide the records since. A head that only changes its key keeps its number and MAC.
    op.execute("""
        CREATE FUNCTION audit_heads_move_on() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.chain <> OLD.chain OR NEW.sequence < OLD.sequence
               OR (NEW.sequence = OLD.sequence AND NEW.mac <> OLD.mac) THEN
                RAISE EXCEPTION 'the head of an audit chain only moves on'
                    USING ERRCODE = 'insufficient_privilege';
            END IF;
            RETURN NEW;
        END
        $$
    """)
    op.execute("""
        CREATE TRIGGER audit_heads_move_on BEFORE UPDATE ON audit_chains
        FOR EACH ROW EXECUTE FUNCTION audit_heads_move_on()
    """)


def _partition_audit() -> None:
    """A partition for each month that begins, and one for what belongs to none of them.

    The function makes them, for `andon migrate` and for the schedules. It runs with its owner's
    rights, takes no arguments, and does nothing but make the partitions of this month and the
    twelve next ones. A month of which the default partition has records already stays there.
    """
    op.execute("CREATE TABLE audit_records_default PARTITION OF audit_records DEFAULT")
    # A trigger on statements is not passed on to partitions.
    op.execute("""
        CREATE TRIGGER audit_records_are_final BEFORE UPDATE OR DELETE OR TRUNCATE
        ON audit_records_default FOR EACH STATEMENT
        EXECUTE FUNCTION audit_is_final('audit records')
    """)
    op.execute("""
        CREATE FUNCTION audit_partitions_ahead() RETURNS TABLE (name text, made boolean)
        LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
        AS $$
        DECLARE
            month timestamptz;
            following timestamptz;
        BEGIN
            PERFORM FROM public.turns WHERE work = 'audit partitions' FOR UPDATE;
            FOR ahead IN 0..12 LOOP
                month := date_trunc('month', now()) + make_interval(months => ahead);
                following := month + interval '1 month';
                name := 'audit_records_' || to_char(month, 'YYYY_MM');
                CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;
                made := NOT EXISTS (
                    SELECT FROM public.audit_records_default
                    WHERE at >= month AND at < following);
                IF made THEN
                    -- Attached, since PARTITION OF would lock out the writers.
                    EXECUTE format(
                        'CREATE TABLE public.%I (LIKE public.audit_records INCLUDING ALL)', name);
                    EXECUTE format(
                        'CREATE TRIGGER audit_records_are_final'
                        ' BEFORE UPDATE OR DELETE OR TRUNCATE ON public.%I'
                        ' FOR EACH STATEMENT'
                        ' EXECUTE FUNCTION public.audit_is_final(''audit records'')', name);
                    EXECUTE format(
                        'ALTER TABLE public.audit_records ATTACH PARTITION public.%I'
                        ' FOR VALUES FROM (%L) TO (%L)', name, month, following);
                END IF;
                RETURN NEXT;
            END LOOP;
        END
        $$
    """)
    op.execute("REVOKE ALL ON FUNCTION audit_partitions_ahead() FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_records_are_final ON audit_records")
    op.execute("DROP TRIGGER audit_heads_stay ON audit_chains")
    op.execute("DROP TRIGGER audit_heads_move_on ON audit_chains")
    op.execute("DROP FUNCTION audit_partitions_ahead()")
    op.execute("DROP FUNCTION audit_heads_move_on()")
    op.drop_table("subscriptions")
    op.drop_table("components")
    op.drop_table("users")
    op.drop_table("products")
    op.drop_table("waiting")
    op.drop_table("vendors")
    op.drop_table("tallies")
    op.drop_index(op.f("requests_decided_at_idx"), table_name="requests")
    op.drop_table("requests")
    op.drop_table("outbox")
    op.drop_index(op.f("incidents_severity_incident_id_idx"), table_name="incidents")
    op.drop_index("incidents_unclosed_idx", table_name="incidents")
    op.drop_index(op.f("incidents_client_id_incident_id_idx"), table_name="incidents")
    op.drop_table("incidents")
    op.drop_index(op.f("incident_updates_incident_id_update_id_idx"), table_name="incident_updates")
    op.drop_table("incident_updates")
    op.drop_index("halts_settled_at_idx", table_name="halts")
    op.drop_index(op.f("halts_source_halt_id_idx"), table_name="halts")
    op.drop_index(op.f("halts_reason_halt_id_idx"), table_name="halts")
    op.drop_index(op.f("halts_state_halt_id_idx"), table_name="halts")
    op.drop_table("halts")
    op.drop_index(op.f("escalations_incident_id_idx"), table_name="escalations")
    op.drop_table("escalations")
    op.drop_table("dedup_keys")
    op.drop_index(op.f("communications_incident_id_idx"), table_name="communications")
    op.drop_table("communications")
    op.drop_table("clients")
    op.drop_table("duplicates")
    op.drop_table("retentions")
    op.drop_table("audit_records")  # with its partitions
    op.drop_table("audit_chains")
    op.drop_table("audit_anchors")
    op.drop_table("turns")
    op.execute("DROP FUNCTION audit_is_final()")
    op.drop_table("settlements")
    op.drop_table("signs_of_life")
    op.drop_table("in_hand")
    op.drop_table("registry_in_force")
    op.drop_table("attempts")
