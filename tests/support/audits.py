"""What tests do to the audit behind Andon's back."""

UNLOCK = """
    DO $$
    DECLARE
        guarded regclass;
    BEGIN
        FOR guarded IN
            SELECT relid FROM pg_partition_tree('audit_records')
            UNION ALL SELECT 'audit_chains'
        LOOP
            EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', guarded);
        END LOOP;
    END
    $$
"""
"""Take away, as the superuser, what keeps records and heads from being changed."""
