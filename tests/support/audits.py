"""What tests do to the audit behind Andon's back."""

UNLOCK = """
    DO $$
    DECLARE
        guarded regclass;
        checked record;
    BEGIN
        FOR guarded IN
            SELECT relid FROM pg_partition_tree('audit_records')
            UNION ALL SELECT 'audit_chains'
        LOOP
            EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', guarded);
        END LOOP;
        FOR checked IN
            SELECT conrelid::regclass AS guarded, conname FROM pg_constraint
            WHERE conrelid IN ('audit_records'::regclass, 'audit_chains'::regclass)
              AND contype = 'c'
        LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', checked.guarded, checked.conname);
        END LOOP;
    END
    $$
"""
"""Take away, as the superuser, what keeps records and heads from being changed."""
