"""Alembic's way in. The connection is given by `store.postgres.install`; there is no other."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table="revision", version_table_schema="dep")
with context.begin_transaction():
    context.run_migrations()
