"""The database schema, as Alembic migrations that travel with the package."""
