-- The roles and the database of a new PostgreSQL, for psql as superuser, which runs rights.sql in it
-- as well. The passwords come from the environment.
\getenv owner_password ANDON_OWNER_PASSWORD
\getenv worker_password ANDON_WORKER_PASSWORD
\getenv gateway_password ANDON_GATEWAY_PASSWORD

CREATE ROLE andon_owner LOGIN PASSWORD :'owner_password';
-- No rights by itself: `andon migrate` grants it what the worker needs.
CREATE ROLE andon_worker LOGIN PASSWORD :'worker_password';
-- Nor has this one: it may read what became of requests.
CREATE ROLE andon_gateway LOGIN PASSWORD :'gateway_password';

CREATE DATABASE andon OWNER andon_owner;
-- Nobody but the superuser has anything to do in the others.
REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;

\connect andon
\i /etc/andon-postgresql/rights.sql
