-- What the roles may do in one database, beyond what `andon migrate` grants on its tables.
-- Run in it as superuser, after the roles were made; running it again does no harm.
-- docs/rights.md has the table; tests/integration/test_postgresql_rights.py tries each line of it.

-- Connections: one role that takes all it can get leaves some to the others. A session may set its
-- own timeouts otherwise; the limits of connections it may not.
ALTER ROLE andon_gateway CONNECTION LIMIT 20;
ALTER ROLE andon_gateway SET statement_timeout = '5s';
ALTER ROLE andon_gateway SET idle_in_transaction_session_timeout = '5s';
ALTER ROLE andon_gateway SET lock_timeout = '2s';
ALTER ROLE andon_gateway SET default_transaction_read_only = on;
ALTER ROLE andon_worker CONNECTION LIMIT 70;

-- The database: to connect, and nothing else. No temporary tables, no schemas of their own.
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO andon_worker, andon_gateway', current_database());
END
$$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC, andon_worker, andon_gateway;

-- Functions that everybody may call in a new database, and that hold up or fill up others': advisory
-- locks, large objects, messages in the WAL or to listeners, sleeping.
DO $$
DECLARE
    called regprocedure;
BEGIN
    FOR called IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace
          AND (proname ~ '^pg_(try_)?advisory_' OR proname ~ '^lo_' OR proname IN ('loread', 'lowrite')
               OR proname ~ '^pg_sleep' OR proname IN ('pg_notify', 'pg_logical_emit_message'))
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', called);
        IF called::text ~ '^pg_(try_)?advisory_' THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO andon_owner', called);
        END IF;
    END LOOP;
END
$$;

-- Blocks of code, which loop for as long as they like.
REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql TO andon_owner;
